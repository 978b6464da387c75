"""Dictionaries behind caches, and caches behind caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from persidict import ETAG_IS_THE_SAME, AppendOnlyDictCached, MutableDictCached
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


QUESTION: Any = {"condition": ETAG_IS_THE_SAME, "expected_etag": "another"}
FILLS: dict[str, Callable[[Any], Any]] = {
    "[]": lambda d: d["k"],
    "get": lambda d: d.get("k"),
    "get_with_etag": lambda d: d.get_with_etag("k"),
    "setdefault": lambda d: d.setdefault("k", "mine"),
    "[]=": lambda d: d.update(k="value"),
    "unmet set_item_if": lambda d: d.set_item_if("k", value="mine", **QUESTION),
    "setdefault_if": lambda d: d.setdefault_if("k", default_value="mine", **QUESTION),
    "transform_item": lambda d: d.transform_item("k", transformer=lambda _: "value"),
}


@pytest.mark.parametrize("fill", FILLS)
def test_what_was_seen_once_is_not_fetched_again(storage: Storage, fill: str) -> None:
    """Whatever brought a value here, it is read from the cache while its etag is current."""
    main = storage.folder()
    main["k"] = "value"
    d = storage.cached(storage.folder())
    FILLS[fill](d)
    damage(storage.file_of(main, "k"))
    assert d["k"] == d.get("k") == "value"
    main["k"] = "newer"
    assert d["k"] == "newer"


@pytest.mark.parametrize("fill", ["[]", "get_with_etag", "setdefault", "setdefault_if"])
def test_what_was_appended_once_is_not_fetched_again(storage: Storage, fill: str) -> None:
    """An item that never changes is read from the cache without a look at the main dictionary."""
    main = storage.folder(append_only=True)
    main["k"] = "value"
    d = storage.cached_append_only(main, storage.folder("data", append_only=True))
    FILLS[fill](d)
    storage.file_of(main, "k").unlink()
    assert d["k"] == "value"
    assert "k" in d


@pytest.mark.parametrize("look", ["etag", "in", "timestamp"])
def test_a_value_without_its_etag_counts_for_nothing(storage: Storage, look: str) -> None:
    """A value that was left in the cache alone may be of any version, whatever is asked next."""
    main, d = storage.folder(), storage.cached(storage.folder())
    d._data_cache["k"] = "left over"
    main["k"] = "value"
    looks: dict[str, Callable[[], Any]] = {
        "etag": lambda: d.etag("k"),
        "in": lambda: "k" in d,
        "timestamp": lambda: d.timestamp("k"),
    }
    looks[look]()
    assert d["k"] == "value"
    assert d._data_cache["k"] == "value"
    assert d._etag_cache["k"] == main.etag("k")


@pytest.mark.parametrize("etag", ["outdated", "", "0:0:0"])
def test_another_etag_in_the_cache_is_repaired(storage: Storage, etag: str) -> None:
    """An etag of no version is a mismatch, and the next read puts it right."""
    main, d = storage.folder(), storage.cached(storage.folder())
    main["k"] = "value"
    d._data_cache["k"], d._etag_cache["k"] = "left over", etag
    assert d["k"] == "value"
    assert d._etag_cache["k"] == main.etag("k")


def test_entries_of_the_caches_alone_do_not_exist(storage: Storage) -> None:
    """The main dictionary is the truth: what it lacks is absent, and leaves the caches."""
    d = storage.cached(storage.folder())
    d._data_cache["k"], d._etag_cache["k"] = "left over", "1:1:1"
    assert "k" not in d
    assert len(d) == 0
    assert list(d) == []
    assert d.get("k") is None
    assert "k" not in d._data_cache
    assert "k" not in d._etag_cache


def test_etags_come_from_the_cache(storage: Storage) -> None:
    """A cached etag is returned without a look at the main dictionary, which may have moved on."""
    main, d = storage.folder(), storage.cached(storage.folder())
    d["k"] = "value"
    etag = main.etag("k")
    main["k"] = "newer"
    assert d.etag("k") == etag
    assert d["k"] == "newer"
    assert d.etag("k") == main.etag("k")
