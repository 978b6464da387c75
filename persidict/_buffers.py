"""Memory for large values, of large pages where the system has them: new small pages are dear."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterable
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | mmap.mmap
"""What values are stored as: `len`, slices, `find`, and the buffer protocol."""

LARGE = 1 << 20


def new_buffer(size: int) -> mmap.mmap:
    """Return writable memory of this size, which must not be 0."""
    if sys.platform == "win32" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return mmap.mmap(-1, size)
    # private: memory that could be shared with other processes gets no large pages
    buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def joined(parts: Iterable[bytes | memoryview], size: int) -> Buffer:
    """Return the parts, `size` bytes in all, in one piece."""
    if size < LARGE:
        return b"".join(parts)
    buffer = new_buffer(size)
    for part in parts:
        buffer.write(part)
    return buffer
