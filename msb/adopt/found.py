"""What is known of a project, and how its files are read."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from msb.errors import MsbError

_SKIPPED = {
    "node_modules",
    "vendor",
    "testdata",
    "target",
    "build",
    "dist",
    "out",
    "venv",
    "env",
    "__pycache__",
    "site-packages",
}
_HEALTH = re.compile(r"""["'](?:GET )?(/?(?:api/)?(?:healthz?|livez|health/live|_health|ping|up)/?)["']""")
_LICENCES = {"MIT": "MIT License|MIT", "Apache-2.0": "Apache License", "BSD-3-Clause": "Neither the name of"}


@dataclass(frozen=True)
class Note:
    """What adopt does not know or cannot do. file: relative, where its owner says it; token: text on the line of it."""

    file: str
    token: str
    text: str


@dataclass
class Found:
    """A project in the terms of one template.

    answers: to its questions, and values of its private variables. args: defaults of the ARGs at the top of the
    Dockerfile. mounts: for a manifest that the template's Dockerfile mounts, those of the project. probe: the path that
    a small program beside the service asks for its health, "" for a connection, None where the template's HEALTHCHECK
    stays. says: one line for people.
    """

    stack: str
    says: str = ""
    answers: dict[str, str] = field(default_factory=dict)
    args: dict[str, str] = field(default_factory=dict)
    mounts: dict[str, list[str]] = field(default_factory=dict)
    probe: str | None = None
    notes: list[Note] = field(default_factory=list)

    def note(self, file: str, token: str, text: str) -> None:
        """Add what the owner has to know."""
        self.notes.append(Note(file, token, text))


class Project:
    """The files of a project. module: the part of it that serves, as its owner names it, or ""."""

    def __init__(self, folder: Path, module: str = "") -> None:
        self.folder = folder
        self.module = PurePosixPath(module).as_posix() if module else ""

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def text(self, name: str) -> str:
        """A file's text, or "" where there is none."""
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        except OSError as error:
            raise MsbError(f"{path}: cannot be read: {error.strerror}") from error

    def first(self, *names: str) -> str:
        """The first of these files that is there, or ""."""
        return next((name for name in names if name in self), "")

    def files(self, *suffixes: str, under: str = "") -> Iterator[str]:
        """Paths of files with one of these endings, sorted, without what tools install or make."""
        for top, folders, names in os.walk(self.folder / under):
            folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith((".", "_")))
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield (Path(top) / name).relative_to(self.folder).as_posix()

    def licence(self, declared: str = "") -> str:
        """The licence among those that the templates know, or "Proprietary"."""
        text = self.text(self.first("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING"))
        for name, sign in _LICENCES.items():
            if name == declared or re.search(sign, text):
                return name
        return "Proprietary"

    def repository(self) -> str:
        """`host/owner/name` of the git remote `origin`, in lower case, or ""."""
        match = re.search(
            r'\[remote "origin"\][^[]*?url = \S*?([\w.-]+)[:/]+([\w.-]+)/([\w.-]+?)(?:\.git)?/?\s',
            self.text(".git/config") + "\n",
        )
        return "/".join(match.groups()).lower() if match else ""


def health_path(texts: Iterable[str]) -> str:
    """The path for health that the sources name, or ""."""
    paths = [match[1] for text in texts for match in _HEALTH.finditer(text)]
    return "/" + min(paths, key=lambda path: ("health" not in path, len(path))).lstrip("/") if paths else ""


def port_of(text: str, pattern: str) -> str:
    """The first port from 1024 on that the pattern's group finds, or ""."""
    return next((port for port in re.findall(pattern, text) if 1024 <= int(port) <= 65535), "")
