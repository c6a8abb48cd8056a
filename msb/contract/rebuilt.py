"""What a second build of a project gives, with a secret and nothing cached: two rules ask, and it is built once."""

import hashlib
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msb import project as projects
from msb.engine import Engine
from msb.image import Entry, Image, Tree

_NOT_SHIPPED = {"toolbox", "test", "verify", "debug"}
"""The stages of which nothing reaches the runtime image."""


@dataclass(frozen=True)
class Rebuilt:
    """canary: what stood in the secret; traces: the layers' files and history entries that hold it.

    differ: the paths at which the two images are not alike, and what differs there; times aside.
    """

    canary: str
    traces: tuple[tuple[str, str], ...]
    differ: dict[str, str]


def rebuilt(engine: Engine, project: Path) -> Rebuilt:
    """Build a project as it is cached, and once more with every stage of the image made anew, and compare the images.

    Raises BuildError when it cannot be built.
    """
    from msb.contract.credentials import traces  # whose rules need a Subject, which has this

    canary = f"msb-canary-{uuid.uuid4().hex}"
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    stages = [name for name in re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE) if name not in _NOT_SHIPPED]
    with tempfile.TemporaryDirectory(prefix="msb-rebuilt-") as folder:
        secret = Path(folder) / "secret"
        secret.write_bytes(bundle(canary))
        with (
            _built(engine, project, None, ()) as first,
            _built(engine, project, secret, (f"--no-cache-filter={','.join(stages)}",)) as second,
        ):
            found = tuple(traces(second, canary.encode()))
            return Rebuilt(canary, found, _compared(first.tree, second.tree))


def bundle(canary: str) -> bytes:
    """Return the CA bundle of this machine with the canary in it, which every TLS library takes for a comment."""
    return projects.roots() + f"\n# {canary}\n".encode()


@contextmanager
def _built(engine: Engine, project: Path, secret: Path | None, options: tuple[str, ...]) -> Iterator[Image]:
    tag = f"msb-build:{uuid.uuid4().hex[:12]}"
    try:
        projects.build(engine, project, tag=tag, options=(*options, *projects.UNTESTED), secret=secret)
        with Image(engine, tag) as image:
            yield image
    finally:
        engine.run("image", "rm", "--force", tag, check=False)


def _compared(first: Tree, second: Tree) -> dict[str, str]:
    """What differs between two trees, by path."""
    differ = dict.fromkeys(first.entries.keys() ^ second.entries.keys(), "is in one of two builds of the same source")
    for path in first.entries.keys() & second.entries.keys():
        one, other = first.entries[path], second.entries[path]
        if _about(one) != _about(other):
            differ[path] = "has another kind, size, owner or mode in a second build of the same source"
        elif _digest(first, one) != _digest(second, other):
            differ[path] = "has another content in a second build of the same source"
    return dict(sorted(differ.items()))


def _about(entry: Entry) -> tuple[object, ...]:
    return entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.target, entry.xattrs


def _digest(tree: Tree, entry: Entry) -> str:
    content = hashlib.sha256()
    for block in tree.blocks(entry):
        content.update(block)
    return content.hexdigest()
