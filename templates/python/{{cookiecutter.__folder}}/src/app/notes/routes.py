"""The HTTP side of the notes."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.notes.store import Note, Store
from app.strict import StrictRoute

PATH = "/api/notes"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


class Draft(BaseModel):
    """A note as a client sends it."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=1000), AfterValidator(_not_blank)]


class Notes(BaseModel):
    """Every note, newest first."""

    notes: list[Note]


def routes(store: Store) -> APIRouter:
    """Return the routes of the notes in store."""
    router = APIRouter(prefix=PATH, tags=["notes"], route_class=StrictRoute)

    @router.get("")
    async def list_notes() -> Notes:
        return Notes(notes=await store.all())

    @router.post("", status_code=201)
    async def create_note(draft: Draft, response: Response) -> Note:
        note = await store.add(draft.text)
        response.headers["Location"] = f"{PATH}/{note.id}"
        return note

    @router.get("/{identifier}")
    async def get_note(identifier: str) -> Note:
        note = await store.get(identifier)
        if note is None:
            raise _not_found(identifier)
        return note

    @router.delete("/{identifier}", status_code=204)
    async def delete_note(identifier: str) -> None:
        if not await store.delete(identifier):
            raise _not_found(identifier)

    return router


def _not_found(identifier: str) -> HTTPException:
    return HTTPException(404, f'there is no note "{identifier}"')
