"""Renewal in the background, of what is still in somebody's hands."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from persidict_dask._heartbeat import heart


class Renewable(Protocol):
    """Something that others take away unless they hear of it."""

    def renew(self) -> bool:
        """Tell others that it is alive; `False` if that is of no use any more."""


def renewed(thing: Renewable, ttl: float) -> Callable[[], None]:
    """Renew it three times per `ttl` until it is forgotten; return what ends that sooner.

    All renewals of a process have one clock, a thread of its own.
    """
    kept = weakref.ref(thing)

    def renew() -> bool:
        living = kept()
        if living is None:
            return False
        with suppress(Exception):  # the next one may get through; until then time goes by
            return living.renew()
        return True

    return heart.add(renew, ttl / 3)
