"""The HTTP server: uvicorn, with a stop that fails no request and limits for slow and large ones."""

import asyncio
import logging
import os
import socket
import threading
import time
from types import FrameType
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.lifecycle import Lifecycle
from app.settings import Settings

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 32 << 10
LINGER_DELAY = 0.5  # how long a connection between two requests is kept when no new ones are accepted
POLL = 0.01
TICK = 0.1  # what uvicorn's own shutdown sleeps


class Config(uvicorn.Config):
    """uvicorn's configuration, from the service's settings."""

    def __init__(self, app: FastAPI, settings: Settings, lifecycle: Lifecycle) -> None:
        super().__init__(
            app,
            loop="uvloop",
            http=Protocol,
            ws="none",
            log_config=None,  # its lines go where all go
            access_log=False,  # RequestContext writes the line, with duration and size
            server_header=False,
            forwarded_allow_ips=settings.forwarded_allow_ips,
            timeout_keep_alive=settings.idle_timeout,  # type: ignore[arg-type]  # any number of seconds will do
        )
        self.settings = settings
        self.lifecycle = lifecycle


class Server(uvicorn.Server):
    """uvicorn's server with an end in an order that fails no request.

    uvicorn's own shutdown closes connections that are between two requests at once, and so resets a request that is
    on its way to one of them.
    """

    config: Config
    stop_by = 0.0  # when it must be over, of time.monotonic()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note when the stop was asked for, which uvicorn's main loop sees a moment later; end it when asked again."""
        if self.should_exit:
            self._end("a second signal")
        seconds = self.config.settings.shutdown_timeout
        self.stop_by = time.monotonic() + seconds
        # A handler that blocks its thread, or the event loop, cannot be cancelled.
        timer = threading.Timer(seconds, self._end, ["SHUTDOWN_TIMEOUT"])
        timer.daemon = True
        timer.start()
        super().handle_exit(sig, frame)

    def _end(self, cause: str) -> None:
        logger.warning("stopped", extra={"cause": cause, "unfinished": len(self.server_state.tasks)})
        os._exit(0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, close the listener, let each client take one more answer, and wait for the requests in flight."""
        settings, lifecycle = self.config.settings, self.config.lifecycle
        self.stop_by = self.stop_by or time.monotonic() + settings.shutdown_timeout
        logger.info("stopping")

        # 1. Tell the load balancer, and serve on while it looks elsewhere.
        lifecycle.draining = True
        await self._wait(settings.drain_delay)

        # 2. Accept no more. Until now clients kept their connections, so that hardly one is waiting to be accepted.
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()

        # 3. Let each client take one more answer that says `Connection: close`.
        lifecycle.closing = True
        await self._wait(LINGER_DELAY, while_connected=True)

        # 4. Close the silent connections and wait for the requests in flight.
        left = self.stop_by - time.monotonic() - TICK
        self.config.timeout_graceful_shutdown = max(left, 0)  # type: ignore[assignment]  # any number of seconds
        await super().shutdown(sockets)
        logger.info("stopped")

    async def _wait(self, seconds: float, while_connected: bool = False) -> None:
        """Sleep, at most until stop_by, not after a second Ctrl-C, and with while_connected as long as clients are."""
        end = min(time.monotonic() + seconds, self.stop_by - TICK)
        while time.monotonic() < end and not self.force_exit:
            if while_connected and not self.server_state.connections:
                return
            await asyncio.sleep(POLL)


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 connection with limits that it lacks.

    A head must be whole within READ_TIMEOUT and have at most MAX_HEAD_BYTES; the answer must be taken within
    READ_TIMEOUT (for the body, see BodyLimit) and WRITE_TIMEOUT more. A request that gets no whole answer has in its
    scope why: `lost`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._to_read = config.settings.read_timeout
        self._to_answer = config.settings.read_timeout + config.settings.write_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._answered: RequestResponseCycle | None = None  # whose turn it is
        self._in_message = self._in_head = self._only_head = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's is
        super().connection_made(transport)
        self._allow(self._to_read)

    def data_received(self, data: bytes) -> None:
        if self._timer is None:
            self._allow(self._to_read)
        # In parts, so that a head that comes in one packet is measured before it is served.
        while data and not self.transport.is_closing():
            room = MAX_HEAD_BYTES - self._head_bytes
            if not room:
                self.transport.write(
                    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
                self.transport.close()
                return
            part, data = data[:room], data[room:]
            self._only_head = self._in_head or not self._in_message
            super().data_received(part)
            if self._in_head and self._only_head:
                self._head_bytes += len(part)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_message = self._in_head = True

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head, self._head_bytes = False, 0
        self._allow(self._to_answer)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_message = self._only_head = False  # what follows in this part is not the whole of the next head

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._clear()
        if not self.cycle.response_complete:  # a pipelined request, whose turn has come
            self._allow(self._to_answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear()
        self._lose("client gone")
        super().connection_lost(exc)

    def _allow(self, seconds: float) -> None:
        self._clear()
        self._timer = self.loop.call_later(seconds, self._cut)

    def _clear(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        slow = self._lose("slow answer")
        logger.info("connection cut", extra={"cause": "slow answer" if slow else "slow request"})
        self.transport.abort()

    def _lose(self, reason: str) -> bool:
        """Give the request whose answer is not complete, if there is one, the reason."""
        if self._answered is None or self._answered.response_complete:
            return False
        cast("dict[str, Any]", self._answered.scope).setdefault("lost", reason)
        return True
