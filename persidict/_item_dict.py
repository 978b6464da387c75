"""The classic methods over the five primitives, for dictionaries that define those."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from persidict._words import IF_ABSENT, Guard, Item, Stat
from persidict.exceptions import refusal
from persidict.jokers_and_status_flags import (
    CONTINUE_NORMAL_EXECUTION,
    ITEM_NOT_AVAILABLE,
    ETagIfExists,
    ETagValue,
    ValueType,
)
from persidict.persi_dict import PersiDict, checked_fields
from persidict.safe_str_tuple import NonEmptySafeStrTuple, item_key


class ItemDict(PersiDict[ValueType]):
    """A dictionary whose storage is reached through the primitives alone."""

    @abstractmethod
    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None: ...

    @abstractmethod
    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None: ...

    @abstractmethod
    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None: ...

    @abstractmethod
    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool: ...

    @abstractmethod
    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]: ...

    def __contains__(self, key: Any) -> bool:
        return self._has(item_key(key))

    def _has(self, key: NonEmptySafeStrTuple) -> bool:
        return self._stat(key) is not None

    def __getitem__(self, key: Any) -> ValueType:
        key = item_key(key)
        item = self._checked_read(key)
        if item is None:
            raise self._absence(key)
        return item.value  # type: ignore[return-value]  # it was retrieved

    def __setitem__(self, key: Any, value: Any) -> None:
        key = item_key(key)
        if self._process_joker(key, value) is CONTINUE_NORMAL_EXECUTION:
            guard = IF_ABSENT if self.append_only else None
            if self._write(key, value, guard) is None:
                raise refusal("append-only", self, key)

    def __delitem__(self, key: Any) -> None:
        key = item_key(key)
        self._refuse_change(key)
        if not self._remove(key, None):
            raise self._absence(key)

    def __len__(self) -> int:
        return sum(1 for _ in self._scan(stats=False))

    def timestamp(self, key: Any) -> float:
        """Return when the item was last written, in POSIX seconds; `KeyError` if absent."""
        return self._present(key).timestamp

    def etag(self, key: Any) -> ETagValue:
        """Return the etag of the item's current version; `KeyError` if absent."""
        return self._present(key).etag

    def _present(self, key: Any) -> Stat:
        key = item_key(key)
        stat = self._stat(key)
        if stat is None:
            raise self._absence(key)
        return stat

    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]:
        return self._iterate(checked_fields(result_type))

    def _iterate(self, fields: tuple[str, ...]) -> Iterator[Any]:
        if "values" in fields:
            pick = _PICKS_OF_ITEMS[fields]
            return (pick(key, item) for key, item in self._scan_items())
        scan = self._scan(stats="timestamps" in fields)
        if fields == ("keys",):
            return (key for key, _ in scan)
        looked = ((key, stat.timestamp) for key, stat in scan if stat is not None)
        return looked if fields == ("keys", "timestamps") else (time for _, time in looked)

    def _scan_items(self) -> Iterator[tuple[NonEmptySafeStrTuple, Item[ValueType]]]:
        """Yield keys with values and stats of one version; what vanished since is left out."""
        for key, _ in self._scan(stats=False):
            item = self._checked_read(key)
            if item is not None:
                yield key, item


_PICKS_OF_ITEMS: dict[tuple[str, ...], Callable[[Any, Item[Any]], Any]] = {
    ("values",): lambda _, item: item.value,
    ("keys", "values"): lambda key, item: (key, item.value),
    ("values", "timestamps"): lambda _, item: (item.value, item.stat.timestamp),
    ("keys", "values", "timestamps"): lambda key, item: (key, item.value, item.stat.timestamp),
}
