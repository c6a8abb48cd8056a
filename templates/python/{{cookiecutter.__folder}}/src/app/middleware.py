"""What every request gets: an id, one log line, a limit for its body, and an answer whatever happens."""

import asyncio
import logging
import re
import time
import uuid

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs, problems
from app.lifecycle import Lifecycle
from app.probes import LIVE, READY
from app.settings import Settings

logger = logging.getLogger(__name__)

_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")  # fit for logs and headers
_LOST = {"client gone": 499, "slow answer": 504}  # statuses of answers that never began
_CLOSE = {"Connection": "close"}  # where the rest of a body may still come


class RequestContext:
    """Gives each request the id it came with, or a new one, echoes it, and logs one line when the request is over."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self.app = app
        self.lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identifier = Headers(scope=scope).get("X-Request-Id", "")
        if not _WELL_FORMED.fullmatch(identifier):
            identifier = str(uuid.uuid4())
        # Each request is a task of its own, so nothing resets this: what uvicorn says about it later has the id too.
        logs.request_id.set(identifier)
        started, status, size = time.perf_counter(), 0, 0
        # Who asks for a head gets that of the whole answer; the server leaves the body out.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope

        async def send_marked(message: Message) -> None:
            nonlocal status, size
            if "lost" in scope:  # nobody gets it
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = identifier
                headers["X-Content-Type-Options"] = "nosniff"
                if self.lifecycle.closing:
                    headers["Connection"] = "close"
            elif asked is scope:
                size += len(message.get("body", b""))
            await send(message)

        try:
            await self.app(asked, receive, send_marked)
        finally:
            # The probes come every few seconds.
            level = logging.DEBUG if scope["path"] in (LIVE, READY) else logging.INFO
            duration = round((time.perf_counter() - started) * 1000, 3)
            facts = {"method": scope["method"], "path": scope["path"], "status": status, "bytes": size}
            if lost := scope.get("lost"):
                facts |= {"status": status or _LOST[lost], "lost": lost}
            logger.log(level, "request", extra={**facts, "duration_ms": duration})


class Recovery:
    """Turns an exception into a log line and a 500, or a cut connection when the head is already sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except Exception:
            if started or scope["type"] != "http":
                raise
            logger.exception("unhandled exception")
            await problems.answer(500)(scope, receive, send)
        except asyncio.CancelledError:  # SHUTDOWN_TIMEOUT is over
            if started or scope["type"] != "http":
                raise
            await problems.answer(503, "the service is stopping", _CLOSE)(scope, receive, send)


class BodyLimit:
    """Refuses a body that is too large (413) or comes too slowly (408)."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.settings.max_body_bytes
        too_large = f"the body must be at most {limit} bytes"
        if int(Headers(scope=scope).get("Content-Length", "0")) > limit:
            await problems.answer(413, too_large, _CLOSE)(scope, receive, send)
            return
        size, deadline = 0, asyncio.get_running_loop().time() + self.settings.read_timeout
        whole = False

        async def receive_limited() -> Message:
            nonlocal size, whole
            if whole:  # what comes now is at most the news that the client has gone
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body came too slowly", _CLOSE) from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > limit:
                raise HTTPException(413, too_large, _CLOSE)
            return message

        await self.app(scope, receive_limited, send)
