"""Zip archives as data: jars, wheels and zipapps, whatever they are called and whatever stands before them.

Source: PKWARE, APPNOTE.TXT 6.3. The list of members is read a part at a time, and a member a block at a time:
`zipfile` reads that list into memory as a whole, and a prepared one does not fit.
"""

import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from msb.tree import HEAD, Part

_END, _END_64, _MEMBER = b"PK\5\6", b"PK\6\6", b"PK\1\2"
_SAID = 22  # bytes of the last record without its comment
_COMMENT = 1 << 16  # the longest comment
_PART = 1 << 16  # bytes of the list, and of a member, that are read at a time
_LARGE = 0xFFFFFFFF  # says that the number stands in the extra field
_START = 30  # bytes of a member's own header before its name
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """One member. method: of compression; packed, size: bytes; at: where its header starts in the stream."""

    name: str
    method: int
    packed: int
    size: int
    at: int


def members(stream: IO[bytes]) -> Iterator[Member]:
    """Yield every member of the archive that ends in a stream, in the order of its list; nothing where none does.

    As Java and Python do, the list is found from the end: what stands before the archive does not matter.
    """
    length = stream.seek(0, 2)
    stream.seek(max(0, length - _SAID - _COMMENT - HEAD))
    tail = stream.read(_SAID + _COMMENT + HEAD)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _SAID:
        return
    size, offset = struct.unpack_from("<II", tail, at + 12)
    end = length - len(tail) + at
    if _LARGE in (size, offset) and end >= 76:
        stream.seek(end - 76)  # a record of 56 bytes, and the one of 20 that says where it is
        large = stream.read(56)
        if large[:4] == _END_64:
            size, offset = struct.unpack_from("<QQ", large, 40)
            end -= 76
    start = end - size
    if start >= 0:
        yield from (member for member in _listed(stream, start, end, start - offset) if 0 <= member.at < end)


def head(stream: IO[bytes], member: Member) -> bytes:
    """Return the first HEAD bytes of a member, or b""."""
    stream.seek(member.at)
    start = stream.read(_PART >> 6)
    if len(start) < _START or not member.packed:
        return b""
    name, extra = struct.unpack_from("<HH", start, 26)
    data = start[_START + name + extra :][: member.packed]
    if member.method == zipfile.ZIP_STORED and len(data) >= min(HEAD, member.packed):
        return data[:HEAD]
    if member.method == zipfile.ZIP_DEFLATED and data:
        try:
            found = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, HEAD)
        except zlib.error:
            return b""
        if len(found) == HEAD:
            return found
    return next(blocks(stream, member), b"")[:HEAD]


def blocks(stream: IO[bytes], member: Member) -> Iterator[bytes]:
    """Yield a member's content in parts, up to where it cannot be read: it is broken, or needs a password."""
    info = zipfile.ZipInfo(member.name.replace("\0", "") or "x")
    # Neither the size nor the checksum that it gives itself is asked: it may lie about both.
    info.compress_type, info.compress_size, info.file_size = member.method, member.packed, sys.maxsize
    try:
        with zipfile.ZipExtFile(stored(stream, member), "r", info) as file:
            while block := file.read(_PART):
                yield block
    except _UNREADABLE:
        return


def stored(stream: IO[bytes], member: Member) -> Part:
    """Return a member as it stands in the stream: its content, if it is not compressed."""
    stream.seek(member.at)
    start = stream.read(_START)
    lengths = struct.unpack_from("<HH", start, 26) if len(start) == _START else (0, 0)
    return Part(stream, member.at + _START + sum(lengths), member.packed)


def _listed(stream: IO[bytes], at: int, end: int, shift: int) -> Iterator[Member]:
    """The members that the list between `at` and `end` has; shift: what stands before the archive, in bytes."""
    buffer, begin = b"", at
    while at + 46 <= end:
        if at + 46 - begin > len(buffer):
            buffer, begin = _from(stream, at), at
        record = buffer[at - begin : at - begin + 46]
        if record[:4] != _MEMBER:
            return
        method, packed, size, name, extra, comment, offset = struct.unpack("<10xH8xIIHHH8xI", record)
        if at + 46 + name + extra - begin > len(buffer):
            buffer, begin = _from(stream, at, 46 + name + extra), at
        said = buffer[at - begin + 46 : at - begin + 46 + name + extra]
        text, fields = said[:name], said[name:]
        if _LARGE in (packed, size, offset):
            packed, size, offset = _large(fields, packed, size, offset)
        yield Member(text.decode("utf-8", "surrogateescape"), method, packed, size, offset + shift)
        at += 46 + name + extra + comment


def _from(stream: IO[bytes], at: int, least: int = 0) -> bytes:
    stream.seek(at)
    return stream.read(max(_PART, least))


def _large(fields: bytes, packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """The numbers of a member that do not fit into 32 bits."""
    at = 0
    while at + 4 <= len(fields):
        kind, length = struct.unpack_from("<HH", fields, at)
        if kind == 1:
            said = fields[at + 4 : at + 4 + length]
            numbers = iter(struct.unpack_from(f"<{len(said) // 8}Q", said))
            size, packed, offset = (next(numbers, 0) if each == _LARGE else each for each in (size, packed, offset))
            break
        at += 4 + length
    return packed, size, offset
