"""Moments that processes of all hosts can wait for, though their clocks have nothing in common."""

from __future__ import annotations

from typing import Any

from persidict.owners import is_local, new_token
from persidict_dask.coordination._clock import now


def moment_in(seconds: float) -> dict[str, Any]:
    """Return what tells others of a moment: by whose clock, when that was written, and when it is."""
    at = now()
    return {"clock": new_token(), "at": at, "until": at + seconds}


class Moments:
    """Translates what was written of a moment into the clock of this process.

    Processes of one host share a clock that nobody sets. One of another host counts from when it
    sees a version first: the moment comes later for it, never sooner.
    """

    def __init__(self) -> None:
        self._first_seen: tuple[Any, float] = (None, 0.0)

    def here(self, version: Any, told: dict[str, Any]) -> float:
        """Return the moment by the clock of `now`."""
        if is_local(told["clock"]):
            return float(told["until"])
        if self._first_seen[0] != version:
            self._first_seen = (version, now())
        return self._first_seen[1] + float(told["until"]) - float(told["at"])
