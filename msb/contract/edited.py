"""What a one-line source edit does to a build and to its image: two rules and the demo ask, and it is built once."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msb import project as projects
from msb.engine import Engine
from msb.errors import MsbError
from msb.image import Entry, Image
from msb.stacks import Stack


@dataclass(frozen=True)
class Edited:
    """log: what the build of the edit printed; layers: the entries of each layer that it changes, base first."""

    log: str
    layers: list[list[Entry]]


def edited(engine: Engine, stack: Stack, project: Path) -> Edited:
    """Build two source edits of a project, one after the other, and say what the second did.

    Neither was ever built, for a cached one has the layers of its own time. Raises BuildError when one cannot be built,
    and MsbError when the edit changes no layer, so that nothing can be said.
    """
    with tempfile.TemporaryDirectory(prefix="msb-edited-") as folder:
        with _built(engine, stack, project, Path(folder) / "first") as (_, before):
            known = before.digests
        with _built(engine, stack, project, Path(folder) / "second") as (log, after):
            pairs = zip(after.digests, after.layers, strict=True)
            layers = [list(layer.archive.entries.values()) for name, layer in pairs if name not in known]
    if not layers:
        raise MsbError("the edit of stacks.toml changes no layer, so nothing can be said")
    return Edited(log, layers)


@contextmanager
def _built(engine: Engine, stack: Stack, project: Path, into: Path) -> Iterator[tuple[str, Image]]:
    copy = projects.copy(project, into)
    projects.edit(copy, stack.edits.source)
    tag = f"msb-build:{uuid.uuid4().hex[:12]}"
    try:
        log = projects.build(engine, copy, tag=tag, options=projects.UNTESTED).log
        with Image(engine, tag) as image:
            yield log, image
    finally:
        engine.run("image", "rm", "--force", tag, check=False)
