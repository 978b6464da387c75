"""Cached dictionaries whose cache is a folder that any number of processes may share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Self

from persidict._cache_limit import CacheLimit
from persidict._stored_dict import StoredDict
from persidict._words import IF_ABSENT, Guard, Item, Stat
from persidict.cached_appendonly_dict import AppendOnlyDictCached
from persidict.cached_mutable_dict import MutableDictCached
from persidict.jokers_and_status_flags import ETagValue, ValueType
from persidict.persi_dict import PersiDictKey
from persidict.safe_str_tuple import NonEmptySafeStrTuple

_BATCH = 1000  # keys, listed before the missing ones among them are read


class FolderCachedDict(MutableDictCached[ValueType]):
    """A mutable dictionary behind two files for each item: the value, and the etag it had.

    The file of the etag gets the time of the file of the value. Times of versions only grow, so a
    value and an etag of equal times belong together, whoever was killed or came between.
    """

    limit: CacheLimit | None = None

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        sub = super().get_subdict(prefix_key)
        sub.limit = self.limit
        return sub

    def _cached(self, key: NonEmptySafeStrTuple) -> Item[ValueType] | None:
        try:
            etag = self._etag_cache._read(key)
            found = self._data_cache._checked_read(key) if etag else None
            if etag is None or found is None or _date(etag.stat) != _date(found.stat):
                return None
            known = ETagValue(str(etag.value))
            return Item(found.value, Stat(known, 0.0)) if self._can_expect(known) else None
        except Exception:  # a cache that fails is a cache that misses
            return None

    def _cached_version(self, key: NonEmptySafeStrTuple) -> Guard | None:
        return IF_ABSENT  # an entry of any version may be replaced by one of any other

    def _replace_cached(self, key: NonEmptySafeStrTuple, item: Item[Any], before: Guard) -> None:
        value: Any = item.value
        written = self._data_cache._write(key, value, None)
        assert written is not None
        self._date_etag(key, item.stat.etag, _date(written))
        if self.limit:
            self.limit.add(_size(written))

    def _remember_etag(self, key: NonEmptySafeStrTuple, etag: ETagValue) -> None:
        # of a time that no file of a value has: others may be writing an older value just now
        self._date_etag(key, etag, 0, over=False)

    def _date_etag(
        self, key: NonEmptySafeStrTuple, etag: ETagValue, date: int, *, over: bool = True
    ) -> None:
        etags: Any = self._etag_cache
        etags._store.write_dated(etags._name(key), etag.encode(), date, over=over)

    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]:
        return _iterate(self, result_type)

    def _scan_items(self) -> Iterator[tuple[NonEmptySafeStrTuple, Item[ValueType]]]:
        return _items(self._main_dict, self._current, self._fetched_items)

    def _current(self, key: NonEmptySafeStrTuple, stat: Stat) -> Any:
        cached = self._cached(key)
        return cached if cached is not None and cached.stat.etag == stat.etag else None

    def _fetched_items(self, key: NonEmptySafeStrTuple, item: Item[ValueType]) -> None:
        self._remember(key, item, IF_ABSENT)


class FolderCachedAppendOnlyDict(AppendOnlyDictCached[ValueType]):
    """An append-only dictionary behind a file for each item."""

    limit: CacheLimit | None = None

    def get_subdict(self, prefix_key: PersiDictKey) -> Self:
        sub = super().get_subdict(prefix_key)
        sub.limit = self.limit
        return sub

    def _remember(self, key: NonEmptySafeStrTuple, value: Any) -> None:
        super()._remember(key, value)
        stat = self._data_cache._stat(key) if self.limit else None
        if self.limit and stat:
            self.limit.add(_size(stat))

    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]:
        return _iterate(self, result_type)

    def _scan_items(self) -> Iterator[tuple[NonEmptySafeStrTuple, Item[ValueType]]]:
        return _items(self._main_dict, self._current, self._fetched_items)

    def _current(self, key: NonEmptySafeStrTuple, stat: Stat) -> Any:
        try:
            return self._data_cache._checked_read(key)
        except Exception:  # a cache that fails is a cache that misses
            return None

    def _fetched_items(self, key: NonEmptySafeStrTuple, item: Item[ValueType]) -> None:
        self._remember(key, item.value)


def _iterate(cached: Any, result_type: set[str]) -> Iterator[Any]:
    """Iterate over the listing of the main dictionary, with values from the cache if wanted."""
    if isinstance(result_type, set) and "values" in result_type:
        return StoredDict._generic_iter(cached, result_type)
    return cached._main_dict._generic_iter(result_type)  # type: ignore[no-any-return]


def _items(
    main: Any,  # a `StoredDict`
    current: Callable[[NonEmptySafeStrTuple, Stat], Item[Any] | None],
    fetched: Callable[[NonEmptySafeStrTuple, Item[Any]], None],
) -> Iterator[tuple[NonEmptySafeStrTuple, Item[Any]]]:
    """Yield items of a listing: from the cache where it is current, else from the main dict."""
    scan = main._scan_sized()
    while batch := list(islice(scan, _BATCH)):
        missing = []
        for key, stat, name, size in batch:
            item = current(key, stat)
            if item is None:
                missing.append((key, name, size))
            else:
                yield key, Item(item.value, stat)
        for key, item in main._read_items(missing):
            fetched(key, item)
            yield key, item


def _date(stat: Stat) -> int:
    return int(stat.etag.split(":")[0])


def _size(stat: Stat) -> int:
    return int(stat.etag.split(":")[1])
