"""Copies what every template carries, and writes each stack's contract data and what it knows of the collection.

Links, includes and shared imports do not survive zip archives, Windows, --directory or cruft, so the copies are
committed. The root's .gitattributes lists them as generated, which is also how stale ones are found again.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msb
from msb import stacks
from msb.errors import MsbError
from msb.stacks import ROOT, Matrix, Stack

PROJECT = "{{cookiecutter.__folder}}"
"""The folder in each template that becomes the generated project."""

GENERATED = " linguist-generated"
MARKER = "# Below: the copies that `make sync` writes.\n"

CONTRACT_HEAD = """\
# What docker/verify looks for in the image. One entry a line: a kind, one space, and the rest of the line.
# Names are shell patterns, matched against the last part of a path.
"""
CONTRACT_FOOT = """\

# Exceptions of this project, yours to edit: the rule, a pattern for the path, and the reason, all three. For example
# allow MSB101 /app/tools/git the service clones repositories at run time
"""


@dataclass(frozen=True)
class _File:
    content: bytes
    executable: bool = False

    @classmethod
    def read(cls, path: Path) -> "_File":
        return cls(path.read_bytes(), bool(path.stat().st_mode & 0o100))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        path.chmod(0o755 if self.executable else 0o644)

    def is_at(self, path: Path) -> bool:
        """Whether the file at `path` is this one; Windows keeps no executable bit to compare."""
        if not path.is_file():
            return False
        found = _File.read(path)
        return self.content == found.content and (os.name == "nt" or self.executable == found.executable)


def sync(check: bool, root: Path = ROOT) -> list[Path]:
    """Bring every template in line with common/, hooks/ and stacks.toml under `root`.

    Returns the absolute paths that differed (changed, missing or stale), sorted. With `check`, writes nothing. Raises
    MsbError where stacks.toml permits or keeps a name that nothing denies.
    """
    matrix = stacks.load(root / "stacks.toml")
    wanted = _wanted(root, matrix)
    stale = {path for path in _listed(root) if path not in wanted and path.exists()}
    wanted |= _questions(root, matrix)  # which are the template's own, except for what the collection says of itself
    differing = {path for path, file in wanted.items() if not file.is_at(path)}
    if not check:
        for path in differing:
            wanted[path].write(path)
        for path in stale:
            path.unlink()
            _remove_empty_parents(path)
    return sorted(stale | differing)


def contract_data(matrix: Matrix, stack: Stack) -> str:
    """Return the text of docker/contract.txt for `stack`; raise MsbError for a permitted name that nothing denies."""
    content = matrix.contract.content
    denied = [name for family in matrix.contract.tools.values() for name in family]
    engines = content.fingerprints | content.members
    fingerprints, members = (
        [
            f"{name}={text.replace(chr(9), chr(92) + 't').replace(chr(10), chr(92) + 'n')}"
            for name, text in texts.items()
            if name not in stack.permits
        ]
        for texts in (content.fingerprints, content.members)
    )
    entries = {
        "tool": _without(
            denied, [name for name in stack.permits if name not in engines], f"stacks.{stack.name}.permits"
        ),
        "foothold": [name for family in matrix.contract.footholds.values() for name in family],
        "package": content.packages,
        "section": content.sections,
        "carried": list(content.carried),
        "script": list(content.scripts),
        "wheel": content.wheels,
        "fingerprint": fingerprints,
        "member": members,
        "header": content.headers,
        "source": _without(content.sources, stack.keeps, f"stacks.{stack.name}.keeps"),
        "served": content.served,
        "application": stack.application,
        "webroot": stack.webroot,
        "user": [str(matrix.contract.user.uid)],
        "writes": [matrix.contract.user.home, *(f"{path}/" for path in stack.service.writes)],
    }
    lines = [f"{kind} {value}\n" for kind, values in entries.items() for value in values]
    return CONTRACT_HEAD + "".join(lines) + CONTRACT_FOOT


def _without(denied: list[str], exceptions: list[str], key: str) -> list[str]:
    for name in exceptions:
        if name not in denied:
            raise MsbError(f"stacks.toml: {key}: {name!r} is not a pattern of the contract (for example {denied[0]!r})")
    return [name for name in denied if name not in exceptions]


def _wanted(root: Path, matrix: Matrix) -> dict[Path, _File]:
    """Map every path that sync writes to what belongs there."""
    wanted: dict[Path, _File] = {}
    for stack in matrix.stacks.values():
        template = root / "templates" / stack.name
        for source, target in ((root / "common", template / PROJECT), (root / "hooks", template / "hooks")):
            wanted |= {target / path.relative_to(source): _File.read(path) for path in _files(source)}
        wanted[template / PROJECT / "docker" / "contract.txt"] = _File(contract_data(matrix, stack).encode())
    lines = sorted(_attribute(path.relative_to(root)) for path in wanted)
    own = _attributes(root).partition(MARKER)[0]
    wanted[root / ".gitattributes"] = _File((own + MARKER + "".join(lines)).encode())
    return wanted


def _questions(root: Path, matrix: Matrix) -> dict[Path, _File]:
    """Each template's cookiecutter.json, with the collection's address and release, and the stack's name."""
    found = {}
    for name in matrix.stacks:
        path = root / "templates" / name / "cookiecutter.json"
        if path.exists():
            text = path.read_text(encoding="utf-8")
            said = {"_collection": matrix.collection.address, "_release": f"v{msb.__version__}", "_stack": name}
            for key, value in said.items():
                written = re.search(rf'^ *"{key}": (".*"),$', text, re.MULTILINE)
                if written:
                    text = text[: written.start(1)] + json.dumps(value) + text[written.end(1) :]
            found[path] = _File(text.encode())
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _attributes(root: Path) -> str:
    path = root / ".gitattributes"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _attribute(path: Path) -> str:
    name = f"/{path.as_posix()}"
    return (f'"{name}"' if " " in name else name) + GENERATED + "\n"


def _listed(root: Path) -> set[Path]:
    """Return the paths that .gitattributes names as written by an earlier sync."""
    lines = _attributes(root).partition(MARKER)[2].splitlines()
    return {root / line.removesuffix(GENERATED).strip('"').removeprefix("/") for line in lines}


def _remove_empty_parents(path: Path) -> None:
    for folder in path.parents:
        if any(folder.iterdir()):
            return
        folder.rmdir()
