"""Write-once dictionaries over everything that is append-only."""

from __future__ import annotations

from typing import Any

from persidict import WriteOnceDict
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing import DictFixtures, InSubdict, Lacks, WriteOnceDictSuite

from .backends import Storage, damage


class Once(DictFixtures):
    probability: float | None = None

    def wrapped(self, storage: Storage, **options: Any) -> Any:
        return storage.folder(append_only=True, **options)

    def open(self, storage: Storage, **options: Any) -> WriteOnceDict[Any]:
        options.pop("append_only", None)
        return WriteOnceDict(
            wrapped_dict=self.wrapped(storage, **options), p_consistency_checks=self.probability
        )


class OverFolder(Once):
    def plant_unreadable(self, storage: Storage, key: NonEmptySafeStrTuple) -> None:
        d: Any = self.open(storage)
        d[key] = self.value(5)
        damage(storage.file_of(storage_of(d), key))


def storage_of(d: Any) -> Any:
    """Return the innermost dictionary."""
    while not hasattr(d, "_store"):
        d = d._wrapped_dict if isinstance(d, WriteOnceDict) else d._main_dict
    return d


class TestOnceInFolder(OverFolder, WriteOnceDictSuite):
    pass


class TestOnceInFolderOfText(OverFolder, WriteOnceDictSuite):
    serialization_format = "txt"
    any_value = Lacks("a text format stores strings only")

    def wrapped(self, storage: Storage, **options: Any) -> Any:
        options = {"serialization_format": "txt", "base_class_for_values": str, **options}
        return storage.folder(append_only=True, **options)


class TestOnceInMemory(Once, WriteOnceDictSuite):
    shared = Lacks("its memory belongs to one process")

    def wrapped(self, storage: Storage, **options: Any) -> Any:
        return storage.local(append_only=True, **options)


class Cached(OverFolder):
    def wrapped(self, storage: Storage, **options: Any) -> Any:
        options["append_only"] = True
        return storage.cached_append_only(
            storage.folder(**options), storage.local("cache", **options)
        )


class TestOnceBehindCache(Cached, WriteOnceDictSuite):
    pass


class TestOnceBehindTwoCaches(Cached, WriteOnceDictSuite):
    def wrapped(self, storage: Storage, **options: Any) -> Any:
        options["append_only"] = True
        return storage.cached_append_only(
            super().wrapped(storage, **options), storage.folder("outer", **options)
        )


class TestOnceOverOnce(OverFolder, WriteOnceDictSuite):
    def wrapped(self, storage: Storage, **options: Any) -> Any:
        return WriteOnceDict(wrapped_dict=super().wrapped(storage, **options))


class TestViewOfOnce(InSubdict, OverFolder, WriteOnceDictSuite):
    pass
