"""Are notes created, read, listed and deleted, and is a text checked before it is stored?"""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.notes.store import Store

pytestmark = pytest.mark.anyio


async def test_a_note_is_created_read_listed_and_deleted(client: httpx.AsyncClient) -> None:
    created = await client.post("/api/notes", json={"text": "a note"})
    note = created.json()
    location = created.headers["Location"]
    assert (created.status_code, note["text"], location) == (201, "a note", f"/api/notes/{note['id']}")
    age = datetime.now(UTC) - datetime.fromisoformat(note["created_at"])
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert (await client.get(location)).json() == note
    assert (await client.get("/api/notes")).json() == {"notes": [note]}
    deleted = await client.delete(location)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        gone = await client.request(method, location)
        assert gone.status_code == 404
        assert gone.json()["detail"] == f'there is no note "{note["id"]}"'


async def test_no_notes_are_an_empty_list(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/notes")).text == '{"notes":[]}'


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        pytest.param("application/json", '{"text": "' + "é" * 1000 + '"}', 201, id="the longest text"),
        pytest.param("application/json; charset=utf-8", '{"text": "a"}', 201, id="a charset"),
        pytest.param("application/json", '{"text": "' + "é" * 1001 + '"}', 422, id="a longer text"),
        pytest.param("application/json", "{}", 422, id="no text"),
        pytest.param("application/json", '{"text": " \\t\\n"}', 422, id="spaces"),
        pytest.param("application/json", '{"text": 1}', 400, id="another type"),
        pytest.param("application/json", '{"text": "a", "text": "b"}', 400, id="a name twice"),
        pytest.param("application/json", '{"text": NaN}', 400, id="a number that JSON lacks"),
        pytest.param("application/json", "[]", 400, id="a list"),
        pytest.param("application/json", '{"text": "a", "colour": 2}', 400, id="an unknown name"),
        pytest.param("application/json", "", 400, id="no body"),
        pytest.param("application/json", '{"text":', 400, id="half a body"),
        pytest.param("application/x-www-form-urlencoded", "text=a", 415, id="a form"),
        pytest.param("", '{"text": "a"}', 415, id="no content type"),
    ],
)
async def test_a_body_is_checked_before_it_is_stored(
    client: httpx.AsyncClient, content_type: str, body: str, status: int
) -> None:
    answer = await client.post("/api/notes", content=body.encode(), headers={"Content-Type": content_type})
    assert answer.status_code == status
    stored = (await client.get("/api/notes")).json()["notes"]
    assert len(stored) == (status == 201)
    if status != 201:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"]


async def test_a_full_store_forgets_its_oldest_note() -> None:
    store = Store(2)
    oldest = await store.add("one")
    await store.add("two")
    await store.add("three")
    assert [note.text for note in await store.all()] == ["three", "two"]
    assert await store.get(oldest.id) is None


async def test_a_deleted_note_is_gone_and_the_others_stay() -> None:
    store = Store(3)
    await store.add("one")
    middle = await store.add("two")
    await store.add("three")
    assert await store.delete(middle.id)
    assert not await store.delete(middle.id)
    assert [note.text for note in await store.all()] == ["three", "one"]
