"""Is everything that any library logs one JSON line, with the request's id where there is a request?"""

import logging
import sys
import warnings

from app import logs
from tests.conftest import Log


def test_a_line_of_another_library_has_the_requests_id(log: Log) -> None:
    token = logs.request_id.set("an-id")
    logging.getLogger("uvicorn.error").warning("Invalid %s\n", "request", extra={"color_message": "red"})
    logs.request_id.reset(token)
    line = log()[0]
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "WARNING", "logger": "uvicorn.error", "msg": "Invalid request", "request_id": "an-id"}


def test_what_extra_names_is_in_the_line_whatever_its_type(log: Log) -> None:
    logging.getLogger("app").info("line 1\nline 2", extra={"size": 1, "who": {"é"}})
    line = log()[0]
    assert (line["msg"], line["size"], line["who"]) == ("line 1\nline 2", 1, "{'é'}")


def test_warnings_and_the_last_exception_are_lines_too(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    sys.excepthook(ValueError, ValueError("a nail"), None)
    warning, crash = log()
    assert "old" in warning["msg"]
    assert (crash["level"], crash["stack"]) == ("CRITICAL", "ValueError: a nail")
