"""Values that have to work, on folders and in memory."""

import collections
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import uuid

import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest
import scipy.sparse

from persidict import FileDirDict, LocalDict
from tests.ids import stable


class Colour(enum.Enum):
    """An enumeration of a module."""

    RED = 1


STANDARD = [
    0,
    -(10**50),
    1.5,
    float("-inf"),
    1 + 2j,
    True,
    None,
    "日本",
    b"\x00\xff",
    bytearray(b"x"),
    dt.datetime(2020, 2, 29, 1, 2, 3, 4, tzinfo=dt.UTC),
    dt.date(2020, 2, 29),
    dt.timedelta(days=-1, microseconds=1),
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    uuid.UUID(int=7),
    pathlib.PurePosixPath("/a/b"),
    re.compile("a+", re.IGNORECASE),
    Colour.RED,
    ipaddress.ip_address("10.0.0.1"),
    ipaddress.ip_network("10.0.0.0/8"),
    frozenset({1, "a"}),
    range(1, 10, 3),
    slice(1, None),
    collections.OrderedDict(a=1),
    collections.deque([1, 2], maxlen=3),
    collections.Counter("aab"),
    [1, (2, {3: {4}}), None],
    ...,
]


@pytest.mark.parametrize("value", STANDARD, ids=stable)
def test_values_of_the_standard_library(d, value):
    memory = LocalDict()
    d["a"] = memory["a"] = value
    for found in (d["a"], memory["a"]):
        assert found == value
        assert type(found) is type(value)


SCIENCE = {
    "array": np.arange(6).reshape(2, 3),
    "masked": np.ma.masked_array([1, 2], mask=[True, False]),
    "record": np.rec.array([(1, "a")], names="x,y"),
    "generator-state": np.random.default_rng(1).bit_generator.state,
    "sparse": scipy.sparse.csr_matrix(np.eye(3)),
    "frame": pd.DataFrame({"x": [1.0, None], "s": ["a", None], "t": pd.to_datetime([0, 1])}),
    "series": pd.Series([1, 2], index=["a", "b"], name="n"),
    "categories": pd.Series(["a", "b", "a"], dtype="category"),
    "multi-index": pd.DataFrame({"x": [1]}, index=pd.MultiIndex.from_tuples([(1, "a")])),
}


@pytest.mark.parametrize("value", SCIENCE.values(), ids=SCIENCE)
def test_values_of_the_scientific_libraries(d, value):
    memory = LocalDict()
    d["a"] = memory["a"] = value
    for found in (d["a"], memory["a"]):
        assert type(found) is type(value)
        assert (repr(found), str(found)) == (repr(value), str(value))


def test_tables_of_arrow(d):
    table = pa.table({"x": [1, 2, None], "s": ["a", None, "c"]})
    memory = LocalDict()
    d["a"] = memory["a"] = table
    assert d["a"].equals(table)
    assert memory["a"].equals(table)


def test_pictures(d):
    picture = PIL.Image.new("RGB", (3, 2), (1, 2, 3))
    d["a"] = picture
    assert d["a"].tobytes() == picture.tobytes()
    assert d["a"].size == (3, 2)


PANDAS = {
    "frame": pd.DataFrame({"x": [1, 2], "y": ["a", None], "z": [1.5, None]}, index=[5, 6]),
    "series": pd.Series([1.5, 2.5], name="s"),
    "texts": pd.Series(["a", None, "c"]),
    "index": pd.Index([3, 1, 2]),
    "range-index": pd.RangeIndex(0, 10, 2),
}


@pytest.mark.parametrize("name", PANDAS)
@pytest.mark.parametrize("serialization_format", ["pkl", "json"])
def test_frames_series_and_indexes_in_both_formats(tmp_path, serialization_format, name):
    value = PANDAS[name]
    d = FileDirDict(base_dir=tmp_path, serialization_format=serialization_format)
    d["a"] = value
    assert_same(d["a"], value)


def assert_same(found, value):
    """Equal content; json gives texts back as objects and ranges as lists of numbers."""
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(found, value, check_dtype=False, check_column_type=False)
    elif isinstance(value, pd.Series):
        pd.testing.assert_series_equal(found, value, check_dtype=False, check_index_type=False)
    else:
        pd.testing.assert_index_equal(found, value, exact="equiv")


def test_memory_keeps_instances_of_classes_of_functions():
    class Inner:
        x = 1

    d = LocalDict()
    d["a"] = Inner()
    assert type(d["a"]) is Inner


def test_memory_keeps_objects_whatever_the_format_is():
    for name in ("json", "pkl"):
        d = LocalDict(serialization_format=name)
        d["a"] = {1: (2, {3})}
        assert d["a"] == {1: (2, {3})}
