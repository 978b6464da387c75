"""Chosen points: a process stops itself just before one of the system calls that it makes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

announce: list[Callable[[str], None]] = []
"""What tells the test that this process stops now, and before which call."""


class _Stop:
    """At which call to stop; the first thread that comes there does it for all."""

    def __init__(self, name: str, skip: int) -> None:
        self.name, self.left = name, skip
        self.is_over = False

    def __call__(self, function: Any) -> None:
        if self.name in ("", function.__name__):
            self.left -= 1
            if self.left == -1:
                announce[0](function.__name__)
                os.kill(os.getpid(), signal.SIGSTOP)
                self.is_over = True


class _Watch:
    stop: Any = staticmethod(lambda function: None)

    def __call__(self, frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and _is_system_call(function):
            self.stop(function)


_watch = _Watch()


def watch_threads() -> None:
    """Look at the calls of all threads that are started from now on."""
    threading.setprofile(_watch)


def stop_before(name: str, skip: int = 0) -> Callable[[], bool]:
    """Stop before a call of this name (none: of any), after so many others, in any thread.

    Returns what tells whether that is over.
    """
    _watch.stop = stop = _Stop(name, skip)
    return lambda: stop.is_over


def stopping_before(name: str, skip: int, act: Callable[[], Any]) -> Any:
    """Do something, and stop on the way."""
    stop_before(name, skip)
    sys.setprofile(_watch)
    try:
        return act()
    finally:
        sys.setprofile(None)


def _is_system_call(function: Any) -> bool:
    is_one = getattr(function, "__module__", "") == "posix"
    return is_one and function.__name__ not in ("getpid", "fspath", "urandom")
