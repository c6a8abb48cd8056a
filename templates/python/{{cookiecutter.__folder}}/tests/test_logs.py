"""Is everything that any library logs one JSON line, with the request's id where there is a request?"""

import json
import logging
import sys
import threading
import warnings

import pytest

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


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("a nail")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(float("nan"), "nan", id="no number"),
        pytest.param([float("inf")], "[inf]", id="infinity in a list"),
        pytest.param("a\ud800b", "a?b", id="half a surrogate pair"),
        pytest.param({("a", 1): 2}, "{('a', 1): 2}", id="a key that is no text"),
        pytest.param(b"\xff", "b'\\xff'", id="bytes"),
        pytest.param(Unprintable(), "<Unprintable>", id="no text"),
    ],
)
def test_a_line_is_json_whatever_it_tells(log: Log, value: object, shown: str) -> None:
    logging.getLogger("app").info("told", extra={"value": value, "level": "overwritten"})
    line = log()[0]
    assert (line["msg"], line["level"], line["value"]) == ("told", "INFO", shown)


def test_a_line_whose_arguments_do_not_fit_is_told_all_the_same() -> None:
    record = logging.LogRecord("app", logging.INFO, "", 0, "%d notes", ("many",), None)
    assert json.loads(logs.JSONFormatter().format(record))["msg"] == "%d notes ('many',)"


def test_an_exception_that_ends_a_thread_or_nobody_can_catch_is_a_line(log: Log) -> None:
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()

    class Falling:
        def __del__(self) -> None:
            raise ValueError("a nail")

    Falling()
    crashed, ignored = log()
    assert (crashed["msg"], ignored["msg"]) == ("thread crashed", "exception ignored")
    assert "ZeroDivisionError" in crashed["stack"]
    assert "a nail" in ignored["stack"]


def test_warnings_and_the_last_exception_are_lines_too(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    sys.excepthook(ValueError, ValueError("a nail"), None)
    warning, crash = log()
    assert "old" in warning["msg"]
    assert (crash["level"], crash["stack"]) == ("CRITICAL", "ValueError: a nail")
