"""File trees as data: what a tar archive, a folder or a stack of layers holds, read when it is asked for."""

import os
import re
import stat
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO

from msb.errors import MsbError

HEAD = 4
"""Bytes of every file that are read with the tree: enough to tell ELF and #! files."""
MODULES = b"\xda\xda\xfe\xca"
"""How the file starts that holds the modules of a Java runtime."""
_BLOCK = 1 << 20  # bytes of a file that are in memory at a time
_OVERLAP = 1 << 14  # bytes of the block before that a search sees again: no match is longer
_LINKS = 40  # as Linux: a longer chain of links is a loop
_TAR_BLOCK = 512
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.LNKTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "pipe",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a tree.

    path: relative to the root, without a leading slash; kind: file, folder, link (symbolic), device or pipe;
    mode: permission bits with setuid, setgid and sticky; size: bytes; target: where a link points, else "";
    xattrs: names of the extended attributes; head: the first HEAD bytes of a file; hard: the path that this
    hard link shares its content with, else ""; offset: where its content starts in the archive.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    xattrs: tuple[str, ...]
    head: bytes
    hard: str
    offset: int = 0

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def elf(self) -> bool:
        """Whether this file is machine code."""
        return self.head == b"\x7fELF"

    @property
    def modules(self) -> bool:
        """Whether it holds the modules of a Java runtime, as the file lib/modules does."""
        return self.head == MODULES

    @property
    def program(self) -> bool:
        """Whether this file is something that can be run: machine code or a script with a #! line."""
        return self.elf or self.head.startswith(b"#!")


def first(content: bytes, texts: Collection[bytes]) -> bytes | None:
    """Return which of some texts stands first in the content; faster than one pattern of them all."""
    places = [(at, text) for text in texts if (at := content.find(text)) >= 0]
    return min(places)[1] if places else None


class Content(ABC):
    """Files by path whose content is read in blocks, so that no file has to fit into memory."""

    @property
    @abstractmethod
    def entries(self) -> dict[str, Entry]:
        """Every entry by path."""

    @abstractmethod
    def open(self, entry: Entry) -> IO[bytes]:
        """Open a regular file."""

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        """Yield a file's content block by block; nothing for what is not a file."""
        if entry.kind == "file" and entry.size:
            with self.open(entry) as stream:
                while block := stream.read(_BLOCK):
                    yield block

    def read(self, entry: Entry) -> bytes:
        """Return a file's whole content: for files that are small by what they are. b"" for what is not a file."""
        return b"".join(self.blocks(entry))

    def search(self, entry: Entry, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Return the first match of a pattern, none of whose matches is longer than 16 kB, in a file of any size."""
        matches = (pattern.search(window) for window in self._windows(entry))
        return next((match for match in matches if match), None)

    def first(self, entry: Entry, texts: Collection[bytes]) -> bytes | None:
        """Return which of some texts, none longer than 16 kB, a file of any size holds first."""
        found = (first(window, texts) for window in self._windows(entry))
        return next((text for text in found if text), None)

    def _windows(self, entry: Entry) -> Iterator[bytes]:
        before = b""
        for block in self.blocks(entry):
            window = before + block
            if window.count(0) != len(window):  # a hole of a sparse file holds nothing
                yield window
            before = block[-_OVERLAP:]

    def close(self) -> None:  # noqa: B027 most have nothing to close
        """Close what is open."""


class Archive(Content):
    """An uncompressed tar archive on disk, whose members are read when they are asked for."""

    def __init__(self, source: Path | IO[bytes]) -> None:
        self._file = source.open("rb") if isinstance(source, Path) else source
        self._sparse: dict[int, tarfile.TarInfo] = {}
        self._tar = tarfile.open(fileobj=self._file, mode="r:")  # noqa: SIM115

    def close(self) -> None:
        """Close the file."""
        self._tar.close()
        self._file.close()

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every member by path, in the archive's order."""
        found: dict[str, Entry] = {}
        while member := self._tar.next():
            self._tar.members = []  # type: ignore[attr-defined] # which would keep 1 kB a member
            path = clean(member.name)
            if path:
                found[path] = self._entry(path, member, found)
        return found

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a regular file."""
        if entry.offset in self._sparse:
            stream = self._tar.extractfile(self._sparse[entry.offset])
            assert stream  # noqa: S101 a sparse member is a file
            return stream
        return Part(self._file, entry.offset, entry.size)  # type: ignore[return-value]

    def _entry(self, path: str, member: tarfile.TarInfo, earlier: dict[str, Entry]) -> Entry:
        hard = clean(member.linkname) if member.islnk() else ""
        shared = earlier.get(hard)
        if member.isreg() and member.sparse is not None:
            self._sparse[member.offset_data] = member
        kind = _KINDS.get(member.type, "file")
        head = shared.head if shared else b""
        if kind == "file" and not hard and member.size:
            head = self._head(member)
        return Entry(
            path=path,
            kind=kind,
            mode=member.mode & 0o7777,
            uid=member.uid,
            gid=member.gid,
            size=shared.size if shared else 0 if hard else member.size,
            target=member.linkname if member.issym() else "",
            xattrs=tuple(key[13:] for key in member.pax_headers if key.startswith("SCHILY.xattr.")),
            head=head,
            hard=hard,
            offset=shared.offset if shared else member.offset_data,
        )

    def _head(self, member: tarfile.TarInfo) -> bytes:
        if member.sparse is not None:
            stream = self._tar.extractfile(member)
            return stream.read(HEAD) if stream else b""
        self._file.seek(member.offset_data)
        return self._file.read(min(HEAD, member.size))


class Part:
    """A run of bytes of an open file, as a file of its own."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._at = file, offset, size, 0

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        left = max(self._size - self._at, 0)
        self._file.seek(self._offset + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data

    def seek(self, at: int, whence: int = 0) -> int:
        """As of a file."""
        self._at = max(0, at + (0, self._at, self._size)[whence])
        return self._at

    def tell(self) -> int:
        """As of a file."""
        return self._at

    def seekable(self) -> bool:
        """As of a file."""
        return True


class Folder(Content):
    """A folder of this machine that holds a root file system, without what is mounted in it."""

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every path under the folder; raises MsbError for a file that cannot be read."""
        found: dict[str, Entry] = {}
        try:
            device = os.lstat(self._root).st_dev
            pending = [b""]
            while pending:
                folder = pending.pop()
                for name in os.listdir(os.path.join(self._root, folder)):  # noqa: PTH118, PTH208 a name may be no text
                    path = os.path.join(folder, name)  # noqa: PTH118
                    entry = self._entry(os.fsdecode(path))
                    found[entry.path] = entry
                    if entry.kind == "folder" and os.lstat(self._path(entry.path)).st_dev == device:
                        pending.append(path)
        except OSError as error:
            place = os.fsdecode(error.filename)
            raise MsbError(f"{place}: {error.strerror}: run msb as its owner or as root") from error
        return dict(sorted(found.items()))

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a regular file."""
        return open(self._path(entry.path), "rb")  # noqa: PTH123 a name may be no text

    def _path(self, path: str) -> bytes:
        return os.path.join(self._root, os.fsencode(path))  # noqa: PTH118

    def _entry(self, path: str) -> Entry:
        place = self._path(path)
        seen = os.lstat(place)
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe",
                 stat.S_IFSOCK: "pipe"}  # fmt: skip
        kind = kinds.get(stat.S_IFMT(seen.st_mode), "device")
        head = b""
        if kind == "file" and seen.st_size:
            with open(place, "rb") as stream:  # noqa: PTH123
                head = stream.read(HEAD)
        return Entry(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(seen.st_mode),
            uid=seen.st_uid,
            gid=seen.st_gid,
            size=seen.st_size if kind == "file" else 0,
            target=os.fsdecode(os.readlink(place)) if kind == "link" else "",  # noqa: PTH115
            xattrs=tuple(os.listxattr(place, follow_symlinks=False)) if hasattr(os, "listxattr") else (),
            head=head,
            hard="",
        )


class Merged(Content):
    """What layers give when each is laid over those before it, as a container sees them."""

    def __init__(self, layers: Iterable[Content]) -> None:
        self._layers = list(layers)
        self._homes: dict[str, Content] = {}

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Every entry by path."""
        found: dict[str, Entry] = {}
        for layer in self._layers:
            self._lay(layer, found)
        return dict(sorted(found.items()))

    def open(self, entry: Entry) -> IO[bytes]:
        """Open a regular file."""
        return self._homes[entry.path].open(entry)

    def _lay(self, layer: Content, found: dict[str, Entry]) -> None:
        """Lay one layer over what is found: first what it deletes, then what it brings."""
        tree = Tree(self, 0, found)
        parents: dict[str, str] = {}
        gone, emptied = set(), set()
        for path, entry in layer.entries.items():
            if entry.name == _OPAQUE:
                emptied.add(self._parent(tree, path, parents))
            elif entry.name.startswith(_WHITEOUT):
                gone.add(_joined(self._parent(tree, path, parents), entry.name.removeprefix(_WHITEOUT)))
        if gone or emptied:
            for path in list(found):
                above = _above(path)
                if path in gone or not gone.isdisjoint(above) or not emptied.isdisjoint(above):
                    del found[path]
        parents.clear()
        for path, entry in layer.entries.items():
            if entry.name.startswith(_WHITEOUT):
                continue
            parent = self._parent(tree, path, parents)
            self._imply(parent, found)
            real = _joined(parent, entry.name)
            before = found.get(real)
            if before and before.kind == "folder" and entry.kind != "folder":
                for inside in [each for each in found if each.startswith(f"{real}/")]:
                    del found[inside]
            found[real], self._homes[real] = self._placed(real, entry, layer, found)
            if entry.kind == "link" or (before and before.kind == "link"):
                parents.clear()

    @staticmethod
    def _imply(folder: str, found: dict[str, Entry]) -> None:
        """Make the folders that a layer only implies, as an engine does: some builders write files alone."""
        while folder and folder not in found:
            found[folder] = Entry(folder, "folder", 0o755, 0, 0, 0, "", (), b"", "")
            folder = folder.rpartition("/")[0]

    def _placed(self, path: str, entry: Entry, layer: Content, found: dict[str, Entry]) -> tuple[Entry, Content]:
        """The entry at its place, and the layer that holds its content: a hard link may lead into a lower one."""
        if entry.hard and entry.hard not in layer.entries and entry.hard in found:
            lower = found[entry.hard]
            return replace(entry, path=path, size=lower.size, head=lower.head, offset=lower.offset), self._homes[
                lower.path
            ]
        return entry if path == entry.path else replace(entry, path=path), layer

    @staticmethod
    def _parent(tree: "Tree", path: str, known: dict[str, str]) -> str:
        """Where the folder of a member really is: a layer may name it through a link of a lower layer."""
        folder = path.rpartition("/")[0]
        if folder not in known:
            real = tree.resolve(folder)
            known[folder] = real.path if real else folder
        return known[folder]


class Tree:
    """A file tree as a container of the image would see it; size: bytes of it as one tar archive."""

    def __init__(self, archive: Content, size: int, entries: dict[str, Entry] | None = None) -> None:
        self.archive = archive
        self.size = size
        self._entries = entries

    @property
    def entries(self) -> dict[str, Entry]:
        """Every entry by path."""
        return self.archive.entries if self._entries is None else self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def read(self, entry: Entry) -> bytes:
        """Return a file's whole content: for files that are small by what they are."""
        return self.archive.read(entry)

    def search(self, entry: Entry, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Return the first match of a pattern, none of whose matches is longer than 16 kB, in a file of any size."""
        return self.archive.search(entry, pattern)

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        """Yield a file's content in parts, however large it is."""
        return self.archive.blocks(entry)

    def text(self, path: str) -> str | None:
        """Return the text of the file at `path`, links followed, or None when there is none."""
        entry = self.resolve(path)
        return self.read(entry).decode("utf-8", "replace") if entry and entry.kind == "file" else None

    def looks(self, entry: Entry) -> bool:
        """Whether a file of a layer looks like what is at its path: links of lower layers may lead elsewhere."""
        later = self.entries.get(entry.path)
        return later is not None and (entry.size, entry.head) == (later.size, later.head)

    def keeps(self, layer: Content, entry: Entry) -> bool:
        """Whether a file of a layer is what is at its path: a later layer may have it again, as `chmod` makes one."""
        if not self.looks(entry):
            return False
        later = self.blocks(self.entries[entry.path])
        return all(mine == theirs for mine, theirs in zip(layer.blocks(entry), later, strict=False))

    def resolve(self, path: str) -> Entry | None:
        """Return the entry that `path` leads to with every link on the way followed, or None."""
        left = [part for part in path.split("/") if part not in ("", ".")]
        place: list[str] = []
        followed = 0
        while left:
            part = left.pop(0)
            if part == "..":
                place = place[:-1]
                continue
            entry = self.entries.get("/".join([*place, part]))
            if entry is None:
                return None
            if entry.kind != "link":
                place.append(part)
                continue
            followed += 1
            if followed > _LINKS:
                return None
            if entry.target.startswith("/"):
                place = []
            left = [step for step in entry.target.split("/") if step not in ("", ".")] + left
        return self.entries.get("/".join(place))

    def which(self, program: str, path: str) -> Entry | None:
        """Return the file that running `program` with PATH=`path` (folders separated by colons) would start."""
        folders = [""] if "/" in program else path.split(":")
        for folder in folders:
            entry = self.resolve(f"{folder}/{program}")
            if entry and entry.kind == "file" and entry.mode & 0o111:
                return entry
        return None


@dataclass(frozen=True)
class Layer:
    """One layer of an image: its digest (sha256:...) or path in the archive, and its members by path."""

    name: str
    archive: Archive


def hidden(layers: list[Layer]) -> list[set[str]]:
    """Return for each layer, base first, the paths of it that a later layer deletes or has again.

    A path counts as the layer has it: one that leads through a link of a lower layer is another.
    """
    found: list[set[str]] = []
    later: set[str] = set()  # paths at which, and folders in which, no lower layer is seen
    for layer in reversed(layers):
        entries = layer.archive.entries
        found.append({path for path in entries if path in later or not later.isdisjoint(_above(path))})
        for path, entry in entries.items():
            folder = path.rpartition("/")[0]
            if entry.name == _OPAQUE:
                later.add(folder)
            elif entry.name.startswith(_WHITEOUT):
                later.add(_joined(folder, entry.name.removeprefix(_WHITEOUT)))
            elif entry.kind != "folder":
                later.add(path)
    return found[::-1]


def packed(entries: Iterable[Entry]) -> int:
    """Return how many bytes a tar archive of the entries has."""
    blocks = sum(1 if entry.hard else 1 - (-entry.size // _TAR_BLOCK) for entry in entries)
    return (blocks + 2) * _TAR_BLOCK


def clean(path: str) -> str:
    """Return a member's name as a path from the root: no ./ or / before it, and none behind."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _above(path: str) -> set[str]:
    """The folders that a path is in, the root ("") too."""
    parts = path.split("/")
    return {"/".join(parts[:count]) for count in range(len(parts))}
