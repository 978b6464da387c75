"""Who is believed dead: a process of this host that is gone, and who was silent too long."""

from __future__ import annotations

import os
import threading
from typing import Any

from persidict.owners import is_gone
from persidict_dask.coordination._clock import now

_MOST = 50_000


class Silence:
    """Remembers since when each beat has been the last, by the clock of this process alone."""

    def __init__(self) -> None:
        self._since: dict[Any, tuple[Any, float]] = {}
        self._lock = threading.RLock()

    def is_over(self, where: Any, holder: str, told: dict[str, Any]) -> bool:
        """True if the holder is gone, or has told the same for longer than its `ttl`."""
        return is_gone(holder) or self._unchanged(where, holder, told["beat"]) > told["ttl"]

    def _unchanged(self, where: Any, holder: str, beat: Any) -> float:
        who = (where, holder)
        with self._lock:
            known, since = self._since.get(who, (None, 0.0))
            if known != beat:
                while len(self._since) >= _MOST:
                    self._since.pop(next(iter(self._since)), None)
                self._since[who] = (beat, now())
                return 0.0
        return now() - since


silence = Silence()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=silence.__init__)  # type: ignore[misc]
