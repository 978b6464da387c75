"""The records of a queue: items that are live, done and dead."""

from __future__ import annotations

from typing import Any

from persidict import NonEmptySafeStrTuple
from persidict_dask.coordination import _payloads
from persidict_dask.coordination._places import Place
from persidict_dask.coordination._records import Fields, Record, Seen


class Parts:
    """Finds the records of a queue by the keys of its items."""

    def __init__(self, place: Place, key: NonEmptySafeStrTuple) -> None:
        self.place = place
        self.key = key

    @property
    def identity(self) -> Any:
        """What is the same for all of this process who mean this queue."""
        return self.place.identity, self.key

    def live(self, name: str) -> Record:
        """The record of an item that waits or is claimed."""
        return self._record("live", name)

    def done(self, name: str) -> Record:
        """The record of an item that is done."""
        return self._record("done", name)

    def dead(self, name: str) -> Record:
        """The record of an item that was given up."""
        return self._record("dead", name)

    def keys(self, part: str) -> list[str]:
        """Return the keys of all items in a part; a listing."""
        return [key[0] for key in self.place.records.get_subdict((*self.key, part)).keys()]  # noqa: SIM118 - no len

    def is_done(self, name: str) -> bool:
        """True if the item is done."""
        return self.done(name).key in self.place.records

    def is_over(self, name: str) -> bool:
        """True if the item is done or was given up."""
        return self.is_done(name) or self.dead(name).key in self.place.records

    def bury(self, name: str, seen: Seen, error: str) -> None:
        """Give up an item that was seen live; once more, if that was interrupted before."""
        fields: Fields = {
            n: seen.fields[n] for n in ("item", "label", "deliveries") if n in seen.fields
        }
        errors = [*seen.fields.get("errors", []), error]
        self.dead(name).change(lambda there: None if there else {**fields, "errors": errors})
        if not self.live(name).remove(seen) and self.is_done(name):
            self.place.records.discard(self.dead(name).key)  # its claimant has come back

    def unpack(self, name: str, packed: dict[str, Any]) -> Any:
        """Return a value out of a record of the item."""
        return _payloads.unpack(self.place, NonEmptySafeStrTuple(self.key, name), packed)

    def pack(self, name: str, value: Any) -> dict[str, Any]:
        """Return what stands for a value in a record of the item."""
        return _payloads.pack(self.place, NonEmptySafeStrTuple(self.key, name), value)

    def drop(self, name: str, packed: dict[str, Any] | None) -> None:
        """Remove the value beside a record that is gone."""
        _payloads.drop(self.place, NonEmptySafeStrTuple(self.key, name), packed)

    def _record(self, part: str, name: str) -> Record:
        return Record(self.place, NonEmptySafeStrTuple(self.key, part, name))
