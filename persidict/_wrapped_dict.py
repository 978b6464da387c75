"""A dictionary around a dictionary: forwards the primitives, so that a wrapper overrides few."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Self

from persidict._item_dict import ItemDict
from persidict._words import Guard, Item, Stat
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    ETagIfExists,
    ETagValue,
    ValueType,
)
from persidict.persi_dict import PersiDict, PersiDictKey
from persidict.safe_str_tuple import NonEmptySafeStrTuple


class WrappedDict(ItemDict[ValueType]):
    """Everything goes to the wrapped dictionary, which is the truth."""

    @property
    @abstractmethod
    def _inner(self) -> PersiDict[ValueType]:
        """The wrapped dictionary."""

    @abstractmethod
    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return the same wrapper around the sub-dictionary of the wrapped one."""

    def __init__(self, inner: PersiDict[ValueType]) -> None:
        super().__init__(
            append_only=inner.append_only,
            base_class_for_values=inner.base_class_for_values,
            serialization_format=inner.serialization_format,
        )
        self._stat_is_cheap = inner._stat_is_cheap

    @property
    def is_exact(self) -> bool:
        """True if the conditional operations of the wrapped dictionary are exact."""
        return self._inner.is_exact

    def _can_expect(self, etag: ETagIfExists) -> bool:
        return self._inner._can_expect(etag)

    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        return self._inner._stat(key)

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        return self._inner._read(key, unless)

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        return self._inner._write(key, value, guard)

    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        return self._inner._remove(key, guard)

    def _scan(self, *, stats: bool) -> Iterator[tuple[NonEmptySafeStrTuple, Stat | None]]:
        return self._inner._scan(stats=stats)

    def _absence(self, key: NonEmptySafeStrTuple) -> KeyError:
        return self._inner._absence(key)

    # What the wrapped dictionary may know better than its primitives tell.

    def __contains__(self, key: Any) -> bool:
        return key in self._inner

    def __len__(self) -> int:
        return len(self._inner)

    def timestamp(self, key: Any) -> float:
        """Return when the item was last written, in POSIX seconds; `KeyError` if absent."""
        return self._inner.timestamp(key)

    def etag(self, key: Any) -> ETagValue:
        """Return the etag of the item's current version; `KeyError` if absent."""
        return self._inner.etag(key)

    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]:
        return self._inner._generic_iter(result_type)


def checked_dict(name: str, value: Any) -> PersiDict[Any]:
    """Return the argument `name` of a wrapper, or raise `TypeError`."""
    if not isinstance(value, PersiDict):
        raise TypeError(f"{name} must be a PersiDict, not {type(value).__name__}")
    return value
