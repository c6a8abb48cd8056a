"""What goes wrong, in words for the client: problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app import logs


class Problem(BaseModel):
    """The body of every answer from 400 on."""

    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None


MEDIA_TYPE = "application/problem+json"
# Not FastAPI's `model`, which says application/json.
RESPONSE: dict[str, Any] = {
    "description": "A problem (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
}


def answer(status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a problem as a response, with its title and the request's id."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=logs.request_id.get() or None
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def register(app: FastAPI) -> None:
    """Answer what FastAPI refuses with problems."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    return answer(error.status_code, detail, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        return answer(400, f"the body is not JSON: {errors[0]['ctx']['error']}")
    if errors[0]["loc"] == ("body",):
        if not _is_json(request.headers.get("content-type", "")):
            return answer(415, "the body must be application/json")
        return answer(400, "the body must be a JSON object")
    # What cannot be read is a 400; what can be and says something impossible is a 422.
    unread = any(part["type"] == "extra_forbidden" or part["type"].endswith("_type") for part in errors)
    return answer(400 if unread else 422, "; ".join(_sentence(part["loc"], part["msg"]) for part in errors))


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    place = ".".join(str(part) for part in location[1:])
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
