"""MutableDictCached: a dictionary behind a cache that every read validates by etag."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Self

from persidict._words import IF_ABSENT, Guard, Item, Stat, etag_of
from persidict._wrapped_dict import WrappedDict, checked_dict
from persidict.jokers_and_status_flags import (
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ETagIfExists,
    ETagValue,
    ValueType,
)
from persidict.persi_dict import PersiDict, PersiDictKey
from persidict.safe_str_tuple import NonEmptySafeStrTuple, item_key


class MutableDictCached(WrappedDict[ValueType]):
    """A dictionary whose values come from a cache while the main dictionary's etag is unchanged.

    The main dictionary is the truth; a read asks it whether the cached version is still current,
    and fetches the value only if not. Only `etag` may be answered from the cache alone. Caches are
    best effort: when one of them fails, the item is not cached and a warning says so.

    Args:
        main_dict: the truth; mutable.
        data_cache: values; mutable, its format may differ.
        etag_cache: the etags of the cached values; mutable.
    """

    def __init__(
        self,
        *,
        main_dict: PersiDict[ValueType],
        data_cache: PersiDict[ValueType],
        etag_cache: PersiDict[str],
    ) -> None:
        for name, part in (
            ("main_dict", main_dict),
            ("data_cache", data_cache),
            ("etag_cache", etag_cache),
        ):
            if checked_dict(name, part).append_only:
                raise ValueError(f"{name} must not be append-only")
        super().__init__(main_dict)
        self._main_dict = main_dict
        self._data_cache = data_cache
        self._etag_cache = etag_cache

    @property
    def _inner(self) -> PersiDict[ValueType]:
        return self._main_dict

    def get_params(self) -> dict[str, Any]:
        """Return the three dictionaries."""
        return {
            "data_cache": self._data_cache,
            "etag_cache": self._etag_cache,
            "main_dict": self._main_dict,
        }

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        """Return the same wrapper around the three sub-dictionaries."""
        subs = {name: part.get_subdict(prefix_key) for name, part in self.get_params().items()}
        return type(self)(**subs)

    def __getitem__(self, key: Any) -> ValueType:
        key = item_key(key)
        cached = self._cached(key)
        if cached is None:
            return super().__getitem__(key)
        item = self._checked_read(key, unless=cached.stat.etag)
        if item is None:
            raise self._absence(key)
        if item.value is VALUE_NOT_RETRIEVED:
            item = cached
        return item.value  # type: ignore[return-value]  # it was retrieved

    def clear(self) -> None:
        """Remove all items, and what is cached; not atomic."""
        self._main_dict.clear()
        for cache in (self._etag_cache, self._data_cache):
            self._keep(cache.clear)

    def etag(self, key: Any) -> ETagValue:
        """Return the cached etag if there is one (others may have written since), else the real."""
        key = item_key(key)
        cached = self._cached_etag(key)
        if cached is not None:
            return cached
        current = super().etag(key)
        self._purge(key)  # a value without an etag may be of any version
        if self._can_expect(current):
            self._keep(lambda: self._remember_etag(key, current))
        return current

    def _remember_etag(self, key: NonEmptySafeStrTuple, etag: ETagValue) -> None:
        self._etag_cache._write(key, etag, IF_ABSENT)

    def _read(
        self, key: NonEmptySafeStrTuple, unless: ETagIfExists = ITEM_NOT_AVAILABLE
    ) -> Item[ValueType] | None:
        before = self._cached_version(key)
        item = self._main_dict._read(key, unless)
        if item is None:
            self._purge(key)
        elif item.stat.etag != unless:
            self._remember(key, item, before)
        return item

    def _write(
        self, key: NonEmptySafeStrTuple, value: ValueType, guard: Guard | None
    ) -> Stat | None:
        before = self._cached_version(key)
        stat = self._main_dict._write(key, value, guard)
        if stat is not None:
            self._remember(key, Item(value, stat), before)
        return stat

    def _remove(self, key: NonEmptySafeStrTuple, guard: Guard | None) -> bool:
        removed = self._main_dict._remove(key, guard)
        if removed or guard is None:
            self._purge(key)
        return removed

    def _stat(self, key: NonEmptySafeStrTuple) -> Stat | None:
        stat = self._main_dict._stat(key)
        if stat is None:
            self._purge(key)
        return stat

    def _cached(self, key: NonEmptySafeStrTuple) -> Item[ValueType] | None:
        """Return the cached value with its etag; whatever goes wrong, it is not cached."""
        etag = self._cached_etag(key)
        if etag is None:
            return None
        with suppress(Exception):
            found = self._data_cache._checked_read(key)
            # both may have been exchanged in between
            if found is not None and self._cached_etag(key) == etag:
                self._check_value(found.value)
                return Item(found.value, Stat(etag, 0.0))
        return None

    def _cached_etag(self, key: NonEmptySafeStrTuple) -> ETagValue | None:
        with suppress(Exception):
            etag = ETagValue(self._etag_cache[key])
            return etag if self._can_expect(etag) else None
        return None

    def _cached_version(self, key: NonEmptySafeStrTuple) -> Guard | None:
        """Return what the cached value must still be when a newer one replaces it."""
        with suppress(Exception):
            return Guard(etag_of(self._data_cache._stat(key)))
        return None

    def _remember(self, key: NonEmptySafeStrTuple, item: Item[Any], before: Guard | None) -> None:
        """Cache a version, unless somebody has cached one since the main dictionary was asked."""
        if not self._can_expect(item.stat.etag):
            self._purge(key)  # under this etag it could stand for any version
        elif before is not None:
            self._keep(lambda: self._replace_cached(key, item, before))

    def _replace_cached(self, key: NonEmptySafeStrTuple, item: Item[Any], before: Guard) -> None:
        # A value without an etag counts as not cached, so whatever stops us here, or comes between,
        # loses the entry. An etag stands beside a value of another version only if that version is
        # newer; then the main dictionary has left the etag behind, and the next read finds out.
        self._etag_cache.discard(key)
        value: Any = item.value
        written = self._data_cache._write(key, value, before)
        if written is None:
            return
        self._etag_cache._write(key, item.stat.etag, IF_ABSENT)
        if etag_of(self._data_cache._stat(key)) != written.etag:
            self._etag_cache.discard(key)

    def _keep(self, change: Callable[[], Any]) -> None:
        try:
            change()
        except Exception as error:
            warnings.warn(f"an item is not cached: {error}", RuntimeWarning, stacklevel=5)

    def _purge(self, key: NonEmptySafeStrTuple) -> None:
        for cache in (self._etag_cache, self._data_cache):
            self._keep(partial(cache.discard, key))
