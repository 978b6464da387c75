"""Dictionaries that define the classic methods alone, by themselves and behind a cache."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from persidict import ConcurrencyConflictError, MutableDictCached
from persidict.testing import AppendOnlyDictSuite, DictFixtures, DictSuite, InSubdict, Lacks

from .backends import Storage
from .third_party import HashedDict, MinimalDict, VersionedDict


class Minimal(DictFixtures):
    cls: ClassVar[type[MinimalDict]] = MinimalDict
    settings: ClassVar[dict[str, Any]] = {}
    shared = Lacks("its rows are in the memory of one process")
    shared_by_formats = Lacks("it ignores the format")
    one_step = Lacks("its methods look first, as an outsider's may")
    reports_absence = Lacks("its `del` silently ignores absent keys")

    def open(self, storage: Storage, **options: Any) -> MinimalDict:
        return storage.minimal(cls=self.cls, **{**self.settings, **options})


class TestMinimal(Minimal, DictSuite):
    pass


class TestMinimalAppendOnly(Minimal, AppendOnlyDictSuite):
    settings: ClassVar[dict[str, Any]] = {"append_only": True}


class TestVersioned(Minimal, DictSuite):
    cls = VersionedDict
    reports_absence = True


class TestHashed(Minimal, DictSuite):
    cls = HashedDict
    unique_etags = Lacks("its etag is a hash of the value")


class TestHashedBehindCache(Minimal, DictSuite):
    cls = HashedDict
    unique_etags = Lacks("its etag is a hash of the value")

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:  # type: ignore[override]
        return storage.cached(storage.minimal(cls=self.cls, **options))


class TestViewOfMinimal(InSubdict, Minimal, DictSuite):
    pass


class TestMinimalBehindCache(Minimal, DictSuite):
    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:  # type: ignore[override]
        return storage.cached(storage.minimal(cls=self.cls, **options))


class TestVersionedBehindPrivateCache(Minimal, DictSuite):
    cls = VersionedDict
    reports_absence = True
    fresh_etag = Lacks("another handle's writes do not reach this handle's cached etags")

    def open(self, storage: Storage, **options: Any) -> MutableDictCached[Any]:  # type: ignore[override]
        return storage.privately_cached(storage.minimal(cls=self.cls, **options))


def test_unknown_fields_are_refused(storage: Storage) -> None:
    """An iteration yields keys, values and timestamps, and nothing else."""
    for d in (storage.minimal(), storage.folder(), storage.local()):
        for fields in ({"keys", "more"}, set(), {"key"}):
            with pytest.raises(ValueError):
                d._generic_iter(fields)
        with pytest.raises(TypeError):
            d._generic_iter(["keys"])  # type: ignore[arg-type]


class DisturbedDict(VersionedDict):
    """Somebody writes whenever it is read, as often as `disturbances` says."""

    disturbances = 0

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if self.disturbances:
            self.disturbances -= 1
            self.shelf.put(self._place(key), f"{self.disturbances} more to come")
        return value


@pytest.mark.parametrize("disturbances", [0, 1, 2])
def test_value_and_etag_belong_together(storage: Storage, disturbances: int) -> None:
    """A value that was overwritten while it was read is read again, with its own etag."""
    d = storage.minimal(cls=DisturbedDict)
    d["k"] = "first"
    d.disturbances = disturbances
    result = d.get_with_etag("k")
    assert result.new_value == ("0 more to come" if disturbances else "first")
    assert result.actual_etag == d.etag("k")


def test_endless_disturbance_is_an_error(storage: Storage) -> None:
    """After three attempts a consistent read gives up."""
    d = storage.minimal(cls=DisturbedDict)
    d["k"] = "first"
    d.disturbances = 99
    with pytest.raises(ConcurrencyConflictError) as caught:
        d.get_with_etag("k")
    assert caught.value.attempts == 3
    assert d.disturbances == 96
