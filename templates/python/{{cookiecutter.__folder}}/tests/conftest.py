"""What several test modules share."""

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app import logs
from app.lifecycle import Lifecycle
from app.main import create_app
from app.settings import Settings

Log = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}  # the loop that the service runs on


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture
def settings() -> Settings:
    return Settings(max_body_bytes=2048, read_timeout=0.5, service_version="1.2.3", service_revision="abc")


@pytest.fixture
def app(settings: Settings, lifecycle: Lifecycle) -> FastAPI:
    return create_app(settings, lifecycle)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture
def log() -> Iterator[Log]:
    """Returns the lines that the service has written so far, at every level."""
    stream = io.StringIO()
    logs.configure("debug", stream)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    logging.getLogger().handlers.clear()
