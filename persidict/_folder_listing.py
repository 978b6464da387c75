"""What is in a folder: listed once, or again after a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

from persidict._file_system import file_system_at
from persidict._files import refresh_names
from persidict._retry import reopened
from persidict._temporary import ABSENT
from persidict.io_retry import repeated


def leads_to_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def entries_of(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder; nothing if it vanished."""
    try:
        entries = _listing(folder)
    except ABSENT:
        return
    with entries:
        yield from entries


def _listing(folder: str) -> Any:
    try:
        return os.scandir(folder)
    except ABSENT:
        if file_system_at(folder).exact_names:
            raise
        refresh_names(folder)
        return os.scandir(folder)


def entries_again(folder: str, size: int, *, once: bool) -> Iterator[os.DirEntry[str]]:
    """Do the same, from the beginning again after a failure, and yield nothing twice.

    Args:
        folder: what is listed.
        size: so many entries are listed at a time.
        once: not to repeat what may be repeated by what runs the I/O; only what was replaced.
    """
    listing = _Listing(folder, size)
    batch = partial(reopened, listing.batch) if once else partial(repeated, listing.batch)
    while entries := batch():
        yield from entries


class _Listing:
    """What is in a folder, in batches; asked again after a failure, it gives what is missing."""

    def __init__(self, folder: str, size: int) -> None:
        self._folder = folder
        self._size = size
        self._entries: Iterator[os.DirEntry[str]] = entries_of(folder)
        self._seen: set[str] = set()

    def batch(self) -> list[os.DirEntry[str]]:
        """Return entries that were in no batch before; none at the end."""
        try:
            fresh = (entry for entry in self._entries if entry.name not in self._seen)
            batch = list(islice(fresh, self._size))
            for entry in batch:
                entry.is_dir(follow_symlinks=False)  # the answer is kept where it takes a call
        except BaseException:
            self._entries = entries_of(self._folder)
            raise
        self._seen.update(entry.name for entry in batch)
        return batch
