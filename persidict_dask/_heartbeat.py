"""One clock for everything in this process that has to be said again and again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_NAME = "persidict-heartbeat"


@dataclass
class _Beat:
    call: Callable[[], bool]
    every: float
    due: float
    is_busy: bool = False


class Heart:
    """Calls functions periodically, for as long as they want to be called.

    Each in a thread of its own, so that a store which does not answer holds up no other.
    """

    def __init__(self) -> None:
        self._beats: dict[int, _Beat] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes = float("inf")

    def add(self, call: Callable[[], bool], every: float) -> Callable[[], None]:
        """Call it every so many seconds until it returns `False`; return what ends that sooner."""
        beat = _Beat(call, every, time.monotonic() + every)
        with self._changed:
            self._beats[id(beat)] = beat
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=_NAME, daemon=True)
                thread.start()
                self._thread = thread
            if beat.due < self._wakes:  # waking the thread costs more than a short call
                self._changed.notify()
        return lambda: self._drop(beat)

    def _drop(self, beat: _Beat) -> None:
        with self._changed:
            self._beats.pop(id(beat), None)

    def _run(self) -> None:
        while True:
            beat = self._next()
            with suppress(RuntimeError):  # no more threads: the next time, perhaps
                threading.Thread(target=self._call, args=(beat,), name=_NAME, daemon=True).start()

    def _call(self, beat: _Beat) -> None:
        if beat.is_busy:
            return
        beat.is_busy = True
        try:
            if not beat.call():
                self._drop(beat)
        finally:
            beat.is_busy = False

    def _next(self) -> _Beat:
        """Wait until a beat is due."""
        with self._changed:
            while True:
                first = min(self._beats.values(), key=lambda beat: beat.due, default=None)
                wait = None if first is None else first.due - time.monotonic()
                if first is not None and wait is not None and wait <= 0:
                    first.due = time.monotonic() + first.every
                    return first
                self._wakes = float("inf") if first is None else first.due
                self._changed.wait(wait)


heart = Heart()
if hasattr(os, "register_at_fork"):
    # threads do not come along, and what the parent has to say is not for the child to say
    os.register_at_fork(after_in_child=heart.__init__)  # type: ignore[misc]
