"""The conformance suites on S3: each kind of dictionary, on each of the servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from persidict import LocalDict, MutableDictCached, PersiDict
from persidict._s3_blobs import S3Blobs
from persidict._s3_bucket import Bucket
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing import (
    AppendOnlyCachedDictSuite,
    BlobStoreSuite,
    DictFixtures,
    DictSuite,
    InSubdict,
    Lacks,
)

from .conftest import Place, moto_place, place_on


class OnMoto:
    @pytest.fixture
    def storage(self, clients: dict[str, Any], tmp_path: Path) -> Iterator[Place]:
        yield from moto_place(clients, tmp_path)


class OnMinistack:
    @pytest.fixture
    def storage(self, ministack: Any, clients: dict[str, Any], tmp_path: Path) -> Place:
        return place_on(ministack, clients, tmp_path)


class OnSeaweedFS:
    @pytest.fixture
    def storage(self, seaweedfs: Any, clients: dict[str, Any], tmp_path: Path) -> Place:
        return place_on(seaweedfs, clients, tmp_path)


class Basic(DictFixtures):
    settings: ClassVar[dict[str, Any]] = {}
    unique_etags = Lacks("S3 makes its etag from the bytes alone")

    def open(self, storage: Place, **options: Any) -> PersiDict[Any]:
        return storage.basic(**{**self.settings, **options})

    def bucket_dict(self, d: Any) -> Any:
        """The dictionary whose items are objects."""
        return d

    def plant_unreadable(self, storage: Place, key: NonEmptySafeStrTuple) -> None:
        d = self.bucket_dict(self.open(storage))
        below = d.root_prefix.removeprefix(storage.prefix)
        storage.put(f"{below}{'/'.join(key.strings)}.{d.serialization_format}", b"\xff\xfe\xff")


class AppendOnly(Basic):
    settings: ClassVar[dict[str, Any]] = {"append_only": True}


class Cached(Basic):
    def open(self, storage: Place, **options: Any) -> PersiDict[Any]:
        return storage.cached(**{**self.settings, **options})


class BehindMemory(Basic):
    """The wrapper that anybody can put around any dictionary."""

    fresh_etag = Lacks("another handle's writes do not reach this handle's cached etags")

    def open(self, storage: Place, **options: Any) -> PersiDict[Any]:
        return MutableDictCached(
            main_dict=storage.basic(**options), data_cache=LocalDict(), etag_cache=LocalDict()
        )

    def bucket_dict(self, d: Any) -> Any:
        return d._main_dict


class CachedAppendOnly(AppendOnly):
    def open(self, storage: Place, **options: Any) -> PersiDict[Any]:
        return storage.cached(**{**self.settings, **options})


class TestBasicOnMoto(OnMoto, Basic, DictSuite): ...


class TestBasicOnMinistack(OnMinistack, Basic, DictSuite): ...


class TestBasicOnSeaweedFS(OnSeaweedFS, Basic, DictSuite): ...


class TestBehindMemoryOnMinistack(OnMinistack, BehindMemory, DictSuite): ...


class TestViewOfCachedOnMinistack(InSubdict, OnMinistack, Cached, DictSuite): ...


class TestCachedAppendOnlyOnSeaweedFS(OnSeaweedFS, CachedAppendOnly, AppendOnlyCachedDictSuite): ...


class Blobs(BlobStoreSuite):
    tells_times = Lacks("the answer to a write does not tell the time of the object")

    def open(self, storage: Place) -> S3Blobs:
        bucket = Bucket(storage.client, storage.bucket, {})
        return S3Blobs(
            bucket, storage.prefix, content_type="application/octet-stream", items_stay=False
        )

    def put(self, storage: Place, name: str, data: bytes) -> None:
        storage.put(name, data)

    def get(self, storage: Place, name: str) -> bytes | None:
        return storage.get(name)


class TestBlobsOnMoto(OnMoto, Blobs): ...


class TestBlobsOnMinistack(OnMinistack, Blobs): ...


class TestBlobsOnSeaweedFS(OnSeaweedFS, Blobs): ...


class TestChildOfBlobsOnMinistack(TestBlobsOnMinistack):
    """A child is a store by itself."""

    def open(self, storage: Place) -> S3Blobs:
        parent = super().open(storage)
        parent.write("beside.x", b"beside", None)
        return parent.child("child/of")

    def put(self, storage: Place, name: str, data: bytes) -> None:
        storage.put(f"child/of/{name}", data)

    def get(self, storage: Place, name: str) -> bytes | None:
        return storage.get(f"child/of/{name}")
