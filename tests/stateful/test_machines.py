"""Random sequences of operations, two handles and a plain `dict`, for each kind of dictionary."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings

from persidict.testing.stateful import AnyDictMachine, AppendOnlyDictMachine, DictMachine

from ..conformance.backends import Storage
from ..conformance.third_party import MinimalDict, VersionedDict

SETTINGS = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class InStorage(AnyDictMachine):
    def __init__(self) -> None:
        self.storage = Storage(Path(tempfile.mkdtemp(prefix="persidict_")))
        super().__init__()

    def teardown(self) -> None:
        shutil.rmtree(self.storage.path)


class FolderMachine(InStorage, DictMachine):
    def open(self) -> Any:
        return self.storage.folder()


class JsonFolderMachine(InStorage, DictMachine):
    def open(self) -> Any:
        return self.storage.folder(serialization_format="json", digest_len=0)


class FolderAppendOnlyMachine(InStorage, AppendOnlyDictMachine):
    def open(self) -> Any:
        return self.storage.folder(append_only=True)


class MemoryMachine(InStorage, DictMachine):
    def open(self) -> Any:
        return self.storage.local()


class MemoryAppendOnlyMachine(InStorage, AppendOnlyDictMachine):
    def open(self) -> Any:
        return self.storage.local(append_only=True)


class CachedMachine(InStorage, DictMachine):
    def open(self) -> Any:
        return self.storage.cached(self.storage.folder(), data_format="json")


class PrivatelyCachedMachine(InStorage, DictMachine):
    fresh_etag = False

    def open(self) -> Any:
        return self.storage.privately_cached(self.storage.local())


class MinimalMachine(InStorage, DictMachine):
    def open(self) -> Any:
        return self.storage.minimal(cls=MinimalDict)


class MinimalAppendOnlyMachine(InStorage, AppendOnlyDictMachine):
    def open(self) -> Any:
        return self.storage.minimal(cls=VersionedDict, append_only=True)


class CachedMinimalMachine(InStorage, DictMachine):
    fresh_etag = False

    def open(self) -> Any:
        return self.storage.privately_cached(self.storage.minimal(cls=VersionedDict))


def case(machine: type[AnyDictMachine]) -> Any:
    machine.TestCase.settings = SETTINGS
    return machine.TestCase


TestFolder = case(FolderMachine)
TestJsonFolder = case(JsonFolderMachine)
TestFolderAppendOnly = case(FolderAppendOnlyMachine)
TestMemory = case(MemoryMachine)
TestMemoryAppendOnly = case(MemoryAppendOnlyMachine)
TestCached = case(CachedMachine)
TestPrivatelyCached = case(PrivatelyCachedMachine)
TestMinimal = case(MinimalMachine)
TestMinimalAppendOnly = case(MinimalAppendOnlyMachine)
TestCachedMinimal = case(CachedMinimalMachine)
