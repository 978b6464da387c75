"""Digests of polars data: equal for equal content, whatever its chunks."""

from __future__ import annotations

import datetime as dt
import itertools
import pickle

import polars as pl
import pytest

from persidict_dask import UnstableKeyError, digest

DIFFERENT = [
    pl.Series([1, 2]),
    pl.Series([1, 2], dtype=pl.Int32),
    pl.Series([1.0, 2.0]),
    pl.Series([1, None]),
    pl.Series([1.0, None]),
    pl.Series([1.0, float("nan")]),
    pl.Series([0.0]),
    pl.Series([-0.0]),
    pl.Series("a", [1, 2]),
    pl.Series(["1", "2"]),
    pl.Series(["1", "2"], dtype=pl.Categorical),
    pl.Series(["1", "2"], dtype=pl.Enum(["1", "2"])),
    pl.Series(["1", "2"], dtype=pl.Enum(["2", "1"])),
    pl.Series(["12", ""]),
    pl.Series([b"1", b"2"]),
    pl.Series([True, False]),
    pl.Series([[1], [2, 3]]),
    pl.Series([[1, 2], [3]]),
    pl.Series([{"a": 1}]),
    pl.Series([{"a": 2}]),
    pl.Series([dt.date(2020, 1, 1)]),
    pl.Series([dt.datetime(2020, 1, 1)]),
    pl.Series([dt.datetime(2020, 1, 1)]).dt.replace_time_zone("UTC"),
    pl.Series([{1}], dtype=pl.Object),
    pl.Series([{2}], dtype=pl.Object),
    pl.Series([], dtype=pl.Int64),
    pl.DataFrame({"a": [1, 2]}),
    pl.DataFrame({"b": [1, 2]}),
    pl.DataFrame({"a": [1, 2], "b": [3, 4]}),
    pl.DataFrame({"b": [3, 4], "a": [1, 2]}),
    pl.DataFrame({"a": []}),
    pl.DataFrame(),
]


def test_what_differs_has_different_digests():
    digests = [digest(value) for value in DIFFERENT]
    same = [
        (one, other)
        for (one, first), (other, second) in itertools.combinations(enumerate(digests), 2)
        if first == second
    ]
    assert same == []


PICKLED = [v for v in DIFFERENT if "Object" not in str(getattr(v, "dtype", ""))]


@pytest.mark.parametrize("value", PICKLED)
def test_copies_are_equal(value):
    assert digest(pickle.loads(pickle.dumps(value))) == digest(value.clone()) == digest(value)


def test_chunks_and_slices_do_not_count():
    whole = pl.DataFrame({"a": [1, None, 3, 4], "b": ["w", "x", None, "z"]})
    parts = pl.concat([whole[:1], whole[1:3], whole[3:]], rechunk=False)
    assert parts.n_chunks() == 3
    assert digest(parts) == digest(whole) == digest(pl.concat([whole, whole])[4:])


def test_numbers_of_categories_do_not_count():
    one = pl.Series(["x", "y"], dtype=pl.Categorical)
    other = pl.Series(["y", "x", "y"], dtype=pl.Categorical)[1:]
    assert digest(one) == digest(other)


def test_a_flag_does_not_count():
    assert digest(pl.Series([1, 2]).set_sorted()) == digest(pl.Series([1, 2]))


def test_lazy_frames_are_refused():
    with pytest.raises(UnstableKeyError, match="collect") as caught:
        digest([pl.DataFrame({"a": [1]}).lazy()])
    assert caught.value.path == "args[0][0]"
