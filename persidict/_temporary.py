"""Temporary files, remembered until they are gone: what an interrupt leaves goes a little later."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress

from persidict.owners import new_token

TEMP_PREFIX = ".__tmp__"
ABSENT = (FileNotFoundError, NotADirectoryError)


class Temporary(str):
    """The path of a temporary file, which is in use as long as this object exists.

    An interrupt can come between any two steps, also before the first of them that a `finally`
    would guard. The frames of the operation are gone after it, and so is this object.
    """


_remembered: dict[str, weakref.ref[Temporary]] = {}

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remembered.clear)  # they are the parent's


def new_temporary(folder: str) -> Temporary:
    """Return the path of a temporary file to be made in a folder, and remember it."""
    name = f"{folder}{os.sep}{TEMP_PREFIX}{new_token()}"
    path = Temporary(name)
    _remembered[name] = weakref.ref(path)
    return path


def forget(path: str) -> None:
    """Note that there is no file of this name any more."""
    _remembered.pop(path, None)


def discard(path: str) -> None:
    """Remove a temporary file; if that fails, it is tried again later."""
    with suppress(OSError):
        try:
            os.unlink(path)
        except ABSENT:
            pass
        except (IsADirectoryError, PermissionError):  # what stands for one without links
            os.rmdir(path)
        forget(path)


def remove_interrupted() -> None:
    """Remove what operations of this process that were interrupted have left."""
    if _remembered:
        for path, in_use in _remembered.copy().items():
            if in_use() is None:
                discard(path)
