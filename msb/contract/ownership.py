"""Who owns a file: a package, a wheel or the build itself, by a record of its checksum."""

import base64
import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from msb.image import Entry, Tree

_SUM = re.compile(r"([0-9a-f]+) [ *](.+)")
_RECORDED = re.compile(r"sha256=([\w-]*)")
_BUILT = "usr/share/built/"
_BYTECODE = re.compile(r"__pycache__/([^/.]*)(?:\.[^/]*)?\.pyc$")


class Owners:
    """What the records of a tree say of its files.

    They are the md5sums of Debian packages, the RECORD of Python wheels, and what the build wrote of the files that it
    made itself, usr/share/built/*.sha256, in the form of sha256sum.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._claims: dict[str, set[str]] = {}
        self._made: set[str] = set()
        for record, path, digest in self._recorded():
            entry = tree.resolve(path)
            if entry:
                self._claims.setdefault(entry.path, set()).add(digest)
                if record.startswith(_BUILT):
                    self._made.add(entry.path)

    def claim(self, entry: Entry) -> bool:
        """Whether a record names the file, whatever it says of its content."""
        return entry.path in self._claims

    def made(self, entry: Entry) -> bool:
        """Whether a record of the build names the file: it compiled or linked it, or took it from its own base."""
        return entry.path in self._made

    def own(self, entry: Entry) -> bool:
        """Whether a record names the file with its checksum; bytecode belongs to whom its source belongs."""
        if entry.path in self._claims:
            return not self._claims[entry.path].isdisjoint(self._digests(entry))
        source = self._tree.entries.get(_BYTECODE.sub(r"\1.py", entry.path))
        return source is not None and source != entry and self.claim(source) and self.own(source)

    def _digests(self, entry: Entry) -> Iterator[str]:
        md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
        for block in self._tree.blocks(entry):
            md5.update(block)
            sha.update(block)
        yield md5.hexdigest()
        yield sha.hexdigest()
        yield base64.urlsafe_b64encode(sha.digest()).decode().rstrip("=")

    def _recorded(self) -> Iterator[tuple[str, str, str]]:
        """(path of the record, path of a file, its checksum)."""
        for entry in self._tree:
            if entry.kind != "file":
                continue
            place = PurePosixPath(entry.path)
            if place.name == "RECORD" and place.parent.name.endswith(".dist-info"):
                rows = csv.reader(self._lines(entry))
                for path, digest in (row[:2] for row in rows if len(row) == 3):
                    if match := _RECORDED.fullmatch(digest):
                        yield entry.path, f"{place.parent.parent}/{path}", match[1]
            elif (entry.path.startswith("var/lib/dpkg/") and place.suffix == ".md5sums") or (
                entry.path.startswith(_BUILT) and place.suffix == ".sha256"
            ):
                for line in self._lines(entry):
                    if match := _SUM.fullmatch(line):
                        yield entry.path, match[2], match[1]

    def _lines(self, entry: Entry) -> list[str]:
        return self._tree.read(entry).decode("utf-8", "surrogateescape").split("\n")
