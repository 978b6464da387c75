"""A lock in a folder that outlives no process: a symbolic link whose target names its owner."""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from threading import get_ident
from typing import TypeVar

from persidict._retry import retried
from persidict.exceptions import BackendError, LockTimeoutError
from persidict.owners import is_gone, is_local, new_token

T = TypeVar("T")

LOCK_PREFIX = ".__lock__"
LEASE = 30.0  # seconds of silence after which a holder on another host counts as dead
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_SYMLINKS = _NO_SUCH_CALL | {errno.EPERM}
_random = random.Random()
_inside: set[tuple[str, int]] = set()  # of which lock which thread of this process is inside

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_inside.clear)


def locked(path: str, timeout: float, act: Callable[[], T]) -> T:
    """Return what `act` returns while no other process or thread is inside of a lock at `path`.

    Costs two system calls when nobody else wants it; not fair. A holder whose process is gone is
    found out at once on the same host; one on another host when its lock has not changed for
    `LEASE` seconds. A holder that was only stopped keeps the lock. `LockTimeoutError` after
    `timeout` seconds of waiting.
    """
    mine = (path, get_ident())
    if mine in _inside:
        return act()  # a signal handler or a finalizer, in the middle of our own operation
    _acquire(path, new_token(), timeout)
    try:
        _inside.add(mine)
        return act()
    finally:
        try:
            os.unlink(path)  # the very first call, so that no interrupt of the user comes before it
        except OSError:
            _release(path)
        finally:
            _inside.discard(mine)


@lru_cache(maxsize=16384)
def lock_path(path: str) -> str:
    """Return the path of the lock of a file, which lies in the same folder."""
    folder, name = os.path.split(path)
    return os.path.join(folder, LOCK_PREFIX + blake2b(name.encode(), digest_size=8).hexdigest())


def holder_of(path: str) -> str:
    """Return the token in a lock; nothing if it is free."""
    try:
        return os.readlink(path)
    except OSError as error:
        return _written_holder(path) if error.errno == errno.EINVAL else ""


def break_lock(path: str, dead: str, timeout: float) -> None:
    """Remove a lock if it is still the one of the dead holder.

    Whoever does it holds another lock, which belongs to this lock and this dead holder alone. So
    one breaker at a time looks and removes, and a later one finds the lock gone or taken anew. A
    breaker that dies is broken in the same way.
    """

    def remove() -> None:
        if holder_of(path) == dead:
            _release(path)

    locked(lock_path(path + dead), timeout, remove)


def _acquire(path: str, token: str, timeout: float) -> None:
    try:
        if not retried(_placed, path, token):
            _wait(path, token, timeout)
    except BaseException:
        if holder_of(path) == token:
            _release(path)
        raise


def _release(path: str) -> None:
    # gone only if somebody on another host has taken us for dead
    with suppress(FileNotFoundError):
        retried(os.unlink, path)


def _wait(path: str, token: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    holder, since = "", 0.0
    for pause in _pauses():
        time.sleep(pause)
        if retried(_placed, path, token):
            return
        now, before, holder = time.monotonic(), holder, holder_of(path)
        if holder == token:  # it was placed, and the answer got lost
            return
        if holder != before:
            since = now
        elif _is_dead(holder, now - since):
            break_lock(path, holder, deadline - now)
        if now > deadline:
            raise _timed_out(path, holder, timeout)


def _pauses() -> Iterator[float]:
    """Yield seconds: short at first, since holders need microseconds, then up to 5 ms."""
    longest = 2e-5
    while True:
        yield _random.uniform(longest / 2, longest)
        longest = min(longest * 1.5, 5e-3)


def _is_dead(holder: str, silence: float) -> bool:
    return bool(holder) and (is_gone(holder) or (silence > LEASE and not is_local(holder)))


def _timed_out(path: str, holder: str, timeout: float) -> LockTimeoutError:
    return LockTimeoutError(
        f"{path} was held by others for {timeout:g} s, last by {holder!r} (host-pid-start-number). "
        "A process that is stopped keeps its locks: let it go on or end it",
        backend="filesystem",
        operation="lock",
    )


def _placed(path: str, token: str) -> bool:
    try:
        os.symlink(token, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_SYMLINKS:
            raise
        return _placed_as_file(path, token)
    return True


def _placed_as_file(path: str, token: str) -> bool:
    """Where there are no symbolic links, an exclusive file says the same, in two steps."""
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(token)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_SUCH_CALL:
            raise
        raise BackendError(
            f"no lock can be made at {path}: {error}. With exact=False the dictionary compares and "
            "then acts, and another writer can come between",
            backend="filesystem",
            operation="lock",
        ) from error
    return True


def _written_holder(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            # without a token, its maker is about to write it, or has died: known by its time
            return file.read() or f"?{os.fstat(file.fileno()).st_mtime_ns}"
    except OSError:
        return ""
