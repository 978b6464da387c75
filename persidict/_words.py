"""The words that dictionaries and blob stores share: Stat, Item, Guard."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    ETagIfExists,
    ETagValue,
    ValueNotRetrievedFlag,
)

T = TypeVar("T")


class Stat(NamedTuple):
    """What a look at an item tells without reading it."""

    etag: ETagValue
    timestamp: float


class Item(NamedTuple, Generic[T]):
    """A value (or bytes) and the version it is; `VALUE_NOT_RETRIEVED` where it was not read."""

    value: T | ValueNotRetrievedFlag
    stat: Stat


class Guard(NamedTuple):
    """What the item must still be for a write or a removal to happen; no guard is `None`."""

    expected: ETagIfExists

    def holds(self, actual: ETagIfExists) -> bool:
        """True if an item of this etag (or an absent one) may be touched."""
        return bool(self.expected == actual)


IF_ABSENT = Guard(ITEM_NOT_AVAILABLE)


def etag_of(stat: Stat | None) -> ETagIfExists:
    """Return the etag of what was seen, `ITEM_NOT_AVAILABLE` for nothing."""
    return ITEM_NOT_AVAILABLE if stat is None else stat.etag
