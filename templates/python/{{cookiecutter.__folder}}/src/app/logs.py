"""JSON lines by the standard library's logging, with the request's id.

Not structlog: uvicorn, asyncio and every other library speak `logging` already, and one formatter makes their lines
and the service's alike. A second system would need a bridge for each of them.
"""

import json
import logging
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

request_id: ContextVar[str] = ContextVar("request_id", default="")

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
# What every record has; uvicorn adds a coloured copy of its message. All else came in by `extra`.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}


class JSONFormatter(logging.Formatter):
    """One JSON object a record: time, level, logger, msg, request_id, what `extra` names, and a traceback as stack.

    Whatever is logged, the line is JSON and UTF-8: what JSON cannot say is said as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "msg": _message(record),
        }
        if identifier := request_id.get():
            line["request_id"] = identifier
        line = {name: value for name, value in vars(record).items() if name not in _OWN} | line
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        try:
            text = json.dumps(line, default=str, ensure_ascii=False, allow_nan=False)
        except Exception:  # NaN, a key that is no text, a circle, a value that has no text
            text = json.dumps({name: _text(value) for name, value in line.items()}, ensure_ascii=False)
        return text.encode("utf-8", "replace").decode()  # half a surrogate pair becomes a question mark


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage().strip()
    except Exception:  # the arguments do not fit the format
        return f"{_text(record.msg)} {_text(record.args)}"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every line of this process, warnings and the exceptions that nobody caught included, to stream (stdout)."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JSONFormatter())
    logging.basicConfig(level=_LEVELS[level], handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: logging.critical("crashed", exc_info=(kind, error, trace))
    sys.unraisablehook = lambda it: _ignored("exception ignored", it.exc_type, it.exc_value, it.exc_traceback)
    threading.excepthook = lambda it: _ignored("thread crashed", it.exc_type, it.exc_value, it.exc_traceback)


def _ignored(message: str, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logging.error(message, exc_info=(kind, error or kind(), trace))
