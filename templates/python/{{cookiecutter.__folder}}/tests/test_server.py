"""Does the server stop without failing a request, and cut off what takes too long or is too large?"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse

from app.lifecycle import Lifecycle
from app.main import create_app
from app.server import MAX_HEAD_BYTES, Config, Server
from app.settings import Settings
from tests.conftest import Log

pytestmark = pytest.mark.anyio

GET = b"GET %b HTTP/1.1\r\nHost: test\r\n\r\n"
POST_HALF = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf"


@dataclass
class Connection:
    """One connection, on which bytes can be sent when the test wants."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> tuple[int, bool, bytes]:
        """Return the status, whether the answer says that it is the last one, and the body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), b"connection: close" in head, await self.reader.readexactly(length)

    async def get(self, path: bytes) -> tuple[int, bool, bytes]:
        self.send(GET % path)
        return await self.receive()


@dataclass
class Running:
    """A server under test."""

    port: int
    server: Server
    over: asyncio.Task[None]
    connections: list[Connection]

    async def connect(self) -> Connection:
        connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        self.connections.append(connection)
        return connection

    def stop(self) -> None:
        self.server.should_exit = True

    async def refuses(self) -> None:
        """Return when no new connection is accepted."""
        while True:
            try:
                (await self.connect()).writer.close()
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                pass  # it was waiting to be accepted when the listener closed
            await asyncio.sleep(0.01)


def add_routes(app: FastAPI) -> None:
    @app.post("/echo")
    async def echo(request: Request) -> str:
        return (await request.body()).decode()

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "done"

    @app.get("/moved")
    async def moved(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("slow"))

    @app.get("/endless")
    async def endless() -> None:
        await asyncio.sleep(60)


@asynccontextmanager
async def start(**changes: float | str) -> AsyncIterator[Running]:
    settings = Settings.model_validate({"drain_delay": 0.1, **changes})
    lifecycle = Lifecycle()
    app = create_app(settings, lifecycle)
    add_routes(app)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(app, settings, lifecycle))
    over = asyncio.create_task(server.serve([listener]))
    running = Running(listener.getsockname()[1], server, over, [])
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
            yield running
    finally:
        for connection in running.connections:
            connection.writer.close()
        running.stop()
        await over


async def test_stop_makes_the_service_live_but_not_ready() -> None:
    async with start(drain_delay=1) as service:
        connection = await service.connect()
        assert (await connection.get(b"/readyz"))[0] == 200
        service.stop()
        while (await connection.get(b"/readyz"))[0] != 503:
            await asyncio.sleep(0.01)
        assert (await (await service.connect()).get(b"/healthz"))[0] == 200


async def test_stop_finishes_a_request_whose_body_is_still_on_its_way() -> None:
    async with start() as service:
        connection = await service.connect()
        connection.send(POST_HALF)
        await asyncio.sleep(0.05)
        service.stop()
        await service.refuses()
        connection.send(b"more")
        assert await connection.receive() == (200, True, b'"halfmore"')
        await service.over


async def test_stop_finishes_a_request_that_is_being_answered() -> None:
    async with start(drain_delay=0) as service:
        connection = await service.connect()
        connection.send(GET % b"/slow")
        await asyncio.sleep(0.05)
        service.stop()
        assert await connection.receive() == (200, True, b'"done"')
        await service.over


async def test_stop_closes_no_connection_before_an_answer_has_said_so() -> None:
    async with start() as service:
        connection = await service.connect()
        assert not (await connection.get(b"/healthz"))[1]
        service.stop()
        await service.refuses()
        while not (await connection.get(b"/healthz"))[1]:
            pass  # a connection that ends before an answer has said so fails in get
        await service.over


async def test_stop_cuts_off_what_takes_longer_than_the_timeout(log: Log) -> None:
    async with start(drain_delay=0, shutdown_timeout=0.3) as service:
        connection = await service.connect()
        connection.send(GET % b"/endless")
        await asyncio.sleep(0.05)
        service.stop()
        before = asyncio.get_running_loop().time()
        await service.over
        assert asyncio.get_running_loop().time() - before < 10
    assert "Cancel 1 running task(s)" in str(log())


async def test_stop_is_not_held_up_by_a_connection_that_says_nothing() -> None:
    async with start(drain_delay=0) as service:
        await service.connect()
        await (await service.connect()).get(b"/healthz")
        service.stop()
        before = asyncio.get_running_loop().time()
        await service.over
        assert asyncio.get_running_loop().time() - before < 10


async def test_a_head_above_the_limit_is_refused() -> None:
    async with start() as service:
        connection = await service.connect()
        connection.send(b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES)
        assert await connection.receive() == (431, True, b"")
        assert await connection.reader.read() == b""


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"GET / HTTP/1.1\r\nX-Slow: "], ids=["nothing", "a line end", "half a head"]
)
async def test_a_slow_head_is_cut_off(log: Log, data: bytes) -> None:
    async with start(read_timeout=0.1) as service:
        connection = await service.connect()
        connection.send(data)
        assert await connection.reader.read() == b""
    assert [line["cause"] for line in log() if line["msg"] == "connection cut"] == ["slow request"]


async def test_a_slow_answer_is_cut_off(log: Log) -> None:
    async with start(read_timeout=0.1, write_timeout=0.1) as service:
        connection = await service.connect()
        connection.send(GET % b"/slow")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await connection.receive()
    assert [line["cause"] for line in log() if line["msg"] == "connection cut"] == ["slow answer"]


async def test_a_head_above_the_limit_in_one_packet_gets_a_431_and_no_answer(log: Log) -> None:
    async with start() as service:
        for size, status in ((MAX_HEAD_BYTES, 200), (MAX_HEAD_BYTES + 1, 431), (100 << 10, 431)):
            connection = await service.connect()
            head = b"GET /healthz HTTP/1.1\r\nX: "
            connection.send(head + b"x" * (size - len(head) - 4) + b"\r\n\r\n")
            assert (await connection.receive())[0] == status
    assert [line["status"] for line in log() if line["msg"] == "request"] == [200]


async def test_a_long_body_before_the_next_head_is_no_part_of_it() -> None:
    async with start() as service:
        connection = await service.connect()
        body = b"x" * 40_000
        post = b"POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        connection.send(post + (GET % b"/version")[:-2])
        assert (await connection.receive())[0] == 200
        connection.send(b"\r\n")
        assert b"version" in (await connection.receive())[2]


async def test_a_body_that_stops_is_a_408_for_the_client_and_in_the_log(log: Log) -> None:
    async with start(read_timeout=0.1) as service:
        for path in (b"/echo", b"/api/notes"):
            connection = await service.connect()
            head = b"POST %b HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n"
            connection.send(head % path + b"half")
            assert (await connection.receive())[:2] == (408, True)
    assert [line["status"] for line in log() if line["msg"] == "request"] == [408, 408]


@pytest.mark.parametrize(("write_timeout", "status", "lost"), [(0.1, 504, "slow answer"), (10, 499, "client gone")])
async def test_a_request_whose_answer_nobody_got_is_logged_so(
    log: Log, write_timeout: float, status: int, lost: str
) -> None:
    async with start(read_timeout=0.1, write_timeout=write_timeout) as service:
        connection = await service.connect()
        connection.send(GET % b"/slow")
        await asyncio.sleep(0.05)
        if lost == "client gone":
            connection.writer.close()
        await asyncio.sleep(1)
    lines = [(line["status"], line["lost"]) for line in log() if line["msg"] == "request"]
    assert lines == [(status, lost)]


@pytest.mark.parametrize(("proxy", "scheme"), [("127.0.0.1", "https"), ("10.0.0.0/8", "http")])
async def test_a_redirect_has_the_scheme_that_the_proxy_got(proxy: str, scheme: str) -> None:
    async with start(forwarded_allow_ips=proxy) as service:
        connection = await service.connect()
        connection.send(b"GET /moved HTTP/1.1\r\nHost: test\r\nX-Forwarded-Proto: https\r\n\r\n")
        head = await connection.reader.readuntil(b"\r\n\r\n")
        assert f"location: {scheme}://test/slow\r\n" in head.decode()


async def test_an_idle_connection_outlives_the_timeouts_of_a_request() -> None:
    async with start(read_timeout=0.2, write_timeout=0.1) as service:
        connection = await service.connect()
        for _ in range(2):
            assert (await connection.get(b"/healthz"))[0] == 200
            await asyncio.sleep(0.4)


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with start() as service:
        connection = await service.connect()
        connection.send(GET % b"/slow" + GET % b"/version")
        assert (await connection.receive())[2] == b'"done"'
        assert b"version" in (await connection.receive())[2]
