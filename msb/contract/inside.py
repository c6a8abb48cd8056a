"""What archives bring along: engines, installers and programs, in a jar, a wheel, a zip or a tar, at any depth."""

import io
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from msb import elf, tars, zips
from msb.contract.rules import Subject, names_like
from msb.tree import HEAD, MODULES, Entry, Part, first

_LIBRARY = re.compile(r"\.(?:so(?:\.|$)|jnilib$)")
_ARCHIVES = (".jar", ".war", ".ear", ".zip", ".whl", ".egg", ".pyz", ".pex", ".jmod", ".tar")
_PACKED = re.compile(r"\.(?:gz|bz2|xz|zst)$")
_COORDINATES = re.compile(r"(?:^|/)META-INF/maven/([^/]+)/([^/]+)/[^/]*$")
_METADATA = re.compile(r"(?:^|/)[^/]+\.(?:dist|egg)-info(?:/(?:METADATA|PKG-INFO|RECORD))?$|^EGG-INFO/PKG-INFO$")
_NAME = re.compile(
    rb"^name:[ \t]*([\w.-]+)|^([\w.-]+?)(?:-[^-/\s,]*)?\.dist-info/RECORD,,", re.IGNORECASE | re.MULTILINE
)
_MODULE = re.compile(rb"^(?:Automatic-Module-Name|Bundle-SymbolicName):[ \t]*([\w.-]+)", re.IGNORECASE | re.MULTILINE)
_POOL = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
_SAID = 1 << 18  # bytes of a manifest, a record or a module's description
_BLOCK = 1 << 16  # bytes of a member that are read at a time
_DEEPEST = 6  # archives in one another
_LEAST, _TIMES = 32 << 20, 64  # bytes that an archive may unpack to: so many, and so many times its own size
_ENTRY = 1 << 10  # bytes that a member counts for besides
_OVERLAP = 1 << 10  # longer than any text that gives a tool away


@dataclass(frozen=True, slots=True)
class _Member:
    """A file of an archive. head: its first bytes; blocks: its content in parts; plain: it where it is not packed."""

    name: str
    head: bytes
    blocks: Callable[[], Iterator[bytes]]
    plain: Part | None = None


class Archives:
    """What stacks.toml's members, identities, wheels and fingerprints tell of an archive, and the names of tools."""

    def __init__(self, subject: Subject) -> None:
        content, permits = subject.contract.content, subject.stack.permits
        self._paths: dict[str, list[tuple[str, str]]] = {}
        for tool, path in content.members.items():
            if tool not in permits:
                self._paths.setdefault(path.rpartition("/")[2], []).append((path, tool))
        self._identities = {
            tool: names_like(names) for tool, names in content.identities.items() if tool not in permits
        }
        self._wheels = names_like(name for name in content.wheels if name not in permits)
        self._texts = {text.encode(): name for name, text in content.fingerprints.items() if name not in permits}
        self._names = (subject.tools, subject.footholds)
        self._left = 0

    def unpacked(self, entry: Entry, read: Callable[[], bytes]) -> Iterator[str]:
        """What a file brings by its place: it belongs to what an archive of such a tool holds."""
        yield from dict.fromkeys(self._told(entry.path, read))

    def brought(self, stream: IO[bytes], size: int, place: str, *, owned: bool) -> Iterator[tuple[str, str]]:
        """(place, what it is), each once: `a.jar!/b.jar` is b.jar inside a.jar.

        owned: whether a record owns the archive's content, or its visitors are meant to get it, so that programs under
        names of their own are no findings. How much is unpacked is bounded by the archive's size.
        """
        self._left = _LEAST + _TIMES * size
        told = set()
        try:
            for found in self._searched(stream, place, 0, owned):
                if found not in told:
                    told.add(found)
                    yield found
        except _TooMuchError:
            yield place, f"unpacks to more than {_TIMES} times its size: nobody can look through it"

    def _searched(self, stream: IO[bytes], place: str, depth: int, owned: bool) -> Iterator[tuple[str, str]]:
        """What a file brings as an archive, which may be packed as a whole: what that holds may be a program too."""
        stream.seek(0)
        if not tars.packed(stream.read(HEAD)):
            for member in _members(stream):
                yield from self._of(member, place, depth, owned)
            return
        with tempfile.TemporaryFile(prefix="msb-packed-") as file:
            self._write(tars.unpacked(stream), file)
            whole = _whole(_PACKED.sub("", place.rpartition("/")[2]), file)
            yield from ((place, what) for what in self._program(whole, owned))
            yield from self._inside(file, place, depth, owned)

    def _of(self, member: _Member, place: str, depth: int, owned: bool) -> Iterator[tuple[str, str]]:
        """What a member of the archive at that place brings."""
        self._spend(_ENTRY)
        where = f"{place}!/{member.name}"
        for tool in self._told(member.name, lambda: self._start(member)):
            yield place, f"brings {tool}"
        yield from ((where, what) for what in self._program(member, owned))
        if member.head == b"PK\3\4" or tars.packed(member.head) or member.name.lower().endswith(_ARCHIVES):
            if member.plain:
                yield from self._inside(member.plain, where, depth, owned)  # type: ignore[arg-type]
                return
            with tempfile.TemporaryFile(prefix="msb-packed-") as file:
                self._write(member.blocks(), file)
                yield from self._inside(file, where, depth, owned)

    def _inside(self, stream: IO[bytes], place: str, depth: int, owned: bool) -> Iterator[tuple[str, str]]:
        if depth == _DEEPEST:
            yield place, f"is the {depth + 1}th archive in one another: nobody can look through them"
        else:
            yield from self._searched(stream, place, depth + 1, owned)

    def _program(self, member: _Member, owned: bool) -> Iterator[str]:
        """What a member is, if it is machine code, a script or a Java runtime."""
        if not (member.head in (b"\x7fELF", MODULES) or member.head.startswith(b"#!")):
            return
        name = member.name.rpartition("/")[2]
        library = _LIBRARY.search(name)
        if not library and any(names.match(name) for names in self._names):
            yield f"brings {name}"
        elif not member.head.startswith(b"#!"):
            tool = self._fingerprint(member)
            if tool:
                yield f"brings {tool}"
            elif member.head != MODULES and not owned and not (library and self._loaded(member)):
                yield "brings a program that no record owns"

    def _loaded(self, member: _Member) -> bool:
        """Whether what is called a library is one: a program has a loader, or a fixed address."""
        found = elf.read(io.BytesIO(self._start(member)))
        return not found or not (found.interpreter or found.kind == elf.EXECUTABLE)

    def _fingerprint(self, member: _Member) -> str:
        before = b""
        for block in member.blocks():
            self._spend(len(block))
            if found := first(before + block, self._texts):
                return self._texts[found]
            before = block[-_OVERLAP:]
        return ""

    def _told(self, path: str, read: Callable[[], bytes]) -> Iterator[str]:
        """The tools that a path, or what the file there says of itself, tells."""
        name = path.rpartition("/")[2]
        source = name[:-1] if name.endswith(".pyc") else name
        for end, tool in self._paths.get(source, ()):
            if (path[:-1] if source != name else path).endswith(end):
                yield tool
        if coordinates := _COORDINATES.search(path):
            yield from self._identified(f"{coordinates[1]}:{coordinates[2]}")
        elif path.endswith("META-INF/MANIFEST.MF"):
            for said in _MODULE.findall(re.sub(rb"\r?\n ", b"", read())):
                yield from self._identified(said.decode())
        elif name == "module-info.class":
            yield from self._identified(module(read()))
        elif _METADATA.search(path) and (said := _NAME.search(read())):
            wheel = re.sub(r"[-_.]+", "-", (said[1] or said[2]).decode().lower())
            if self._wheels.match(wheel):
                yield wheel

    def _identified(self, said: str) -> Iterator[str]:
        yield from (tool for tool, names in self._identities.items() if names.match(said))

    def _start(self, member: _Member) -> bytes:
        data = b""
        for block in member.blocks():
            self._spend(len(block))
            data += block
            if len(data) >= _SAID:
                break
        return data[:_SAID]

    def _write(self, blocks: Iterator[bytes], file: IO[bytes]) -> None:
        """Unpack an archive to a file, which can seek."""
        for block in blocks:
            self._spend(len(block))
            file.write(block)

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooMuchError


class _TooMuchError(Exception):
    """More than an archive of that size may unpack to."""


def _members(stream: IO[bytes]) -> Iterator[_Member]:
    """The files of the archive that a stream is, if it is one."""
    for found in zips.members(stream):
        plain = None if found.method else zips.stored(stream, found)
        yield _Member(found.name, zips.head(stream, found), partial(zips.blocks, stream, found), plain)
    for name, part in tars.members(stream):
        yield _Member(name, part.read(HEAD), partial(_blocks, part), part)


def _whole(name: str, file: IO[bytes]) -> _Member:
    """A file as if it were a member."""
    file.seek(0)
    return _Member(name, file.read(HEAD), partial(_blocks, file))


def _blocks(file: IO[bytes] | Part) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(_BLOCK):
        yield block


def module(data: bytes) -> str:
    """Return the name of the module that a module-info.class describes, or "" (JVM specification, 4.4 and 4.7.25)."""
    try:
        count, at, pool = int.from_bytes(data[8:10], "big"), 10, dict[int, bytes]()
        number = 1
        while number < count:
            tag = data[at]
            size = 2 + int.from_bytes(data[at + 1 : at + 3], "big") if tag == 1 else _POOL[tag]
            pool[number] = data[at + 1 : at + 1 + size]
            number += 2 if tag in (5, 6) else 1
            at += 1 + size
        at += 14  # flags, this, super, interfaces, fields, methods, and how many attributes
        while at + 6 <= len(data):
            name = pool[int.from_bytes(data[at : at + 2], "big")][2:]
            if name == b"Module":
                described = pool[int.from_bytes(data[at + 6 : at + 8], "big")]
                return pool[int.from_bytes(described, "big")][2:].decode("utf-8", "replace")
            at += 6 + int.from_bytes(data[at + 2 : at + 6], "big")
    except (KeyError, IndexError):
        pass
    return ""
