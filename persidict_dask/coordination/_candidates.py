"""Which items of a queue are worth a request: those that were listed, and that nobody has."""

from __future__ import annotations

import random
import threading
from contextlib import suppress

from persidict.owners import is_gone
from persidict_dask.coordination._clock import now
from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._records import ABSENT, Seen
from persidict_dask.coordination._silence import silence

_AGAIN = 0.5
"""Seconds after which it is worth a request whether one who had an item still has it."""
_MOST = 2
"""Items that others have, of which so many are asked for in one look on a server."""


class Candidates:
    """Keys that were listed, given out once each, roughly in order; threads may share them."""

    def __init__(self, names: list[str], nearby: int) -> None:
        self._names = names[::-1]
        self._nearby = nearby
        self._lock = threading.RLock()

    def take(self) -> str | None:
        """Return one of the first, so that those who claim seldom meet."""
        with self._lock:
            if not self._names:
                return None
            with suppress(IndexError):  # a finalizer has taken the last
                return self._names.pop(-1 - _random.randrange(min(self._nearby, len(self._names))))
            return None


class Busy:
    """The items that others have, as they were seen last."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._seen: dict[str, tuple[Seen, float]] = {}

    def known(self, name: str) -> Seen:
        """Return the version that was seen last, for a conditional read."""
        return self._seen.get(name, (ABSENT, 0.0))[0]

    def is_held(self, name: str, seen: Seen) -> bool:
        """Tell whether somebody alive has the item, and remember it."""
        self._seen.pop(name, None)
        holder = seen.fields.get("holder")
        where = self._parts.live(name).identity
        if holder is None or silence.is_over(where, holder, seen.fields["told"]):
            return False
        self._seen[name] = (seen, now() + _AGAIN)
        return True

    def worth_a_look(self, names: list[str]) -> list[str]:
        """Return those that nobody was seen to have, and some of the others whose time has come."""
        self._seen = {name: self._seen[name] for name in names if name in self._seen}
        others = [name for name in self._seen if self._is_due(name)]
        if not self._parts.place.is_near:
            others = _random.sample(others, min(_MOST, len(others)))
        gone = {name for name in self._seen if self._is_gone(name)}
        wanted = gone.union(others)
        return [name for name in names if name not in self._seen or name in wanted]

    def hurry(self) -> bool:
        """True if the process of one who had an item is gone."""
        return any(self._is_gone(name) for name in list(self._seen))

    def _is_due(self, name: str) -> bool:
        return self._parts.place.is_near or self._seen[name][1] <= now()

    def _is_gone(self, name: str) -> bool:
        known = self._seen.get(name)
        return known is not None and is_gone(known[0].fields["holder"])


_random = random.Random()
