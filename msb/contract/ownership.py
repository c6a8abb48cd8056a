"""Who owns a file: a package, a wheel or the build itself, by a record of its checksum."""

import base64
import csv
import hashlib
import re
from collections.abc import Iterator

from msb.image import Entry, Tree

_SUM = re.compile(r"([0-9a-f]+) [ *](.+)")
_RECORDED = re.compile(r"sha256=([\w-]*)")
_STATUS = re.compile(r"var/lib/dpkg/status(?:\.d/[^/]+)?")
_CONFIGURED = re.compile(r" (/[^ \t]+) ([0-9a-f]+)(?: obsolete)?")
_PACKAGE = re.compile(r"Package:.*?(\S+)[ \t]*")
_MAINTAINS = re.compile(r"var/lib/dpkg/info/(.+?)(?::[a-z0-9]+)?\.(?:preinst|postinst|prerm|postrm|config)")
_BUILT = "usr/share/built/"
_BYTECODE = re.compile(r"__pycache__/([^/.]*)(?:\.[^/]*)?\.pyc$")


class Owners:
    """What the records of a tree say of its files.

    They are the md5sums of Debian packages, with the configuration files and the maintainer's scripts that dpkg keeps
    beside them, the RECORD of Python wheels, and what the build wrote of the files that it made itself,
    usr/share/built/*.sha256, in the form of sha256sum.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._claims: dict[str, set[str]] = {}
        self._made: set[str] = set()
        self._packages: set[str] = set()
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

    def published(self, entry: Entry) -> bool:
        """Whether a package's or a wheel's record names the file with its checksum: whoever has the package has it."""
        return not self.made(entry) and self.own(self._tree.entries[entry.path])

    def own(self, entry: Entry) -> bool:
        """Whether a record names the file with its checksum; bytecode belongs to whom its source belongs."""
        if entry.path in self._claims:
            return not self._claims[entry.path].isdisjoint(self._digests(entry))
        script = None if entry.elf else _MAINTAINS.fullmatch(entry.path)
        if script and script[1] in self._packages:
            return True  # dpkg keeps no checksum of what it runs itself
        if entry.program:
            return False  # and no bytecode
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
            path = entry.path  # not a Path: an image has 200,000 of them
            if path.endswith(".dist-info/RECORD"):
                rows = csv.reader(self._lines(entry))
                folder = path.rpartition("/")[0].rpartition("/")[0]
                for file, digest in (row[:2] for row in rows if len(row) == 3):
                    if match := _RECORDED.fullmatch(digest):
                        yield path, f"{folder}/{file}", match[1]
            elif path.startswith("var/lib/dpkg/") and not path.endswith(".md5sums"):
                for line in self._lines(entry) if _STATUS.fullmatch(path) else ():
                    if match := _CONFIGURED.fullmatch(line):
                        yield path, match[1], match[2]
                    elif match := _PACKAGE.fullmatch(line):
                        self._packages.add(match[1])
            elif path.startswith("var/lib/dpkg/") or (path.startswith(_BUILT) and path.endswith(".sha256")):
                for line in self._lines(entry):
                    if match := _SUM.fullmatch(line):
                        yield path, match[2], match[1]

    def _lines(self, entry: Entry) -> list[str]:
        return self._tree.read(entry).decode("utf-8", "surrogateescape").split("\n")
