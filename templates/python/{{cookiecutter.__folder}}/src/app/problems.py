"""What goes wrong, in words for the client: problem details (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus

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


def answer(status: int, detail: str | None = None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a problem as a response, with its title and the request's id."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=logs.request_id.get() or None
    )
    return JSONResponse(problem.model_dump(exclude_none=True), status, headers, "application/problem+json")


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
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return answer(400, f"the body is not JSON: {first['ctx']['error']}")
    if first["loc"] == ("body",) and not _is_json(request.headers.get("content-type", "")):
        return answer(415, "the body must be application/json")
    return answer(422, "; ".join(_sentence(part["loc"], part["msg"]) for part in error.errors()))


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == "application/json"


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    place = ".".join(str(part) for part in location[1:])
    message = message.removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
