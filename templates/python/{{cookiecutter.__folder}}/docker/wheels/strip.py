"""strip - cuts from the libraries of packages what no loader reads, debug information for the most part.

Whatever runs is in a library's segments, and what follows the last one is for debuggers. Nothing is moved, so that a
library which patchelf has changed still loads. One with data behind its sections may read them: it stays as it is.
"""

import struct
from pathlib import Path

LIBRARY = b"\3\0"
"""The type of a file that loaders load; an object, which has no segments, has another."""
NO_BYTES = 8
"""The kind of a section that takes room in memory alone."""


def strip(library: Path) -> bool:
    """End the file after its last segment, if something else follows; return whether it did."""
    data = library.read_bytes()
    if not data.startswith(b"\x7fELF\2\1") or data[16:18] != LIBRARY or len(data) < 64:
        return False
    segments, sections = struct.unpack_from("<QQ", data, 32)
    segment_count, _, section_count = struct.unpack_from("<HHH", data, 56)
    if not segment_count or max(segments + 56 * segment_count, sections + 64 * section_count) > len(data):
        return False  # a damaged one
    loaded = [struct.unpack_from("<8xQ16xQ", data, segments + 56 * number) for number in range(segment_count)]
    described = [struct.unpack_from("<4xI16xQQ", data, sections + 64 * number) for number in range(section_count)]
    end = max(offset + size for offset, size in loaded)
    ends = [offset + size for kind, offset, size in described if kind != NO_BYTES]
    known = max([sections + 64 * section_count, *ends])
    if not end < len(data) <= known:
        return False
    # The header names no table of sections any more.
    library.write_bytes(data[:40] + bytes(8) + data[48:58] + bytes(6) + data[64:end])
    return True
