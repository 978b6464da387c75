"""What killed processes leave in a folder: temporary files and locks, removed when surely stale."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from persidict._fences import cut_off
from persidict._file_lock import LOCK_PREFIX, break_lock, holder_of
from persidict._temporary import TEMP_PREFIX
from persidict.exceptions import BackendError
from persidict.owners import is_gone, is_local

ABANDONED = 24 * 3600.0  # seconds after which what has no known owner counts as left over
_PATIENCE = 1.0  # seconds for another process that breaks the same lock


def remove_if_stale(entry: os.DirEntry[str]) -> None:
    """Remove the file if it is a leftover of a process that is gone; failing is no matter."""
    if not entry.name.isascii():
        return
    if entry.name.startswith(TEMP_PREFIX):
        if _is_stale(entry, entry.name[len(TEMP_PREFIX) :]):
            with suppress(OSError):
                cut_off(entry.path)
    elif entry.name.startswith(LOCK_PREFIX):
        with suppress(OSError, BackendError):
            holder = holder_of(entry.path)
            if holder and _is_stale(entry, holder):
                break_lock(entry.path, holder, _PATIENCE)


def _is_stale(entry: os.DirEntry[str], token: str) -> bool:
    return is_gone(token) or (not is_local(token) and _age(entry) > ABANDONED)


def _age(entry: os.DirEntry[str]) -> float:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return 0.0
