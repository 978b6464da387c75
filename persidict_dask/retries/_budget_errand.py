"""An errand to the store, in the background: nobody waits longer for it than he wants to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from persidict_dask.coordination._clock import now


class Errand:
    """One call at a time, for all threads that want it to be made."""

    def __init__(self, call: Callable[[], None], name: str) -> None:
        self._call = call
        self._name = name
        self._lock = threading.RLock()
        self._under_way: threading.Event | None = None
        self._started = 0.0

    @property
    def lasts(self) -> float:
        """Seconds since it was begun; 0 if it is not under way."""
        return now() - self._started if self._under_way is not None else 0.0

    def run(self, patience: float) -> bool:
        """Begin it, unless it is under way; `False` if so many seconds later it has not ended."""
        with self._lock:
            ended = self._under_way or self._begun()
            left = self._started + patience - now()
        return ended is not None and ended.wait(max(0.0, left))

    def _begun(self) -> threading.Event | None:
        ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(ended,), name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the next time, perhaps
            return None
        self._under_way, self._started = ended, now()
        return ended

    def _run(self, ended: threading.Event) -> None:
        with suppress(Exception):  # whoever calls looks at what has come of it
            self._call()
        with self._lock:
            self._under_way = None
        ended.set()
