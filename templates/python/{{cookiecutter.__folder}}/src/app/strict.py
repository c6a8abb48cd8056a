"""Bodies that are JSON to the letter: Python reads NaN too, and takes the last of two values of one name."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, Never

from fastapi import Request, Response
from fastapi.routing import APIRoute


class StrictRoute(APIRoute):
    """A route whose body says each name once, and no number that JSON lacks."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_strictly(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return handle_strictly


class _Request(Request):
    async def json(self) -> Any:
        return json.loads(await self.body(), object_pairs_hook=_once, parse_constant=_refuse)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            raise json.JSONDecodeError(f"the name {name!r} stands in it twice", "", 0)
        known[name] = value
    return known


def _refuse(constant: str) -> Never:
    raise json.JSONDecodeError(f"{constant} is no value of JSON", "", 0)
