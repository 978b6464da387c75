"""Dictionaries in memory."""

from __future__ import annotations

from typing import Any, ClassVar

from persidict import LocalDict, OverlappingMultiDict
from persidict.testing import AppendOnlyDictSuite, DictFixtures, DictSuite, InSubdict, Lacks

from .backends import Storage


class InMemory(DictFixtures):
    shared = Lacks("its memory belongs to one process")
    settings: ClassVar[dict[str, Any]] = {}

    def open(self, storage: Storage, **options: Any) -> LocalDict[Any]:
        return storage.local(**{**self.settings, **options})


class TestMemory(InMemory, DictSuite):
    pass


class TestMemoryAppendOnly(InMemory, AppendOnlyDictSuite):
    settings: ClassVar[dict[str, Any]] = {"append_only": True}


class TestMemoryUnpruned(InMemory, DictSuite):
    settings: ClassVar[dict[str, Any]] = {"prune_interval": None}


class TestMemoryOfText(InMemory, DictSuite):
    """A format is only a namespace here: nothing is turned to text."""

    settings: ClassVar[dict[str, Any]] = {
        "serialization_format": "txt",
        "base_class_for_values": str,
    }
    serialization_format = "txt"
    any_value = Lacks("a text format is declared to hold strings only")


class TestView(InSubdict, InMemory, DictSuite):
    pass


class TestViewAppendOnly(InSubdict, InMemory, AppendOnlyDictSuite):
    settings: ClassVar[dict[str, Any]] = {"append_only": True}


class TestMemberOfOverlapping(InMemory, DictSuite):
    """One of several dictionaries that share memory and differ in format."""

    serialization_format = "json"

    def open(self, storage: Storage, **options: Any) -> LocalDict[Any]:
        options = dict(options)
        name = options.pop("serialization_format", "json")
        backend = storage.local().get_params()["backend"]
        family = OverlappingMultiDict(
            dict_type=LocalDict,
            shared_subdicts_params={"backend": backend, **options},
            pkl={},
            json={},
        )
        member: LocalDict[Any] = getattr(family, name)
        return member
