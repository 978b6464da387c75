"""A lock in a folder that outlives no process: a symbolic link whose target names its holder."""

from __future__ import annotations

import errno
import logging
import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from threading import Thread, get_ident
from typing import TypeVar

from persidict import _lock_errors
from persidict._fences import (
    NO_ROOM,
    Overtaken,
    cut_off,
    fence_of,
    new_fence,
    new_fence_path,
    take_over,
    token_of,
    unlink_through,
)
from persidict._file_system import file_system_at, folder_of
from persidict._retry import retried
from persidict._temporary import forget
from persidict.exceptions import BackendError, OutcomeUnknownError
from persidict.owners import is_gone, is_local, is_token

T = TypeVar("T")

LOCK_PREFIX = ".__lock__"
LEASE = 30.0  # seconds of silence after which a holder on another host counts as dead
# What is true of the folder, and would be the answer to any other kind of lock as well.
_NO_PLACE = NO_ROOM | {errno.ENOENT, errno.ENOTDIR, errno.EROFS, errno.ENAMETOOLONG}
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})
_NEW_LOCK = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
_UNNAMED = "?"
_log = logging.getLogger(__name__)
_random = random.Random()
_threads: dict[str, int] = {}  # by the tokens with which this process holds locks, or wants them
_making: list[tuple[str, int]] = []  # locks that are made as files right now, and by which thread
_stuck: dict[str, str] = {}  # tokens and paths of locks that could not be removed
_is_freeing = False  # a thread removes what is stuck


def _forget() -> None:
    # what the parent holds is another process's now
    global _is_freeing  # noqa: PLW0603  # one thread for the process
    _threads.clear()
    _making.clear()
    _stuck.clear()
    _is_freeing = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def locked(path: str, timeout: float, act: Callable[[str], T], fence: str = "") -> T:
    """Return what `act` returns while no other process or thread is inside of a lock at `path`.

    Costs three system calls when nobody else wants it; not fair. A holder whose process is gone is
    found out at once on the same host; one on another host when its lock has not changed for
    `LEASE` seconds. A holder that was only stopped keeps the lock, on its own host. An operation
    that interrupts another of its thread (a finalizer, the handler of a signal) goes first.

    `act` gets the path of its fence, acts through it, and returns something false if it has
    changed nothing. Whenever the lock goes to another holder, the fence is removed before: then
    `act` raises `Overtaken` and can be begun anew. Raises `OutcomeUnknownError` if the lock was
    lost after `act`, and `LockTimeoutError` after `timeout` seconds of waiting.
    """
    fence = fence or new_fence_path(path)
    token = token_of(fence)
    try:
        _threads[token] = get_ident()  # known before it is made
        holder = _acquired(path, token, timeout)
        result = act(fence) if holder == token else _nested(path, holder, fence, act)
    finally:
        try:
            # a child that was forked inside leaves it to its parent
            is_free = token not in _threads or _released(path, token)
        except BaseException:  # an interrupt of the user, or no room on the stack
            _stuck[token] = path
            _free_stuck()
            raise
        finally:
            _threads.pop(token, None)
    if result and holder == token and not is_free:
        raise _lock_errors.lost(path)
    return result


def removed(path: str, lock: str, timeout: float, is_wanted: Callable[[], bool]) -> bool:
    """Remove a file of the lock's folder, inside of the lock, if it is wanted there.

    Costs two system calls more than `locked`.
    """
    own, way = new_fence_path(lock), ""
    try:
        way = new_fence(own)

        def act(fence: str) -> bool:
            return is_wanted() and unlink_through(fence, way, path)

        return locked(lock, timeout, act, own)
    finally:
        with suppress(OSError):
            cut_off(own)
        if not way:
            forget(own)  # where nothing can be made, there is nothing to remove later


@lru_cache(maxsize=16384)
def lock_path(path: str, dead: str = "") -> str:
    """Return the path of the lock of a file, or of breaking the lock of a dead holder there.

    It lies in the same folder.
    """
    folder, name = os.path.split(path)
    digest = blake2b(os.fsencode(name + dead), digest_size=8)
    return os.path.join(folder, LOCK_PREFIX + digest.hexdigest())


def holder_of(path: str) -> str:
    """Return the token in a lock; nothing if it is free. `BackendError` if that is no lock."""
    try:
        return _named(path)
    except OSError:
        return ""


def break_lock(path: str, dead: str, timeout: float) -> None:
    """Remove a lock if it is still the one of the dead holder.

    That is done inside another lock, which belongs to this lock and this dead holder alone. So
    one breaker at a time looks and removes, and a later one finds the lock gone or taken anew. A
    breaker that dies is broken in the same way.
    """

    def is_wanted() -> bool:
        if holder_of(path) != dead:
            return False
        if is_token(dead):
            cut_off(fence_of(path, dead))
        return True

    with suppress(Overtaken, OutcomeUnknownError):  # then another one breaks it
        if removed(path, lock_path(path, dead), timeout, is_wanted):
            _log.info("took over the lock %s of %r, which is gone", path, dead)


def _acquired(path: str, token: str, timeout: float) -> str:
    """Return the token in the lock: an operation may have interrupted its own thread's holder."""
    if _stuck:
        _free_stuck()
    return token if retried(_placed, path, token) else _waited(path, token, timeout)


def _nested(path: str, holder: str, own: str, act: Callable[[str], T]) -> T:
    """Act in the middle of an operation of this thread, which has to begin anew by that."""
    outer = fence_of(path, holder)
    take_over(own, outer)
    try:
        if holder_of(path) != holder:  # another host had removed the fence, and it is back
            raise Overtaken
        return act(outer)
    finally:
        cut_off(outer)


def _released(path: str, token: str) -> bool:
    """Remove the lock if it is the token's, later if it must be; tell whether it was."""
    try:
        return _freed(path, token)
    except OSError as error:
        _log.warning("the lock %s could not be removed (%s): tried again until it can", path, error)
    _stuck[token] = path
    _free_in_thread()
    return True


def _freed(path: str, token: str) -> bool:
    try:
        try:
            holder = os.readlink(path)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            holder = _named(path)
    except (FileNotFoundError, BackendError):
        return False
    if holder != token:
        return False
    with suppress(FileNotFoundError):  # done, and the answer got lost
        os.unlink(path)
    return True


def _free_stuck() -> None:
    for token, path in list(_stuck.items()):
        with suppress(OSError):
            _freed(path, token)
            _stuck.pop(token, None)


def _free_in_thread() -> None:
    global _is_freeing  # noqa: PLW0603
    if _is_freeing:
        return
    _is_freeing = True
    try:
        Thread(target=_free_later, name="persidict-locks", daemon=True).start()
    except RuntimeError:  # the interpreter ends: then the lock is a dead process's
        _is_freeing = False


def _free_later() -> None:
    global _is_freeing  # noqa: PLW0603
    for pause in _pauses(longest=1.0):
        time.sleep(pause)
        _free_stuck()
        _is_freeing = False  # before the look: what is stuck after it begins another thread
        if not _stuck:
            return
        _is_freeing = True


def _waited(path: str, token: str, timeout: float) -> str:
    deadline = time.monotonic() + timeout
    holder, since = "", 0.0
    for pause in _pauses(longest=5e-3):
        now, before, holder = time.monotonic(), holder, holder_of(path)
        if _threads.get(holder) == get_ident():  # or its own: the answer got lost
            return holder
        if holder[:1] == _UNNAMED and (path, get_ident()) in _making:
            raise _lock_errors.interrupted(path)
        if holder != before:
            since = now
        elif _is_dead(path, holder, now - since):
            break_lock(path, holder, deadline - now)
        if now > deadline:
            raise _lock_errors.timed_out(path, holder, timeout)
        time.sleep(pause)
        if retried(_placed, path, token):
            return token
    raise AssertionError("unreachable")


def _pauses(longest: float) -> Iterator[float]:
    """Yield seconds: short at first, since holders need microseconds, then longer."""
    most = 2e-5
    while True:
        yield _random.uniform(most / 2, most)
        most = min(most * 1.5, longest)


def _is_dead(path: str, holder: str, silence: float) -> bool:
    if not holder:
        return False
    if holder in _stuck or is_gone(holder):
        return True
    return silence > LEASE and not is_local(holder) and _named_afresh(path) == holder


def _named_afresh(path: str) -> str:
    # a network file system may have kept the name of a lock that is gone; a listing tells it
    folder = folder_of(path)
    try:
        if not file_system_at(folder).exact_names:
            os.listdir(folder)
    except OSError:
        return ""
    return holder_of(path)


@lru_cache(maxsize=16384)
def _are_files(path: str) -> bool:
    # some programs that serve a file system remember for long where a link has led
    return file_system_at(folder_of(path)).is_fuse


def _placed(path: str, token: str) -> bool:
    if _are_files(path):
        return _placed_as_file(path, token)
    try:
        os.symlink(token, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_PLACE:
            raise
        return _placed_as_file(path, token)  # each excludes the other, under the same name
    return True


def _placed_as_file(path: str, token: str) -> bool:
    """Where there are no symbolic links, an exclusive file says the same, in two steps."""
    making = path, get_ident()
    _making.append(making)  # once more in an operation that interrupts another one there
    try:
        return _written(path, token)
    except OSError as error:
        if error.errno in _NO_PLACE | _NOT_ALLOWED:
            raise
        raise _lock_errors.impossible(path, error) from error
    finally:
        _making.remove(making)


def _written(path: str, token: str) -> bool:
    try:
        fd = os.open(path, _NEW_LOCK, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, token.encode())
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
    return True


def _named(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise _lock_errors.no_lock(path)
    with open(path, "rb") as file:
        # without a token, its maker is about to write it, or has died: known by its time
        return os.fsdecode(file.read()) or f"{_UNNAMED}{found.st_mtime_ns}"
