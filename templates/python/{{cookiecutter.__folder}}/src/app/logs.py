"""JSON lines by the standard library's logging, with the request's id.

Not structlog: uvicorn, asyncio and every other library speak `logging` already, and one formatter makes their lines
and the service's alike. A second system would need a bridge for each of them.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

request_id: ContextVar[str] = ContextVar("request_id", default="")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
# What every record has; uvicorn adds a coloured copy of its message. All else came in by `extra`.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}


class JSONFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, msg, request_id, what `extra` names, and a traceback as stack."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "msg": record.getMessage().strip(),
        }
        if identifier := request_id.get():
            line["request_id"] = identifier
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every line of this process, warnings and its last exception included, to stream (standard output)."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=_LEVELS[level], handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: logging.critical("crashed", exc_info=(kind, error, trace))
