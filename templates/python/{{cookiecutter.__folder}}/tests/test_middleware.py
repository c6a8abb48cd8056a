"""Does every request get an id, one log line, a limit and an answer?"""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from app.lifecycle import Lifecycle
from tests.conftest import Log

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("identifier", "kept"),
    [("a", True), ("Az09._-", True), ("x" * 64, True), ("", False), ("x" * 65, False), ("a b", False), ('a"b', False)],
)
async def test_a_well_formed_request_id_is_kept_and_any_other_replaced(
    client: httpx.AsyncClient, log: Log, identifier: str, kept: bool
) -> None:
    answer = await client.get("/nothing", headers={"X-Request-Id": identifier})
    given = answer.headers["X-Request-Id"]
    assert given
    assert (given == identifier) == kept
    assert answer.json()["request_id"] == given
    assert [line["request_id"] for line in log() if line["msg"] == "request"] == [given]


async def test_each_request_is_one_log_line(client: httpx.AsyncClient, log: Log) -> None:
    answer = await client.post("/api/notes?secret=1", json={"text": "a note"})
    lines = [line for line in log() if line["msg"] == "request"]
    assert len(lines) == 1
    assert lines[0].pop("duration_ms") > 0
    assert lines[0].items() >= {
        "level": "INFO", "method": "POST", "path": "/api/notes", "status": 201, "bytes": len(answer.content),
    }.items()  # fmt: skip


async def test_a_path_with_a_slash_more_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/notes/")).status_code == 404


async def test_the_description_of_every_route_names_the_type_of_problems(client: httpx.AsyncClient) -> None:
    routes = (await client.get("/openapi.json")).json()["paths"]
    for operation in (operation for route in routes.values() for operation in route.values()):
        assert list(operation["responses"]["default"]["content"]) == ["application/problem+json"]
        assert "422" not in operation["responses"]


async def test_probes_are_logged_at_debug_only(client: httpx.AsyncClient, log: Log) -> None:
    await client.get("/healthz")
    await client.get("/readyz")
    assert [line["level"] for line in log() if line["msg"] == "request"] == ["DEBUG", "DEBUG"]


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [("GET", "/nothing", 404, "Not Found"), ("PUT", "/api/notes", 405, "Method Not Allowed")],
)
async def test_an_unmatched_request_gets_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, title: str
) -> None:
    answer = await client.request(method, path)
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["title"]) == (status, status, title)
    assert ("Allow" in answer.headers) == (status == 405)


async def test_an_exception_is_a_500_and_a_log_line(app: FastAPI, client: httpx.AsyncClient, log: Log) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a nail")

    answer = await client.get("/broken", headers={"X-Request-Id": "broken"})
    assert answer.json() == {"title": "Internal Server Error", "status": 500, "request_id": "broken"}
    error, access = (line for line in log() if line["logger"] == "app.middleware")
    assert (error["level"], error["request_id"]) == ("ERROR", "broken")
    assert "test_middleware.py" in error["stack"]
    assert "a nail" in error["stack"]
    assert access["status"] == 500


async def test_an_exception_after_the_head_is_left_to_the_server(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("a nail")

        return StreamingResponse(parts())

    with pytest.raises(RuntimeError, match="a nail"):
        await client.get("/half")


async def _parts(*parts: bytes, pause: float = 0) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(pause)


async def test_a_body_above_the_limit_is_a_413(client: httpx.AsyncClient) -> None:
    json = {"Content-Type": "application/json"}
    declared = await client.post("/api/notes", content=b" " * 2049, headers=json)
    chunked = await client.post("/api/notes", content=_parts(b" " * 2048, b" "), headers=json)
    for answer in (declared, chunked):
        assert answer.json()["detail"] == "the body must be at most 2048 bytes"
        assert (answer.status_code, answer.headers["Connection"]) == (413, "close")


async def test_a_body_that_comes_too_slowly_is_a_408(client: httpx.AsyncClient) -> None:
    content = _parts(b"{", b"}", pause=1)
    answer = await client.post("/api/notes", content=content, headers={"Content-Type": "application/json"})
    assert answer.json()["detail"] == "the body came too slowly"
    assert (answer.status_code, answer.headers["Connection"]) == (408, "close")


async def test_while_closing_each_answer_is_its_connections_last(
    client: httpx.AsyncClient, lifecycle: Lifecycle
) -> None:
    assert "Connection" not in (await client.get("/healthz")).headers
    lifecycle.closing = True
    assert (await client.get("/healthz")).headers["Connection"] == "close"
