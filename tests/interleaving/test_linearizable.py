"""Another writer between the steps of an operation, for every kind of dictionary."""

from __future__ import annotations

from typing import Any

import pytest

from persidict import AppendOnlyDictCached, FileDirDict, LocalDict, MutableDictCached, WriteOnceDict
from persidict.testing import APPEND_ONLY, APPEND_ONLY_CACHED, WRITE_ONCE, InterleavingSuite, Lacks

from ..conformance.backends import Storage
from ..conformance.third_party import MinimalDict, VersionedDict

NEVER = Lacks("its items never change")


class TestFolder(InterleavingSuite):
    def open(self, storage: Storage, **options: Any) -> FileDirDict[Any]:
        return storage.folder(**options)

    def seam(self, d: Any) -> Any:
        return d._store


class TestFolderAppendOnly(TestFolder):
    policy = APPEND_ONLY
    items_change = NEVER

    def open(self, storage: Storage, **options: Any) -> FileDirDict[Any]:
        return storage.folder(append_only=True, **options)


class TestMemory(InterleavingSuite):
    def open(self, storage: Storage, **options: Any) -> LocalDict[Any]:
        return storage.local(**options)


class TestMemoryAppendOnly(TestMemory):
    policy = APPEND_ONLY
    items_change = NEVER

    def open(self, storage: Storage, **options: Any) -> LocalDict[Any]:
        return storage.local(append_only=True, **options)


class Far(LocalDict[Any]):
    """Like a server: a look is a request, and nobody has asked yet whether guards are obeyed."""

    _stat_is_cheap = False
    is_exact = False  # type: ignore[assignment]


@pytest.mark.usefixtures("pauses")
class TestFarAppendOnly(TestMemoryAppendOnly):
    def open(self, storage: Storage, **options: Any) -> Far:
        return Far(**super().open(storage, **options).get_params())


class TestMinimal(InterleavingSuite):
    """The steps of classic methods are coarse: a guarded write is one of them here."""

    def open(self, storage: Storage, **options: Any) -> MinimalDict:
        return storage.minimal(cls=VersionedDict, **options)


class TestCached(InterleavingSuite):
    """The other writer knows nothing of the cache."""

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.cached(self.rival(storage))

    def rival(self, storage: Storage) -> Any:
        return storage.folder()

    def seam(self, d: Any) -> Any:
        return d._main_dict._store


class TestCachedMinimal(TestCached):
    def rival(self, storage: Storage) -> Any:
        return storage.minimal(cls=VersionedDict)

    def seam(self, d: Any) -> Any:
        return d._main_dict


class TestCacheBehindCache(TestCached):
    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:
        return storage.privately_cached(super().open(storage, **options))

    def rival(self, storage: Storage) -> Any:
        return storage.local()

    def seam(self, d: Any) -> Any:
        return d._main_dict._main_dict


class TestCachedAppendOnly(InterleavingSuite):
    policy = APPEND_ONLY_CACHED
    items_change = NEVER

    def open(self, storage: Storage, **options: Any) -> AppendOnlyDictCached[Any]:
        return storage.cached_append_only(
            self.rival(storage), storage.local("cache", append_only=True)
        )

    def rival(self, storage: Storage) -> Any:
        return storage.folder(append_only=True)

    def seam(self, d: Any) -> Any:
        return d._main_dict._store


class TestWriteOnce(InterleavingSuite):
    policy = WRITE_ONCE
    items_change = NEVER

    def open(self, storage: Storage, **options: Any) -> WriteOnceDict[Any]:
        return WriteOnceDict(wrapped_dict=self.rival(storage), **options)

    def rival(self, storage: Storage) -> Any:
        return storage.folder(append_only=True)

    def seam(self, d: Any) -> Any:
        return d._wrapped_dict._store


class TestWriteOnceBehindCache(TestWriteOnce):
    def open(self, storage: Storage, **options: Any) -> WriteOnceDict[Any]:
        cached = storage.cached_append_only(
            self.rival(storage), storage.local("cache", append_only=True)
        )
        return WriteOnceDict(wrapped_dict=cached)

    def seam(self, d: Any) -> Any:
        return d._wrapped_dict._main_dict._store
