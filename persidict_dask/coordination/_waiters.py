"""Small items that say who waits for what, for those who look after it."""

from __future__ import annotations

import json
from contextlib import suppress

from persidict import NonEmptySafeStrTuple
from persidict.owners import new_token
from persidict_dask.coordination._holders import told_of_me
from persidict_dask.coordination._places import Place

WAITING = "waiting"


class Waiter:
    """Says that this thread waits; whether that succeeds is of no matter for the waiting."""

    def __init__(self, place: Place, key: NonEmptySafeStrTuple) -> None:
        self._place = place
        self._key = NonEmptySafeStrTuple(WAITING, key, new_token())
        self._is_told = False

    def begin(self) -> None:
        """Say it."""
        self._is_told = True
        with suppress(Exception):
            self._place.records[self._key] = json.dumps(told_of_me(0))

    def end(self) -> None:
        """Take it back."""
        if self._is_told:
            with suppress(Exception):
                self._place.records.discard(self._key)
