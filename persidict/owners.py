"""Tokens that name a process, and tell whether it is still there."""

from __future__ import annotations

import os
import re
import sys
from functools import cache
from hashlib import blake2b
from itertools import count

_TOKEN = re.compile(r"(\w+)-(\d{1,19})-(\w+)-\w+", re.ASCII).fullmatch
_UNKNOWN = "0"  # for the start of a process which the system did not show
_counter = count()  # tells apart what one process holds at the same time, in all its threads


def new_token() -> str:
    """Return `<host>-<pid>-<start>-<number>`, never used before and without a dot.

    Below 60 bytes, where file systems keep the target of a symbolic link in its inode.
    """
    identity, interpreter = _identity(os.getpid())
    return f"{identity}-{interpreter}{next(_counter):x}"


def is_gone(token: str) -> bool:
    """True if the process of the token certainly does not exist any more.

    False for a process of another host (or container), and for what is no token.
    """
    host, pid, start = _parts(token)
    return host == _host() and not _runs(pid, start)


def is_local(token: str) -> bool:
    """True if `is_gone` can tell for certain."""
    return _parts(token)[0] == _host()


def is_token(text: str) -> bool:
    """True if it looks like a token of some process."""
    return _TOKEN(text) is not None


def _parts(token: str) -> tuple[str, int, str]:
    found = _TOKEN(token)
    return (found[1], int(found[2]), found[3]) if found else ("", 0, "")


@cache
def _identity(pid: int) -> tuple[str, str]:
    """Return what names the process, and what tells apart the interpreters in it."""
    # by the number of the process: a child that was forked is another process
    _, _, start = _state_of(pid) or ("", 0, _UNKNOWN)
    return f"{_host()}-{pid}-{start}", os.urandom(4).hex()


@cache
def _host() -> str:
    """A name for all processes that can see each other: this boot of the system, this container."""
    return blake2b((_namespace() or _machine()).encode(), digest_size=6).hexdigest()


def _namespace() -> str:
    if not _has_proc():
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read() + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _machine() -> str:
    import platform
    import uuid

    # in a container that does not see its own processes, each is a host of its own
    alone = os.urandom(8).hex() if sys.platform == "linux" else ""
    return f"{uuid.getnode()} {platform.node()} {alone}"


@cache
def _has_proc() -> bool:
    """True if /proc is there and shows the processes of our own namespace."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _forget() -> None:
    # the child may have got the number of an ancestor that is gone, or begin a container
    for known in (_identity, _host, _has_proc):
        known.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _runs(pid: int, start: str) -> bool:
    found = _state_of(pid)
    if found is None:
        return _answers(pid)
    state, threads, started = found
    # killed and not yet waited for; its other threads may still be inside of a last system call
    is_over = state in "ZX" and threads <= 1
    return not is_over and start in (started, _UNKNOWN)


def _state_of(pid: int) -> tuple[str, int, str] | None:
    """Return state, number of threads and start time; `None` if the system does not show it."""
    if not _has_proc():
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None
    return fields[0], int(fields[17]), fields[19]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's; or no number of a process
        return True
    return True
