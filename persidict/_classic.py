"""The five primitives over the classic methods, for dictionaries that define only those."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from persidict._primitives import ItemPrimitives
from persidict._words import Guard, Item, Stat, etag_of
from persidict.exceptions import ConcurrencyConflictError
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ETagIfExists,
    ETagValue,
    ValueType,
)
from persidict.safe_str_tuple import NonEmptySafeStrTuple

_READ_ATTEMPTS = 3


class ClassicPrimitives(ItemPrimitives[ValueType]):
    """Primitives that a class gets if it defines `[]`, `del`, `timestamp` and iteration.

    Guards are checked and then acted on in two steps: another writer can come between them.
    """

    @abstractmethod
    def __getitem__(self, key: Any, /) -> ValueType: ...

    @abstractmethod
    def __setitem__(self, key: Any, value: Any, /) -> None: ...

    @abstractmethod
    def __delitem__(self, key: Any, /) -> None: ...

    @abstractmethod
    def timestamp(self, key: Any) -> float:
        """Return when the item was last written, in POSIX seconds; `KeyError` if absent."""

    @abstractmethod
    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]: ...

    def etag(self, key: Any) -> ETagValue:
        """Return the etag of the item's current version; `KeyError` if absent."""
        return ETagValue(f"{self.timestamp(key):.6f}")

    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        try:
            return Stat(self.etag(key), self.timestamp(key))
        except KeyError:
            return None

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        stat = self._stat(key)
        for _ in range(_READ_ATTEMPTS):
            if stat is None:
                return None
            if stat.etag == unless:
                return Item(VALUE_NOT_RETRIEVED, stat)
            try:
                value = self[key]
            except KeyError:
                return None
            before, stat = stat, self._stat(key)
            # the value belongs to an etag only if the etag is the same on both sides of the read
            if stat is not None and stat.etag == before.etag:
                return Item(value, stat)
        raise ConcurrencyConflictError(key, _READ_ATTEMPTS)

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        if guard is not None and not guard.holds(etag_of(self._stat(key))):
            return None
        self[key] = value
        written = self._stat(key)
        if written is None:
            raise ConcurrencyConflictError(key, 1)
        return written

    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        stat = self._stat(key)
        if stat is None or (guard is not None and not guard.holds(stat.etag)):
            return False
        try:
            del self[key]
        except KeyError:
            return False
        return True

    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]:
        for key in self._generic_iter({"keys"}):
            stat = self._stat(key) if stats else None
            if stat is not None or not stats:
                yield key, stat
