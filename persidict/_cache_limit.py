"""Keeps a cache in a folder below a size: what has not been used for longest goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

_AGAIN = 0.1  # of the limit: what may be written before the folder is measured again
_LEFT = 0.8  # of the limit: what is left, so that the next writes have room


class _Entry(NamedTuple):
    used: int
    size: int
    path: str


class CacheLimit:
    """A limit for the files below a folder that end in one of some suffixes.

    It is approximate: each process measures the folder after it has written a tenth of the limit.
    "Used" is what the file system notes of reads, at least the time of the write.

    Args:
        folder: whose files are measured, also those that other processes have written.
        suffixes: the first is that of values; for a value that goes, its files of all go.
        most_bytes: the limit.
    """

    def __init__(self, folder: str, suffixes: tuple[str, ...], most_bytes: int) -> None:
        self._folder = folder
        self._suffixes = suffixes
        self.most_bytes = most_bytes
        self._written = most_bytes  # nothing is known of what is there: measure at the first write
        self._lock = threading.RLock()

    def add(self, size: int) -> None:
        """Note that so many bytes were written; remove the oldest entries if it is time."""
        with self._lock:
            self._written += size
            if self._written <= self.most_bytes * _AGAIN:
                return
            self._written = 0
        self._shrink()

    def _shrink(self) -> None:
        entries = sorted(self._entries())
        total = sum(entry.size for entry in entries)
        if total <= self.most_bytes:
            return
        for entry in entries:
            if total <= self.most_bytes * _LEFT:
                return
            self._remove(entry.path)
            total -= entry.size

    def _remove(self, path: str) -> None:
        stem = path.removesuffix(self._suffixes[0])
        # the etag first: alone it says nothing
        for suffix in reversed(self._suffixes):
            with suppress(OSError):
                os.unlink(stem + suffix)

    def _entries(self) -> Iterator[_Entry]:
        for folder, _, names in os.walk(self._folder):
            for name in names:
                if name.endswith(self._suffixes[0]):
                    path = os.path.join(folder, name)
                    with suppress(OSError):
                        found = os.stat(path)
                        used = max(found.st_atime_ns, found.st_mtime_ns)
                        yield _Entry(used, found.st_size, path)
