"""Counter: a number that many count up, and none of them in vain."""

from __future__ import annotations

import random
from typing import ClassVar

from persidict import NonEmptySafeStrTuple
from persidict_dask.coordination._places import Handle, Somewhere, whole
from persidict_dask.coordination._records import Fields, Record


class Counter(Handle):
    """An exact counter: every increment that returned is counted, once, and in every sum after.

    Args:
        shards: how many records share the counting. More than one suit many writers that do not
            need to know the sum: they hardly ever meet. All who share the name say the same.
    """

    kind: ClassVar[str] = "counter"

    def __init__(self, store: Somewhere, name: str, *, shards: int = 1) -> None:
        super().__init__(store, name, shards=whole("shards", shards))
        keys = [self._key] + [NonEmptySafeStrTuple(self._key, str(i)) for i in range(1, shards)]
        self._shards = [Record(self._place, key) for key in keys]
        self._at = _random.randrange(shards)
        self._is_known = shards == 1  # others see by the first record how many there are

    def add(self, n: int = 1) -> None:
        """Count without asking for the sum: a read and a write, more in a race."""
        _check(n)
        if not self._is_known:
            self._shards[0].change(lambda fields: None if fields else self._more(fields, 0))
            self._is_known = True
        for attempt in range(1_000_000):
            shard = self._shards[self._at]
            seen = shard.read()
            if shard.swap(seen, self._more(seen.fields, n)) is not None:
                return
            self._at = _random.randrange(len(self._shards))  # somebody else is at this one
            shard.let_others(attempt)

    def increment(self, n: int = 1) -> int:
        """Count, and return the sum: with one shard no two callers get the same one.

        With several it is read after the counting, one request for each, and may contain what
        others have counted meanwhile.
        """
        _check(n)
        if len(self._shards) > 1:
            self.add(n)
            return self.value
        seen = self._shards[0].change(lambda fields: self._more(fields, n))
        return int(seen.fields["value"])

    @property
    def value(self) -> int:
        """The sum; one request for each shard.

        Contains all that was counted before the question, and perhaps some of what came during it.
        """
        return sum(self._counted(shard.read().fields) for shard in self._shards)

    def _more(self, fields: Fields, n: int) -> Fields:
        return {"value": self._counted(fields) + n, "shards": len(self._shards)}

    def _counted(self, fields: Fields) -> int:
        shards = fields.get("shards", len(self._shards))
        if shards != len(self._shards):
            raise ValueError(f"{self!r} has {shards} shards: all who share a name say the same")
        return int(fields.get("value", 0))


def _check(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"only ints are counted, not {type(n).__name__}")


_random = random.Random()
