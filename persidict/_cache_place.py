"""Which place in which bucket a folder is the cache of: the first that it was opened for."""

from __future__ import annotations

import hashlib
import logging
import os

from persidict._folder_blobs import FolderBlobs
from persidict._words import IF_ABSENT
from persidict.exceptions import BackendError

_log = logging.getLogger("persidict")


def folder_for(base_dir: str, place: str) -> str:
    """Return the folder to cache a place in: `base_dir`, or one of its own if that is another's.

    The note that says whose it is lies beside the folder, or in it if nothing can be written
    there. Names of keys have no "@".
    """
    folder = os.path.realpath(base_dir)  # links are other ways to the same one
    notes = (f"{folder}@", os.path.join(folder, "@"))
    # a note that is there counts, also for those who could write one beside the folder
    for beside in sorted(notes, key=lambda each: not os.path.exists(f"{each}place")):
        try:
            owner = _first_of(f"{beside}place", place)
        except (OSError, BackendError):
            continue
        if owner == place:
            return base_dir
        own = beside + hashlib.sha256(place.encode()).hexdigest()[:16]
        _log.info("%s is the cache of %s: that of %s is %s", base_dir, owner, place, own)
        return own
    return base_dir  # nothing can be noted: what is there was put there before, for this place


def _first_of(path: str, text: str) -> str:
    """Return what a file says, which is the text if it was not there."""
    notes = FolderBlobs(os.path.dirname(path), durable=False)
    notes.is_cache = True
    name = os.path.basename(path)
    found = notes.read(name)
    if found is None and notes.write(name, text.encode(), IF_ABSENT) is not None:
        return text
    found = found or notes.read(name)
    if found is None:
        raise FileNotFoundError(path)
    return bytes(found.value).decode(errors="replace")  # type: ignore[arg-type]  # it was read
