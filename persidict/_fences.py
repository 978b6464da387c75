"""What the holder of a lock acts through: a name that is removed before its lock goes to another.

So a holder that was stopped for long and goes on, or was interrupted by an operation of its own
thread, finds no way to what is not its own any more: the file system decides, in one step.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from persidict._retry import retried
from persidict._temporary import TEMP_PREFIX, forget, new_temporary
from persidict.exceptions import ConcurrencyConflictError

P = ParamSpec("P")
T = TypeVar("T")

NO_ROOM = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_MOST_ROUNDS = 1000  # of an operation that others come into each time


class Overtaken(Exception):  # noqa: N818  # a signal, not an error
    """Another holder came in between: nothing was done, and all of it can be begun anew."""


def begun_anew(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `act` returns; from its beginning again while another holder overtakes it."""
    for _ in range(_MOST_ROUNDS):
        try:
            return act(*args, **kwargs)
        except Overtaken:
            continue
    raise ConcurrencyConflictError(args[0] if args else None, _MOST_ROUNDS)


def fence_of(path: str, token: str) -> str:
    """Return the fence of the holder of a lock; a new version of an item is one, too."""
    return f"{os.path.dirname(path)}{os.sep}{TEMP_PREFIX}{token}"


def new_fence_path(path: str) -> str:
    """Return a fence for a lock that is to be made."""
    return new_temporary(os.path.dirname(path))  # an interrupt may come before it is cut off


def token_of(fence: str) -> str:
    """Return the token of the holder that acts through the fence."""
    return fence.rpartition(TEMP_PREFIX)[2]


def new_fence(fence: str) -> str:
    """Make a fence for a removal; return what leads from it back to its folder.

    A link, since that needs no block of a disk that is full; where there are none, a folder.
    """
    try:
        os.symlink(".", fence)
    except OSError as error:
        if error.errno in NO_ROOM | {errno.ENOENT, errno.ENOTDIR}:
            raise
        with suppress(FileExistsError):  # it was made, and the answer got lost
            os.mkdir(fence)
            return ".."
    return "."


def unlink_through(fence: str, way: str, path: str) -> bool:
    """Remove a file of the fence's folder, which was there; `Overtaken` if the fence is gone.

    Inside of its lock only the holder removes it: if it is gone after a failure, that was done.
    """
    try:
        retried(os.unlink, os.path.join(fence, way, os.path.basename(path)))
    except FileNotFoundError:
        if is_absent(fence):
            raise Overtaken from None
    except OSError:
        if not is_absent(path):
            raise
    return True


def is_absent(path: str) -> bool:
    """True if there is surely nothing of this name."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def take_over(own: str, fence: str) -> None:
    """Put one's own fence in the place of another, which is cut off by that."""
    cut_off(fence)
    with suppress(FileNotFoundError):
        os.rename(own, fence)


def cut_off(fence: str) -> None:
    """Remove a fence, whatever it is made of."""
    try:
        os.unlink(fence)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        os.rmdir(fence)
    forget(fence)
