"""Tar archives as data, and what gzip, bzip2, xz and Zstandard pack: a part at a time, as far as they can be read."""

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

import zstandard

from msb.saved import UNPACK
from msb.tree import Part

_XZ = b"\xfd7zX"
_UNPACK = UNPACK | {b"BZh": bz2.open}
_PART = 1 << 16  # bytes that are read at a time
_LONGEST = 1 << 20  # bytes of a name or of other headers
_MEMORY = 128 << 20  # bytes that unpacking may take: xz alone asks for as many as the archive says, 65 MB with -9
_UNREADABLE = (
    tarfile.TarError, zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, OSError, ValueError, RecursionError,
)  # fmt: skip


def packed(head: bytes) -> bool:
    """Whether a file that starts so is packed by one of the four."""
    return head.startswith((_XZ, *_UNPACK))


def unpacked(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield what a packed stream holds, in parts, up to where it cannot be read."""
    stream.seek(0)
    head = stream.read(4)
    stream.seek(0)
    try:
        if head == _XZ:
            yield from _xz(stream)
            return
        unpack = next(unpack for start, unpack in _UNPACK.items() if head.startswith(start))
        with unpack(stream) as plain:
            while block := plain.read(_PART):
                yield block
    except _UNREADABLE:
        return


def members(stream: IO[bytes]) -> Iterator[tuple[str, Part]]:
    """Yield the name and the content of each file in a tar archive; nothing where the stream is none."""
    try:
        with tarfile.open(fileobj=_Headers(stream, 0, stream.seek(0, 2)), mode="r:") as archive:  # type: ignore[call-overload]
            while member := archive.next():
                archive.members = []  # it keeps them all, and a prepared archive has more than fit into memory
                if member.isreg():
                    yield member.name, Part(stream, member.offset_data, member.size)
    except _UNREADABLE:
        return


def _xz(stream: IO[bytes]) -> Iterator[bytes]:
    """As `lzma.open` reads it, which takes no limit for its memory: streams, with zeros between them."""
    rest = b""
    while rest := rest or stream.read(_PART):
        rest = rest.lstrip(b"\0")
        if not rest:
            continue
        unpacker = lzma.LZMADecompressor(memlimit=_MEMORY)
        while not unpacker.eof:
            yield unpacker.decompress(rest, _PART)
            rest = stream.read(_PART) if unpacker.needs_input else b""
            if unpacker.needs_input and not rest:
                return
        rest = unpacker.unused_data


class _Headers(Part):
    """An archive of which only headers are read: none is longer than a name may be."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST:
            raise ValueError(f"a header of {size} bytes")
        return super().read(size)
