"""Buckets as stores of Dask: opened by URL, sent to workers, filled once."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.config import Config
from distributed import Client, LocalCluster

from persidict import BasicS3Dict, S3Dict, WriteOnceDict
from persidict_dask import StoreRef, open_store, persist
from persidict_dask._submission import _stored
from tests.dask.conftest import Project
from tests.dask.fleet import Fleet

from .conftest import Place, set_credentials
from .test_requests import Requests


def url_of(place: Place, **query: str) -> str:
    more = "".join(f"&{name}={quote(value)}" for name, value in query.items())
    return f"s3://{place.bucket}/{place.prefix}?endpoint_url={quote(str(place.url))}{more}"


def test_urls(real: Place) -> None:
    d = open_store(url_of(real, region="us-east-1"))
    assert type(d) is BasicS3Dict
    assert (d.bucket_name, d.root_prefix, d.region) == (real.bucket, real.prefix, "us-east-1")
    d["a", "b"] = [1]
    for where in ({}, {"serialization_format": "pkl"}, {"config": {"read_timeout": 9}}):
        assert open_store(url_of(real), **where)["a", "b"] == [1]
    other = open_store(url_of(real), serialization_format="json")
    other["x"] = 1
    assert real.names() == ["a/b.pkl", "x.json"]


def test_caches(real: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(real.path)
    for d in (
        open_store(url_of(real, cache_dir="c")),
        open_store(url_of(real), cache_dir=real.path / "c"),
        open_store(url_of(real), base_dir="c", max_cache_bytes=10**6),
    ):
        assert type(d) is S3Dict
        assert Path(d.base_dir) == real.path / "c"
        d["k"] = 1
    once = open_store(url_of(real, cache_dir="c"), write_once=True)
    assert type(once) is WriteOnceDict
    assert once["k"] == 1


@pytest.mark.parametrize("options", [{}, {"config": {"s3": {"addressing_style": "path"}}}])
def test_references(real: Place, options: Any) -> None:
    """They travel, also with options; opening one in two ways gives one object."""
    where = {"bucket_name": real.bucket, "root_prefix": real.prefix, "endpoint_url": real.url}
    put_args = {"Metadata": {"who": "me"}, "CacheControl": "no-store"}
    for d in (
        BasicS3Dict(**where, **options, put_args=put_args),
        S3Dict(**where, **options, base_dir=real.path / "c", max_cache_bytes=1000),
    ):
        d["k"] = 1
        ref = pickle.loads(pickle.dumps(StoreRef.of(d)))
        assert ref == StoreRef.of(d)
        assert ref.open() is StoreRef.of(d).open()
        assert ref.open() == d
        assert ref.open()["k"] == 1
        assert StoreRef.of(ref.open()) == ref


def test_what_cannot_travel_is_refused(real: Place) -> None:
    where = {"bucket_name": real.bucket, "endpoint_url": real.url}
    for options in (
        {"client": real.client},
        {"session": boto3.Session()},
        {"config": Config(read_timeout=9)},
    ):
        with pytest.raises(TypeError, match="give endpoint_url"):
            StoreRef.of(BasicS3Dict(**where, **options))


@pytest.fixture(scope="module")
def cluster() -> Any:
    with pytest.MonkeyPatch.context() as environment:
        set_credentials(environment)  # before the workers start
        with (
            LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client


def test_a_result_is_computed_once(real: Place, cluster: Any, tmp_path: Path) -> None:
    """By workers, then by none of them: also in a process that knows only the URL."""
    runs = tmp_path / "runs"
    runs.mkdir()
    folder = str(runs)

    def work(n: int) -> int:
        import uuid

        Path(folder, f"{n}-{uuid.uuid4().hex}").touch()
        return n * n

    for url in (url_of(real), url_of(real, cache_dir=str(tmp_path / "cache"))):
        f = persist(url)(work)
        for _ in range(2):
            assert cluster.gather(cluster.map(f, range(10), pure=False)) == [
                n * n for n in range(10)
            ]
    assert len(list(runs.iterdir())) == 10
    assert [f(n) for n in range(10)] == [n * n for n in range(10)]
    assert len(list(runs.iterdir())) == 10


def test_equal_calls_of_four_processes_run_once(real: Place, tmp_path: Path) -> None:
    """And once more if the one that runs is killed."""
    fleet = Fleet(Project(tmp_path / "project"), url_of(real), 4)
    fleet.start()
    first = fleet.runner(0)
    os.kill(first, signal.SIGKILL)
    assert fleet.runner(1) != first
    told = fleet.finish()
    assert sum(misses for misses, _ in told) == 1
    assert sum(hits for _, hits in told) == 47
    assert len(fleet.project.executed()) == 2
    assert [name for name in real.names() if name.endswith(".claim")] == []


def test_many_keys_are_looked_up_by_a_listing(real: Place) -> None:
    """One request tells which of fifty results are stored; none of them is read."""

    @persist(real.basic())
    def f(x: int) -> int:
        return x

    for x in range(10, 30):
        f(x)
    keys = [f.key_of(x) for x in range(50)]
    requests = Requests(real)
    with requests.counted() as sent:
        assert _stored(f, set(keys)) == set(keys[10:30])
    assert sent == {"ListObjectsV2": 1}
