"""AppendOnlyDictCached: an append-only dictionary behind a cache that never needs validation."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NoReturn, Self

from persidict._words import IF_ABSENT, Guard, Item, Stat
from persidict._wrapped_dict import WrappedDict, checked_dict
from persidict.exceptions import refusal
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    ETagConditionFlag,
    ETagIfExists,
    TransformingFunction,
    ValueType,
)
from persidict.persi_dict import PersiDict, PersiDictKey
from persidict.safe_str_tuple import NonEmptySafeStrTuple, item_key


class AppendOnlyDictCached(WrappedDict[ValueType]):
    """An append-only dictionary; what was read or written once comes from the cache for ever.

    Args:
        main_dict: the truth; append-only.
        data_cache: append-only, with the same base class for values; its format may differ.
    """

    def __init__(
        self, *, main_dict: PersiDict[ValueType], data_cache: PersiDict[ValueType]
    ) -> None:
        for name, part in (("main_dict", main_dict), ("data_cache", data_cache)):
            if not checked_dict(name, part).append_only:
                raise ValueError(f"{name} must be append-only")
        if main_dict.base_class_for_values != data_cache.base_class_for_values:
            raise ValueError("main_dict and data_cache must have equal base_class_for_values")
        super().__init__(main_dict)
        self._main_dict = main_dict
        self._data_cache = data_cache

    @property
    def _inner(self) -> PersiDict[ValueType]:
        return self._main_dict

    def get_params(self) -> dict[str, Any]:
        """Return the two dictionaries."""
        return {"data_cache": self._data_cache, "main_dict": self._main_dict}

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return the same wrapper around the two sub-dictionaries."""
        subs = {name: part.get_subdict(prefix_key) for name, part in self.get_params().items()}
        return type(self)(**subs)

    def __contains__(self, key: Any) -> bool:
        key = item_key(key)
        return key in self._data_cache or key in self._main_dict

    def __getitem__(self, key: Any) -> ValueType:
        key = item_key(key)
        with suppress(Exception):  # a cache that fails is a cache that misses
            return self._data_cache[key]
        return super().__getitem__(key)

    def __delitem__(self, key: Any) -> NoReturn:
        raise refusal("append-only", self, key)

    def discard_item_if(
        self, key: Any, *, condition: ETagConditionFlag, expected_etag: ETagIfExists
    ) -> NoReturn:
        """Raise `MutationPolicyError`."""
        raise refusal("append-only", self, key)

    def transform_item(
        self,
        key: Any,
        *,
        transformer: TransformingFunction[ValueType],
        n_retries: int | None = 6,
    ) -> NoReturn:
        """Raise `MutationPolicyError`."""
        raise refusal("append-only", self, key)

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        item = self._main_dict._read(key, unless)
        if item is not None and item.stat.etag != unless:
            self._remember(key, item.value)
        return item

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        stat = self._main_dict._write(key, value, guard)
        if stat is not None:
            self._remember(key, value)
        return stat

    def _remember(self, key: NonEmptySafeStrTuple, value: Any) -> None:
        # several readers may fill the same entry at once, and a full disk must not fail a read
        with suppress(Exception):
            self._data_cache._write(key, value, IF_ABSENT)
