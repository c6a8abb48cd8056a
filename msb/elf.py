"""What a loader reads of an ELF file: for which processor it is, what it needs, how it may be laid out in memory.

Source: System V ABI, "Object Files" and "Program Loading and Dynamic Linking"; elf(5). Each part that is read has a
bound, so that no file, however it was made, takes long or much memory.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

EXECUTABLE, SHARED = 2, 3
"""Values of `kind`: code at a fixed address (ET_EXEC), and code at any address: a library or a PIE (ET_DYN)."""
_LOAD, _DYNAMIC, _INTERPRETER, _STACK, _RELRO = 1, 2, 3, 0x6474E551, 0x6474E552
_NEEDED, _STRINGS, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29
_CAN_RUN = 1
_MOST = 1 << 18  # bytes of a table: a hundred times what a linker writes
_LONGEST = 1 << 12  # bytes of a name
_FURTHEST = 1 << 62  # no file has a byte there


@dataclass(frozen=True, slots=True)
class Elf:
    """One ELF file.

    machine: e_machine, as 62 for x86-64; kind: e_type; dynamic: whether a loader has to link it; interpreter: the
    loader's path, or "" for a library and for what is linked statically; needed: names of the libraries that it loads
    first; rpath, runpath: folders that they are looked for in; soname: the name that it is known by once it is loaded;
    relro: whether what the loader has linked becomes read-only; stack: whether code on the stack can run, which is also
    what a loader assumes of a file that does not say.
    """

    machine: int
    kind: int
    dynamic: bool
    interpreter: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    soname: str
    relro: bool
    stack: bool


def read(stream: IO[bytes]) -> Elf | None:
    """Return what the loader would read of a file that can seek; None for what is no whole ELF file."""
    start = stream.read(64)
    if len(start) < 52 or start[:4] != b"\x7fELF" or start[4] not in (1, 2) or start[5] not in (1, 2):
        return None
    wide, order = start[4] == 2, "<" if start[5] == 1 else ">"
    try:
        kind, machine, _, _, at, _, _, _, size, count = struct.unpack_from(
            f"{order}HHI{'QQQ' if wide else 'III'}IHHH", start, 16
        )
        segments = list(_segments(_part(stream, at, size * count), order, wide, size))
        dynamic = next((segment for segment in segments if segment[0] == _DYNAMIC), None)
        tags = _tags(_part(stream, dynamic[2], dynamic[4]), order, wide) if dynamic else []
    except struct.error:
        return None
    strings = _place(segments, next((value for tag, value in tags if tag == _STRINGS), 0))
    names = {want: tuple(_name(stream, strings + value) for tag, value in tags if tag == want) for want in
             (_NEEDED, _SONAME, _RPATH, _RUNPATH)}  # fmt: skip
    loader = next((segment[2] for segment in segments if segment[0] == _INTERPRETER), None)
    stack = next((segment[1] for segment in segments if segment[0] == _STACK), _CAN_RUN)
    return Elf(
        machine=machine,
        kind=kind,
        dynamic=dynamic is not None,
        interpreter="" if loader is None else _name(stream, loader),
        needed=names[_NEEDED],
        rpath=tuple(folder for path in names[_RPATH] for folder in path.split(":") if folder),
        runpath=tuple(folder for path in names[_RUNPATH] for folder in path.split(":") if folder),
        soname=next(iter(names[_SONAME]), ""),
        relro=any(segment[0] == _RELRO for segment in segments),
        stack=bool(stack & _CAN_RUN),
    )


def _segments(table: bytes, order: str, wide: bool, size: int) -> Iterator[tuple[int, int, int, int, int]]:
    """The program headers, each as its type, flags, place in the file, address and size in the file."""
    for at in range(0, len(table) - size + 1, size) if size else ():
        if wide:
            kind, flags, offset, address, _, length = struct.unpack_from(f"{order}IIQQQQ", table, at)
        else:
            kind, offset, address, _, length, _, flags = struct.unpack_from(f"{order}7I", table, at)
        yield kind, flags, offset, address, length


def _tags(table: bytes, order: str, wide: bool) -> list[tuple[int, int]]:
    """The dynamic section up to its end, each entry as tag and value."""
    entry = struct.Struct(order + ("qQ" if wide else "iI"))
    tags = []
    for tag, value in entry.iter_unpack(table[: len(table) - len(table) % entry.size]):
        if tag == 0:
            break
        tags.append((tag, value))
    return tags


def _place(segments: list[tuple[int, int, int, int, int]], address: int) -> int:
    """Where in the file is what the loader finds at an address of memory; 0 where it finds nothing."""
    places = (offset + address - start for kind, _, offset, start, length in segments
              if kind == _LOAD and start <= address < start + length)  # fmt: skip
    return next(places, 0)


def _part(stream: IO[bytes], at: int, size: int) -> bytes:
    if at > _FURTHEST:
        return b""
    stream.seek(at)
    return stream.read(min(size, _MOST))


def _name(stream: IO[bytes], at: int) -> str:
    return _part(stream, at, _LONGEST).partition(b"\0")[0].decode("utf-8", "surrogateescape")
