"""Digests of arrays, frames and Arrow data: content and type count, layout and storage do not."""

from __future__ import annotations

import collections
import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from persidict_dask._digest import digest
from persidict_dask._errors import UnstableKeyError

SQUARE = np.arange(9.0).reshape(3, 3)
RECORDS = np.dtype([("a", "i1"), ("b", "f8")], align=True)


class Tagged(np.ndarray):
    def __reduce__(self):
        return tagged, (self.tag,)

    def __deepcopy__(self, memo):
        return tagged(self.tag)


def tagged(tag):
    made = np.arange(3).view(Tagged)
    made.tag = tag
    return made


def objects(*items):
    made = np.empty(len(items), object)
    made[:] = items
    return made


def frame(**more):
    return pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], **more})


def with_attrs(obj, **attrs):
    obj.attrs.update(attrs)
    return obj


DIFFERENT = {
    "arrays": [
        *[SQUARE, SQUARE.T, SQUARE.ravel(), SQUARE.astype("f4"), SQUARE.astype("i8"), SQUARE + 1],
        *[np.zeros(0), np.zeros((0, 3)), np.zeros((3, 0)), np.array(0.0), 0.0, np.float64(0)],
        *[np.float32(0), np.int64(0), np.array([0.0]), np.array([-0.0])],
        *[np.array([0], "i8"), np.array([0], "u8"), np.array([False]), np.bool_(False), [0]],
        *[np.array([0], "m8[s]"), np.array([0], "m8[D]"), np.array([0], "M8[s]")],
        *[np.array(["a-b", "c"], object), np.array(["a", "b-c"], object), np.array(["a", "b"])],
        *[np.array(["a-b", "c"]), np.array([b"a", b"b"]), objects([1], [2]), objects([1, 2], [])],
        *[np.array([1 + 2j]), np.array([1 + 2j], "c8"), np.array([1], "g"), np.array([2], "g")],
        *[np.array([0], "f2"), np.datetime64("2026-01-01"), np.timedelta64(1, "s")],
        *[np.str_("a"), np.bytes_(b"a"), "a", b"a", np.array("a"), np.void(b"a")],
        *[np.array(["a", "b"], np.dtypes.StringDType()), np.matrix([[1.0]]), np.array([[1.0]])],
        *[tagged(1), tagged(2), np.arange(3)],
    ],
    "structured arrays": [
        np.array([(1, 2.0)], [("a", "i8"), ("b", "f8")]),
        np.array([(1, 2.0)], [("a", "i8"), ("c", "f8")]),
        np.array([(1, 3.0)], [("a", "i8"), ("b", "f8")]),
        np.array([(1, 2.0)], [("b", "i8"), ("a", "f8")]),
        np.array([(1, 2.0)], RECORDS),
        np.array([(1, 2.0)], [("a", "i1"), ("b", "f8")]),
        np.array([(1, [2, 3])], [("a", "i8"), ("b", "f8", 2)]),
        np.array([(1, "x")], [("a", "i8"), ("b", "O")]),
        np.array([(1, "y")], [("a", "i8"), ("b", "O")]),
        np.rec.array([(1, 2.0)], [("a", "i8"), ("b", "f8")]),
        np.array([(1, 2.0)], [("a", "i8"), ("b", "f8")])[0],
    ],
    "masked arrays": [
        np.ma.array([1, 2, 3]),
        np.ma.array([1, 2, 3], mask=[0, 0, 1]),
        np.ma.array([1, 2, 3], mask=[0, 1, 0]),
        np.ma.array([2, 2, 3], mask=[0, 0, 1]),
        np.ma.array([1, 2, 3], mask=[0, 0, 1], fill_value=7),
        np.ma.masked,
        np.array([1, 2, 3]),
    ],
    "things of numpy": [
        *[np.dtype("i8"), np.dtype("i4"), np.dtype(">i8"), np.int64, np.int32, RECORDS],
        *[np.add, np.subtract, np.sum, np.mean, np.linalg.norm],
        *[np.random.default_rng(1), np.random.default_rng(2)],
        *[np.random.RandomState(1), np.random.RandomState(2), np.random.PCG64(1)],
        np.random.Generator(np.random.Philox(1)),
    ],
    "frames": [
        *[frame(), frame().iloc[::-1], frame()[["b", "a"]], frame(c=1), frame(a=[1.0, 2.0, 3.0])],
        *[frame(a=[1, 2, 4]), frame(b=["x", "y", "z"]), frame(b=["x", None, "y"])],
        *[frame(a=pd.array([1, 2, 3], "Int64")), frame(a=pd.array([1, 2, None], "Int64"))],
        *[frame(a=pd.array([1, 2, 0], "Int64")), frame(a=pd.array([1, 2, 3], "Int32"))],
        *[frame().set_index("a"), frame(b=pd.Series(["x", "y", None], dtype=object))],
        *[with_attrs(frame(), unit="m"), with_attrs(frame(), unit="s")],
        *[frame().rename_axis("i"), frame().rename_axis(columns="c"), frame()["a"], frame()[["a"]]],
        *[frame().set_flags(allows_duplicate_labels=False), pd.DataFrame(), frame().iloc[:0]],
        *[frame().astype({"a": "category"}), frame(a=pd.array([1, 2, 3], "int64[pyarrow]"))],
        *[frame().astype({"b": "category"}), frame().astype({"b": "string"})],
        *[frame().astype({"b": pd.ArrowDtype(pa.string())}), frame().set_index(["a", "b"])],
    ],
    "series": [
        *[pd.Series([1, 2]), pd.Series([1, 2], name="a"), pd.Series([1, 2], index=[1, 2])],
        *[
            pd.Series([1.0, np.nan]),
            pd.Series([1.0, None], dtype="Float64"),
            pd.Series([True, False]),
        ],
        *[pd.Series([True, None], dtype="boolean"), pd.Series([True, False], dtype="boolean")],
        *[
            pd.Series(["a", "b"]),
            pd.Series(["ab", ""]),
            pd.Series(["", "ab"]),
            pd.Series(["a", None]),
        ],
        *[pd.Series(["a", ""]), pd.Series(pd.to_datetime(["2026-01-01"]))],
        *[pd.Series(pd.to_datetime(["2026-01-01"])).dt.tz_localize(tz) for tz in ("UTC", "CET")],
        *[pd.Series(pd.to_datetime(["2026-01-01"])).dt.as_unit("s"), pd.Series([pd.Timedelta(1)])],
        *[pd.Series(pd.Categorical(["a", "b"], categories=c)) for c in (["a", "b"], ["b", "a"])],
        pd.Series(pd.Categorical(["a", "b"], ordered=True)),
        pd.Series(pd.Categorical(["a", "b"], categories=["a", "b", "c"])),
        pd.Series(pd.Categorical(["a", None], categories=["a", "b"])),
        *[pd.Series(pd.period_range("2026", periods=2, freq=freq)) for freq in ("D", "M")],
        *[pd.Series(pd.interval_range(0, 2, closed=side)) for side in ("left", "right")],
        *[pd.Series(pd.arrays.SparseArray([0, 1], fill_value=fill)) for fill in (0, 1)],
        *[pd.Series([[1], [2]]), pd.Series([{1}, {2}]), pd.Series([1, "a"], dtype=object)],
    ],
    "indexes": [
        *[pd.Index([0, 1, 2]), pd.RangeIndex(3), pd.RangeIndex(0, 6, 2), pd.Index([0.0, 1.0, 2.0])],
        *[pd.Index(["a", "b"]), pd.Index(["a", "b"], name="n"), pd.Index(["a", "b"], dtype=object)],
        *[pd.MultiIndex.from_tuples(t) for t in ([(1, "a"), (2, "b")], [(1, "b"), (2, "a")])],
        *[pd.MultiIndex.from_tuples([(1, "a")]), pd.MultiIndex.from_product([[1, 2], ["a"]])[:1]],
        *[pd.date_range("2026", periods=2), pd.DatetimeIndex(["2026-01-01", "2026-01-02"])],
        *[pd.date_range("2026", periods=2, tz="UTC"), pd.CategoricalIndex(["a", "b"])],
        *[pd.interval_range(0, 2), pd.period_range("2026", periods=2), pd.TimedeltaIndex([1, 2])],
    ],
    "scalars of pandas": [
        *[pd.NA, pd.NaT, None, np.nan, pd.Timestamp("2026"), pd.Timestamp("2026", tz="UTC")],
        *[pd.Timestamp("2026").as_unit("s"), pd.Timedelta(1), pd.Period("2026"), pd.Interval(0, 1)],
        *[pd.offsets.Day(1), pd.offsets.Day(2), pd.CategoricalDtype(["a"]), pd.Int64Dtype()],
    ],
    "Arrow": [
        *[pa.array([1, 2, 3]), pa.array([1, 2, 4]), pa.array([1, 2, None]), pa.array([1, 2, 0])],
        *[pa.array([1, 2, 3], "int32"), pa.array([1.0, 2.0]), pa.array([True, False])],
        *[
            pa.array([True, None]),
            pa.array(["a", "bc"]),
            pa.array(["ab", "c"]),
            pa.array(["a", None]),
        ],
        *[pa.array(["a", ""]), pa.array(["a", "bc"], "large_string"), pa.array([b"a", b"bc"])],
        *[pa.array(["a", "bc"]).dictionary_encode(), pa.array(["a", "bc"], pa.string_view())],
        *[
            pa.array([[1], [2, 3]]),
            pa.array([[1, 2], [3]]),
            pa.array([[1], None]),
            pa.array([[1], []]),
        ],
        *[pa.array([{"a": 1}]), pa.array([{"b": 1}]), pa.array([{"a": None}]), pa.array([None])],
        *[pa.nulls(1, pa.struct([("a", "int64")])), pa.nulls(2), pa.array([1], pa.timestamp("s"))],
        *[
            pa.array([1], pa.timestamp("ms")),
            pa.array([1], pa.date32()),
            pa.array([1], pa.decimal128(5)),
        ],
        *[pa.array([1, 2], "float16"), pa.array([{1: 2}], pa.map_("int64", "int64")), pa.scalar(1)],
        *[pa.table({"a": [1]}), pa.table({"b": [1]}), pa.table({"a": [1], "b": [1]})],
        *[pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}), pa.int64(), pa.int32()],
        *[pa.table({"a": [1]}).to_batches()[0], pa.schema({"a": "int64"}), pa.field("a", "int64")],
    ],
    "sparse matrices": [
        *[kind(np.eye(3)) for kind in (sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix)],
        *[
            sp.csr_array(np.eye(4)),
            sp.csr_array(2 * np.eye(3)),
            sp.csr_array(np.eye(3, dtype="f4")),
        ],
        *[sp.lil_array(np.eye(3)), sp.dok_array(np.eye(3)), sp.dia_array(np.eye(3))],
        *[sp.csr_array(([1.0, 0.0], ([0, 1], [0, 1])), shape=(3, 3)), sp.csr_array((3, 3))],
    ],
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_data_that_differs_has_different_digests(values):
    """Type, shape, order, masks, names, zones, categories and attributes all count."""
    found = collections.defaultdict(list)
    for value in values:
        found[digest(value)].append(value)
    assert [same for same in found.values() if len(same) > 1] == []


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_a_digest_survives_copy_and_pickle(values):
    """Data that was sent to a worker has the digest that it had before."""
    for value in values:
        assert digest(pickle.loads(pickle.dumps(value))) == digest(value), repr(value)
        if value is not np.ma.masked:
            assert digest(copy.deepcopy(value)) == digest(value), repr(value)


def one_by_one(table):
    made = pd.DataFrame(index=table.index)
    for column in table.columns:
        made[column] = table[column]
    return made


def padded(noise):
    made = np.full(2 * RECORDS.itemsize, noise, "u1").view(RECORDS)
    made["a"], made["b"] = [1, 2], [3.0, 4.0]
    return made


def extended(noise):
    made = np.full(32, noise, "u1").view("g")
    made[:] = [1, 2]
    return made


def masked(hidden):
    return np.ma.array([1, 2, hidden], mask=[0, 0, 1])


def nullable(hidden):
    return pd.arrays.IntegerArray(np.array([1, hidden]), np.array([False, True]))


def arrow_with(hidden):
    valid = pa.py_buffer(b"\x01")
    return pa.Array.from_buffers(
        pa.int64(), 2, [valid, pa.py_buffer(np.array([1, hidden]).tobytes())]
    )


def on_disk(tmp_path):
    np.save(tmp_path / "a.npy", SQUARE)
    return np.load(tmp_path / "a.npy", mmap_mode="r")


WIDE = np.arange(300_000.0).reshape(300, 1000)
TEXTS = ["a", None, "bcd", "", "é"]
SORTED = sp.csr_array(np.arange(9.0).reshape(3, 3))
UNSORTED = sp.csr_array(([2.0, 1.0], [2, 1], [0, 2, 2, 2]), shape=(3, 3))

EQUAL = {
    "Fortran order": (SQUARE, np.asfortranarray(SQUARE)),
    "strides": (np.arange(10)[::2], np.arange(10)[::2].copy()),
    "negative strides": (WIDE[::-1, ::-1], WIDE[::-1, ::-1].copy()),
    "a large transpose": (WIDE.T, np.ascontiguousarray(WIDE.T)),
    "broadcasting": (np.broadcast_to(1.0, (3, 4)), np.ones((3, 4))),
    "the order of objects": (
        np.array([["a", "b"], ["c", "d"]], object).T,
        np.array([["a", "c"], ["b", "d"]], object),
    ),
    "strided text": (np.array(["a", "b", "c"])[::2], np.array(["a", "c"])),
    "padding of records": (padded(0), padded(255)),
    "padding of long doubles": (extended(0), extended(255)),
    "padding of long complex": (extended(0).view("G"), extended(255).view("G")),
    "values under a mask": (masked(3), masked(99)),
    "a mask of nothing": (np.ma.array([1, 2]), np.ma.array([1, 2], mask=[0, 0])),
    "blocks of a frame": (frame(c=[4, 5, 6]), one_by_one(frame(c=[4, 5, 6]))),
    "a frame that was consolidated": (
        pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}),
        pd.DataFrame(np.array([[1.0, 3.0], [2.0, 4.0]]), columns=["a", "b"]),
    ),
    "a slice of a frame": (frame().iloc[1:], frame().iloc[1:].copy()),
    "values under a null": (nullable(7), nullable(8)),
    "storage of strings": (
        pd.Series(TEXTS, dtype=pd.StringDtype("python", na_value=np.nan)),
        pd.Series(TEXTS, dtype=pd.StringDtype("pyarrow", na_value=np.nan)),
    ),
    "storage of nullable strings": (
        pd.Series(TEXTS, dtype="string[python]"),
        pd.Series(TEXTS, dtype="string[pyarrow]"),
    ),
    "chunks of Arrow": (pa.chunked_array([[1, 2], [3]]), pa.chunked_array([[1], [2, 3]])),
    "a slice of Arrow": (pa.array([0, 1, None, 3])[1:], pa.array([1, None, 3])),
    "a slice of Arrow text": (pa.array([*TEXTS, "z"])[1:4], pa.array(TEXTS[1:4])),
    "a slice of large Arrow text": (
        pa.array([b"a", b"bc", b"d"], "large_binary")[1:],
        pa.array([b"bc", b"d"], "large_binary"),
    ),
    "a slice of Arrow booleans": (pa.array([True, None, False])[1:], pa.array([None, False])),
    "a slice of Arrow lists": (pa.array([[1], [2, 3], None])[1:], pa.array([[2, 3], None])),
    "a slice of Arrow structs": (pa.array([{"a": 1}, {"a": 2}])[1:], pa.array([{"a": 2}])),
    "values under an Arrow null": (arrow_with(5), arrow_with(6)),
    "an Arrow dictionary": (
        pa.DictionaryArray.from_arrays([0, 1], ["a", "b"]),
        pa.DictionaryArray.from_arrays([1, 0], ["b", "a"]),
    ),
    "chunks of a table": (
        pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})]),
        pa.table({"a": [1, 2]}),
    ),
    "a slice of an Arrow column": (
        pd.Series(TEXTS, dtype="string[pyarrow]")[1:4].reset_index(drop=True),
        pd.Series(TEXTS[1:4], dtype="string[pyarrow]"),
    ),
    "the order of entries of a sparse matrix": (
        UNSORTED,
        sp.csr_array(([1.0, 2.0], [1, 2], [0, 2, 2, 2]), shape=(3, 3)),
    ),
    "duplicates of a sparse matrix": (
        sp.coo_array(([1.0, 1.0], ([0, 0], [0, 0])), shape=(2, 2)),
        sp.coo_array(([2.0], ([0], [0])), shape=(2, 2)),
    ),
    "the width of indices of a sparse matrix": (
        sp.csr_array((SORTED.data, SORTED.indices.astype("i4"), SORTED.indptr.astype("i4"))),
        sp.csr_array((SORTED.data, SORTED.indices.astype("i8"), SORTED.indptr.astype("i8"))),
    ),
}


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL)
def test_layout_and_storage_do_not_count(pair):
    """Equal data is equal wherever and however it lies."""
    assert digest(pair[0]) == digest(pair[1])


def test_a_memory_map_is_its_content(tmp_path):
    """Workers often see arrays through the disk."""
    assert digest(on_disk(tmp_path)) == digest(SQUARE)


def test_a_digest_changes_nothing():
    """Sorting and masking happen on copies."""
    matrix, array = UNSORTED.copy(), masked(3)
    digest(matrix, array)
    assert matrix.indices.tolist() == [2, 1]
    assert array.data.tolist() == [1, 2, 3]


def test_a_cell_without_content_is_refused_with_the_path():
    """The path leads to the column and the row."""
    table = pd.DataFrame({"a": [1, 2]})
    table["b"] = objects(1, (n for n in []))
    with pytest.raises(UnstableKeyError, match=r"^args\[0\]\['b'\]\[1\]: a generator"):
        digest(table)
    with pytest.raises(UnstableKeyError, match=r"^args\[0\]\[1\]: a generator"):
        digest(objects(1, (n for n in [])))


def test_an_estimator_is_digested_by_its_parameters_and_state():
    """Models of scikit-learn are values like others."""
    from sklearn.linear_model import LinearRegression

    model, other = LinearRegression(), LinearRegression(positive=True)
    assert digest(model) == digest(LinearRegression()) != digest(other)
    before = digest(model)
    model.fit(SQUARE, [1, 2, 4])
    assert digest(model) == digest(LinearRegression().fit(SQUARE, [1, 2, 4])) != before


@settings(max_examples=150, deadline=None)
@given(
    hnp.arrays(
        st.one_of(hnp.scalar_dtypes(), hnp.array_dtypes(max_size=3)),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
    )
)
def test_any_array_is_its_content_and_not_its_layout(array):
    """Copies in other orders, slices of larger arrays and pickles agree; types and shapes count."""
    expected = digest(array)
    assert digest(np.asfortranarray(array)) == expected or array.ndim == 0
    copied = pickle.loads(pickle.dumps(array, 5))
    is_kept = copied.dtype.str == array.dtype.str  # numpy makes moments native in pickles
    assert (digest(copied) == expected) == is_kept
    if array.ndim:
        doubled = np.repeat(array, 2, axis=0)[::2]
        assert digest(doubled) == expected
        assert digest(array[np.newaxis]) != expected
        assert (digest(array[::-1]) == expected) == (array.tobytes() == array[::-1].tobytes())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text()), max_size=20), st.integers(0, 5))
def test_strings_are_one_column_whoever_holds_them(texts, start):
    """Arrow, Python objects and slices of either."""
    arrow = pd.Series([*["-"] * start, *texts], dtype="string[pyarrow]")
    plain = pd.Series(texts, dtype="string[python]")
    assert digest(arrow[start:].reset_index(drop=True)) == digest(plain)


CHILD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules[sys.argv[1]] = module
spec.loader.exec_module(module)
print(module.all_digests())
"""


def all_digests():
    """Digests of everything above, as each process sees it."""
    tables = [value for values in DIFFERENT.values() for value in values]
    pairs = [value for pair in EQUAL.values() for value in pair]
    return [(type(value).__name__, digest(value)) for value in (*tables, *pairs)]


def test_digests_are_the_same_in_every_process():
    """Under another hash seed, and in a session that never saw the data before."""
    child = subprocess.run(
        [sys.executable, "-c", CHILD, __name__, __file__],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        text=True,
        check=True,
    )
    pairs = zip(eval(child.stdout), all_digests(), strict=True)
    assert [other for other, mine in pairs if other != mine] == []
