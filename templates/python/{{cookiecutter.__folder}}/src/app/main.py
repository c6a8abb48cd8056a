"""The application: every route that the service answers, inside what each request gets."""

from fastapi import FastAPI

from app import notes, probes, problems
from app.lifecycle import Lifecycle
from app.middleware import BodyLimit, Recovery, RequestContext
from app.notes.routes import routes as notes_routes
from app.notes.store import Store
from app.settings import Settings

NOTES_KEPT = 500  # bounds the memory of the store


def create_app(settings: Settings, lifecycle: Lifecycle) -> FastAPI:
    """Return the application; its answers follow lifecycle."""
    app = FastAPI(
        title="{{ cookiecutter.project_slug }}",
        description=notes.__doc__ or "",
        version=settings.service_version,
        responses={"default": problems.RESPONSE},
        redirect_slashes=False,
    )
    problems.register(app)
    app.include_router(probes.routes(settings, lifecycle))
    app.include_router(notes_routes(Store(NOTES_KEPT)))
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(Recovery)
    app.add_middleware(RequestContext, lifecycle=lifecycle)
    return app
