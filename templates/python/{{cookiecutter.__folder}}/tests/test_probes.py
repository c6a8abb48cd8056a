"""Do the probes say what the process wants?"""

import httpx
import pytest

from app.lifecycle import Lifecycle

pytestmark = pytest.mark.anyio


async def test_a_draining_service_is_live_but_not_ready(client: httpx.AsyncClient, lifecycle: Lifecycle) -> None:
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.text) == (200, '{"status":"ok"}')
    lifecycle.draining = True
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.text) == (503, '{"status":"draining"}')
    live = await client.get("/healthz")
    assert (live.status_code, live.text) == (200, '{"status":"ok"}')


async def test_a_probe_can_be_asked_for_its_head(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz"):
        head = await client.head(path)
        assert (head.status_code, head.headers["Content-Type"]) == (200, "application/json")


async def test_version_says_what_is_deployed(client: httpx.AsyncClient) -> None:
    version = await client.get("/version")
    assert version.json() == {"version": "1.2.3", "revision": "abc"}
