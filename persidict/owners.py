"""Tokens that name a process, and tell whether it is still there."""

from __future__ import annotations

import os
from functools import cache
from hashlib import blake2b
from itertools import count

_counter = count()  # tells apart what one process holds at the same time, in all its threads


def new_token() -> str:
    """Return `<host>-<pid>-<start>-<number>`, never used before and without a dot.

    Below 60 bytes, where file systems keep the target of a symbolic link in its inode.
    """
    return f"{_identity(os.getpid())}-{next(_counter):x}"


def is_gone(token: str) -> bool:
    """True if the process of the token certainly does not exist any more.

    False for a process of another host (or container), and for what is no token.
    """
    host, pid, start = _parts(token)
    return host == _host() and not _runs(pid, start)


def is_local(token: str) -> bool:
    """True if `is_gone` can tell for certain."""
    return _parts(token)[0] == _host()


def _parts(token: str) -> tuple[str, int, str]:
    try:
        host, pid, start, _ = token.split("-")
        return host, int(pid), start
    except ValueError:
        return "", 0, ""


@cache
def _identity(pid: int) -> str:
    # by the number of the process: a child that was forked is somebody else
    _, _, start = _state_of(pid) or ("", 0, "0")
    return f"{_host()}-{pid}-{start}"


@cache
def _host() -> str:
    """A name for all processes that can see each other: this boot of the system, this container."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            seen = file.read() + os.readlink("/proc/self/ns/pid")
    except OSError:
        import platform
        import uuid

        seen = f"{uuid.getnode()} {platform.node()}"
    return blake2b(seen.encode(), digest_size=6).hexdigest()


def _runs(pid: int, start: str) -> bool:
    found = _state_of(pid)
    if found is None:
        return _answers(pid)
    state, threads, started = found
    # killed and not yet waited for; its other threads may still be inside of a last system call
    is_over = state in "ZX" and threads <= 1
    return not is_over and started == start


def _state_of(pid: int) -> tuple[str, int, str] | None:
    """Return state, number of threads and start time; `None` if the system does not show it."""
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
    except OSError:  # somebody else's
        return True
    return True
