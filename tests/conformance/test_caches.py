"""Dictionaries behind caches, and caches behind caches."""

from __future__ import annotations

from typing import Any

from persidict import AppendOnlyDictCached, MutableDictCached
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing import (
    AppendOnlyCachedDictSuite,
    DictFixtures,
    DictSuite,
    InSubdict,
    Lacks,
)

from .backends import Storage, damage

PRIVATE = Lacks("another handle's writes do not reach this handle's cached etags")


class Cached(DictFixtures):
    shared_by_formats = Lacks("the parts decide their formats")

    def main(self, storage: Storage, **options: Any) -> Any:
        return storage.folder(**options)

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.cached(self.main(storage, **options))


class OverFolder(Cached):
    def plant_unreadable(self, storage: Storage, key: NonEmptySafeStrTuple) -> None:
        d: Any = self.open(storage)
        d[key] = self.value(5)
        while isinstance(d, MutableDictCached | AppendOnlyDictCached):
            d = d._main_dict
        damage(storage.file_of(d, key))


class TestCachedFolder(OverFolder, DictSuite):
    pass


class TestCachedFolderOfText(OverFolder, DictSuite):
    serialization_format = "txt"
    any_value = Lacks("a text format stores strings only")

    def main(self, storage: Storage, **options: Any) -> Any:
        return storage.folder(
            **{"serialization_format": "txt", "base_class_for_values": str, **options}
        )


class TestCachedFolderWithJsonCache(OverFolder, DictSuite):
    """The format of the cache is its own; it may even be unable to hold what the main dict can."""

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.cached(self.main(storage, **options), data_format="json")


class TestPrivatelyCachedFolder(OverFolder, DictSuite):
    fresh_etag = PRIVATE

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.privately_cached(self.main(storage, **options))


class TestCachedMemory(Cached, DictSuite):
    shared = Lacks("its main dictionary is in the memory of one process")

    def main(self, storage: Storage, **options: Any) -> Any:
        return storage.local(**options)


class TestPrivatelyCachedMemory(Cached, DictSuite):
    shared = Lacks("its main dictionary is in the memory of one process")
    fresh_etag = PRIVATE

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.privately_cached(storage.local(**options))


class TestCacheBehindCache(OverFolder, DictSuite):
    fresh_etag = PRIVATE

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.privately_cached(storage.cached(self.main(storage, **options)))


class TestViewOfCachedFolder(InSubdict, OverFolder, DictSuite):
    pass


class CachedAppendOnly(OverFolder):
    def open(self, storage: Storage, **options: Any) -> AppendOnlyDictCached[Any]:  # type: ignore[override]
        options["append_only"] = True
        return storage.cached_append_only(
            self.main(storage, **options), storage.folder("data", **options)
        )


class TestCachedAppendOnlyFolder(CachedAppendOnly, AppendOnlyCachedDictSuite):
    pass


class TestViewOfCachedAppendOnlyFolder(InSubdict, CachedAppendOnly, AppendOnlyCachedDictSuite):
    pass


class TestAppendOnlyCacheBehindCache(CachedAppendOnly, AppendOnlyCachedDictSuite):
    def open(self, storage: Storage, **options: Any) -> AppendOnlyDictCached[Any]:  # type: ignore[override]
        options["append_only"] = True
        return storage.cached_append_only(
            super().open(storage, **options), storage.local("cache", **options)
        )
