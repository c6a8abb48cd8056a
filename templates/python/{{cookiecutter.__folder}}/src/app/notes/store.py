"""The notes, in the memory of one process: WORKERS above 1 need a database in its place."""

import uuid
from collections import OrderedDict
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel


class Note(BaseModel):
    """A stored text."""

    id: str
    text: str
    created_at: AwareDatetime


class Store:
    """The newest notes, at most `capacity`; it needs no lock, as only the event loop's thread uses it.

    Its methods are coroutines, so that a database can take its place.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._notes: OrderedDict[str, Note] = OrderedDict()

    async def add(self, text: str) -> Note:
        """Store text as a new note, and forget the oldest one when the store is full."""
        note = Note(id=str(uuid.uuid4()), text=text, created_at=datetime.now(UTC))
        self._notes[note.id] = note
        if len(self._notes) > self._capacity:
            self._notes.popitem(last=False)
        return note

    async def all(self) -> list[Note]:
        """Return the notes, newest first."""
        return list(reversed(self._notes.values()))

    async def get(self, identifier: str) -> Note | None:
        """Return the note with this id, or None."""
        return self._notes.get(identifier)

    async def delete(self, identifier: str) -> bool:
        """Remove the note with this id; return whether there was one."""
        return self._notes.pop(identifier, None) is not None
