"""Moments that processes of all hosts can wait for, though their clocks have nothing in common."""

from __future__ import annotations

from typing import Any

from persidict.owners import is_local, new_token
from persidict_dask.coordination._clock import now


def moment_at(until: float, at: float) -> dict[str, Any]:
    """Return what tells others of a moment: when it is, by whose clock, said at what time."""
    return {"clock": new_token(), "at": at, "until": until}


class _Offsets:
    """How far the clocks of other hosts are from ours, at most.

    What they wrote was seen later than it was written: the least difference that was ever seen is
    still too large by as long as that took, and never too small.
    """

    def __init__(self) -> None:
        self._least: dict[str, float] = {}

    def of(self, clock: str, at: float) -> float:
        """Return what to add to a time of that clock, which was `at` when it wrote."""
        host = clock.partition("-")[0]
        seen = now() - at
        least = self._least[host] = min(seen, self._least.get(host, seen))
        return least


_offsets = _Offsets()


def moment_here(told: dict[str, Any]) -> float:
    """Return the moment by the clock of this process.

    Processes of one host share a clock that nobody sets. For one of another host the moment comes
    a little later, by the time after which it has seen what was written; never sooner.
    """
    at, until = float(told["at"]), float(told["until"])
    if is_local(told["clock"]):
        return min(until, now() + until - at)  # should the clock have begun anew
    return until + _offsets.of(told["clock"], at)
