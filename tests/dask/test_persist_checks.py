"""`ttl`, `verify`, and calls that Dask makes only to see a type."""

from __future__ import annotations

import math
import os
import pickle
import time
from dataclasses import dataclass

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from persidict import AppendOnlyDictCached, FileDirDict, LocalDict, MutationPolicyError
from persidict_dask import ResultMismatchError, open_store, persist


class Source:
    """Gives one value after the other; no part of a key."""

    def __init__(self, *values):
        self.values = list(values)
        self.given = 0

    def __persist_token__(self):
        return "source"

    def next(self):
        self.given += 1
        return self.values.pop(0)


def drawing(store, source, **options):
    @persist(store, **options)
    def drawn(x):
        return source.next()

    return drawn


STORES = {
    "folder": lambda path: FileDirDict(base_dir=path),
    "memory": lambda path: LocalDict(),
    "write once": lambda path: open_store(path, write_once=True),
    "cached": lambda path: AppendOnlyDictCached(
        main_dict=FileDirDict(base_dir=path, append_only=True),
        data_cache=LocalDict(append_only=True),
    ),
}


@pytest.fixture(params=STORES)
def any_store(request, tmp_path):
    return STORES[request.param](str(tmp_path / "s"))


@pytest.fixture
def clock(monkeypatch):
    """How many seconds the clock of this process is ahead."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr("persidict_dask._results.time.time", lambda: real() + ahead[0])
    return ahead


# -- ttl ------------------------------------------------------------------------------------------


def test_old_results_count_as_missing(any_store, clock):
    drawn = drawing(any_store, source := Source(1, 2, 3), ttl=60)
    assert [drawn(0), drawn(0)] == [1, 1]
    assert drawn.is_cached(0)
    clock[0] = 61
    assert not drawn.is_cached(0)
    assert "too old" in str(drawn.explain(0))
    assert drawn(0) == 2
    assert source.given == 2
    assert drawn.provenance(0)["seconds"] >= 0


def test_others_see_the_new_result(any_store, clock):
    old = drawing(any_store, Source(1, 2), ttl=60)
    old(0)
    clock[0] = 61
    old(0)
    clock[0] = 0
    assert drawing(any_store, Source(), ttl=60)(0) == 2
    assert drawing(any_store, Source())(0) == 2


def test_a_cache_elsewhere_holds_an_old_result_and_is_not_asked(tmp_path, clock):
    here, there = (
        drawing(STORES["cached"](str(tmp_path)), source, ttl=60)
        for source in (Source(1, 2), Source())
    )
    assert [here(0), there(0)] == [1, 1]
    clock[0] = 61
    assert here(0) == 2
    clock[0] = 0
    assert there(0) == 2


def test_a_result_of_somebody_else_who_was_faster_is_kept(any_store, clock):
    """He has replaced the old one just before we would have removed it."""
    drawn = drawing(any_store, Source(1), ttl=60)
    drawn(0)
    is_old = type(drawn._results)._is_old
    clock[0] = 61

    def then_replaced(results, key):
        was_old = is_old(results, key)
        results._is_old = lambda key: False
        results.replace(key, 9)
        return was_old

    drawn._results._is_old = then_replaced.__get__(drawn._results)
    assert drawn._results.load(drawn.key_of(0)) is not None
    assert drawn._results.load(drawn.key_of(0)) == 9


@pytest.mark.parametrize("ttl", [0, -1, math.nan])
def test_a_ttl_is_positive(store, ttl):
    with pytest.raises(ValueError, match="ttl"):
        persist(store, ttl=ttl)


# -- verify ---------------------------------------------------------------------------------------


@dataclass
class Point:
    x: int
    y: list


@pytest.mark.parametrize(
    ("stored", "computed", "told"),
    [
        (1, 2, "result: stored is int 1, computed is int 2"),
        (1, 1.0, "result: stored is int 1, computed is float 1.0"),
        (0.0, -0.0, "result: stored is float 0.0, computed is float -0.0"),
        ([1, [2, 3]], [1, [2, 4]], "result[1][1]: stored is int 3, computed is int 4"),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "result['b']: stored is int 2, computed is int 3"),
        ({"a": 1}, {"b": 1}, "result: stored is dict {'a': 1}, computed is dict {'b': 1}"),
        (Point(1, [2]), Point(1, [3]), "result.y[0]: stored is int 2, computed is int 3"),
        (np.zeros(3), np.ones(3), "result: stored is ndarray shape (3,)"),
    ],
)
def test_a_result_that_differs_is_told(store, stored, computed, told):
    drawn = drawing(store, Source(stored, computed), verify=1.0)
    drawn(0)
    with pytest.raises(ResultMismatchError) as caught:
        drawn(0)
    assert told in str(caught.value)
    assert caught.value.key == drawn.key_of(0)
    assert isinstance(caught.value, MutationPolicyError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.key) == (str(caught.value), caught.value.key)


@pytest.mark.parametrize(
    "value", [math.nan, np.array([math.nan]), [1, {2}], pd.DataFrame({"a": [1]}), {"b": 1, "a": 2}]
)
def test_equal_content_is_no_difference(store, value):
    copy = pickle.loads(pickle.dumps(value))
    drawn = drawing(store, source := Source(value, copy), verify=1.0)
    drawn(0)
    drawn(0)
    assert source.given == 2


def test_values_without_stable_content_are_compared_as_they_compare(store):
    drawn = drawing(store, Source(Odd(1), Odd(1), Odd(2)), verify=1.0)
    drawn(0)
    drawn(0)
    with pytest.raises(ResultMismatchError):
        drawn(0)


class Odd:
    def __init__(self, n):
        self.n = n
        self.function = os.getpid

    def __persist_token__(self):
        import threading

        return threading.Lock()

    def __eq__(self, other):
        return self.n == other.n

    __hash__ = None


def test_the_probability(store, monkeypatch):
    drawn = drawing(store, source := Source(*[1] * 100), verify=0.25)
    drawn(0)
    draws = iter([0.1, 0.24, 0.26, 0.9])
    monkeypatch.setattr("persidict_dask._persisted.random.random", lambda: next(draws))
    for _ in range(4):
        drawn(0)
    assert source.given == 3
    monkeypatch.setattr("persidict_dask._persisted.random.random", lambda: 0.0)
    silent = drawing(store, Source(), verify=0.0)
    assert silent(0) == 1


@pytest.mark.parametrize("verify", [-0.1, 1.1, math.nan])
def test_verify_is_a_probability(store, verify):
    with pytest.raises(ValueError, match="verify"):
        persist(store, verify=verify)


# -- meta inference -------------------------------------------------------------------------------


def test_calls_that_look_for_a_type_store_nothing(store):
    @persist(store)
    def doubled(block):
        return block * 2

    x = da.arange(10, chunks=5)
    frame = dd.from_pandas(pd.DataFrame({"a": range(10)}), npartitions=2)
    collections = [
        x.map_blocks(doubled),
        x.map_blocks(lambda block: doubled(block)),
        da.apply_along_axis(doubled, 0, x),
        da.blockwise(doubled, "i", x, "i"),
        da.map_overlap(doubled, x, depth=0),
        da.apply_gufunc(doubled, "()->()", x),
        frame.map_partitions(doubled),
        frame.a.map_partitions(doubled),
    ]
    grouped = frame.assign(b=frame.a % 2).groupby("b")
    for lazy in (
        grouped.a.apply(doubled, meta=("a", int)),
        grouped.a.apply(doubled),
        grouped.a.transform(doubled),
        frame.a.reduction(doubled, aggregate=doubled),
    ):
        assert lazy._meta is not None
    assert len(store) == 0
    assert doubled.stats().misses == 0
    expected = [np.arange(10) * 2] * 6 + [pd.DataFrame({"a": range(0, 20, 2)}), range(0, 20, 2)]
    with dask.config.set(scheduler="sync"):
        for collection, wanted in zip(collections, expected, strict=True):
            assert np.array_equal(collection.compute(), wanted) or np.array_equal(
                collection.compute(), np.asarray(wanted)
            )
    assert len(store) > 0
