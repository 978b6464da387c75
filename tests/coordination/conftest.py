"""Stores of each kind, threads that go at the same time, holders that nobody can look into."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from persidict import FileDirDict, LocalDict, MutableDictCached, WriteOnceDict
from persidict_dask.coordination import _holders, _silence


def folder(path, **params):
    return FileDirDict(base_dir=str(path), durability="relaxed", **params)


def cached(path):
    names = ("main_dict", "data_cache", "etag_cache")
    return MutableDictCached(**{name: folder(path / name) for name in names})


STORES = {
    "folder": folder,
    "json": lambda path: folder(path, serialization_format="json"),
    "text": lambda path: folder(path, serialization_format="txt", base_class_for_values=str),
    "append-only": lambda path: folder(path, append_only=True),
    "write-once": lambda path: WriteOnceDict(wrapped_dict=folder(path, append_only=True)),
    "part": lambda path: folder(path).get_subdict("part"),
    "cached": cached,
    "memory": lambda path: LocalDict(),
}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


@pytest.fixture(params=["folder", "memory"])
def plain(request, tmp_path):
    """One of the two kinds that differ most, where the others would say the same."""
    return STORES[request.param](tmp_path)


@pytest.fixture
def together():
    """Call something many times at once; return what the calls return."""

    def run(call, times):
        start = threading.Barrier(times)

        def started(index):
            start.wait()
            return call(index)

        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(started, range(times)))

    return run


@pytest.fixture
def far(monkeypatch):
    """All holders are processes of another host, of which nothing is seen but their records."""
    for module in (_silence, _holders):
        monkeypatch.setattr(module, "is_gone", lambda _: False)


@pytest.fixture
def no_heart(monkeypatch):
    """Nobody renews anything, as if all holders were stopped."""
    for module in (_holders, __import__("persidict_dask.coordination._claimed", fromlist=["x"])):
        monkeypatch.setattr(module, "renewed", lambda thing, ttl: lambda: None)
