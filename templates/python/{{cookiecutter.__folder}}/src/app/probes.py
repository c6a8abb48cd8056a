"""The probes: the process answers (live), it wants new work (ready), and what is deployed (version)."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.lifecycle import Lifecycle
from app.settings import Settings

LIVE = "/healthz"
READY = "/readyz"


class Status(BaseModel):
    """What a probe says."""

    status: str


class Version(BaseModel):
    """What is deployed."""

    version: str
    revision: str


def routes(settings: Settings, lifecycle: Lifecycle) -> APIRouter:
    """Return the routes of the probes."""
    router = APIRouter(tags=["probes"])

    @router.get(LIVE)
    async def live() -> Status:
        return Status(status="ok")

    @router.get(READY)
    async def ready(response: Response) -> Status:
        if lifecycle.draining:
            response.status_code = 503
            return Status(status="draining")
        return Status(status="ok")

    @router.get("/version")
    async def version() -> Version:
        return Version(version=settings.service_version, revision=settings.service_revision)

    return router
