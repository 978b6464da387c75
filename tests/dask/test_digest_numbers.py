"""Digests of numbers in memory: all of a dtype counts, one nan for all, masks at every depth."""

from __future__ import annotations

import array
import collections
import math
import pickle
import struct

import ml_dtypes
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.api.extensions import ExtensionArray, ExtensionDtype

from persidict_dask import digest
from persidict_dask._digest.frame import LEAF


def all_different(values):
    found = collections.defaultdict(list)
    for value in values:
        found[digest(value)].append(value)
    assert [same for same in found.values() if len(same) > 1] == []


# -- dtypes -------------------------------------------------------------------------------------

DTYPES = [
    *["<f8", ">f8", "<f4", ">f4", "<i8", ">i8", "<u8", "<c16", ">c16", "?", "S3", "<U3", ">U3"],
    *["<M8[s]", ">M8[s]", "<M8[ms]", "<M8[25s]", "<M8", "<m8[s]", "V3", "O", "g", ">g", "f2"],
    np.dtype("f8", metadata={"unit": "m"}),
    np.dtype("f8", metadata={"unit": "s"}),
    np.dtype([("a", "i1"), ("b", "f8")]),
    np.dtype([("a", "i1"), ("b", ">f8")]),
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([(("title", "a"), "i1"), ("b", "f8")]),
    np.dtype([(("other", "a"), "i1"), ("b", "f8")]),
    np.dtype([("a", "i1"), ("b", "f8")], metadata={"k": 1}),
    np.dtype([("a", "i1"), ("b", np.dtype("f8", metadata={"k": 1}))]),
    np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 2]}),
    np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [8, 0]}),
    np.dtype({"names": ["a"], "formats": ["i1"], "itemsize": 4}),
    np.dtype((np.record, [("a", "i1"), ("b", "f8")])),
    np.dtype([("a", "f8", 2)]),
    np.dtype([("a", "f8", (2, 1))]),
    np.dtypes.StringDType(),
    np.dtypes.StringDType(coerce=False),
    np.dtypes.StringDType(na_object=math.nan),
    np.dtypes.StringDType(na_object=None),
    *[ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e3m4],
    *[ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.int2, "V1", "V2", "i1"],
]


@pytest.mark.parametrize(
    "make", [np.dtype, lambda dtype: np.zeros(2, dtype)], ids=["dtype", "array"]
)
def test_k11_all_of_a_dtype_counts(make):
    """Order of bytes, titles, metadata, offsets, alignment, units, parameters, who has made it."""
    values = [make(np.dtype(dtype)) for dtype in DTYPES]
    all_different(values)
    copies = [pickle.loads(pickle.dumps(value, 5)) for value in values]
    kept = [(one, two) for one, two in zip(values, copies, strict=True) if is_same(one, two)]
    assert [one for one, two in kept if digest(one) != digest(two)] == []
    assert len(kept) >= len(values) - 2


def is_same(one, two):
    """Not all is kept: numpy makes extended doubles and moments native when it pickles them."""
    dtypes = getattr(one, "dtype", one), getattr(two, "dtype", two)
    return dtypes[0].str == dtypes[1].str


def test_k11_the_order_of_bytes_counts():
    """A function can look at it, and `pickle` keeps it from protocol 5 on, which Dask uses."""
    little, big = np.array([1, 2], "<i8"), np.array([1, 2], ">i8")
    assert digest(little) != digest(big)
    assert digest(little) == digest(np.array([1, 2], "=i8")) or np.dtype("i8").str[0] == ">"
    assert digest(pickle.loads(pickle.dumps(big, 5))) == digest(big)


def test_k11_dtypes_of_pandas_count_with_their_parameters():
    """Zones, units, categories, storage of Arrow, what is left out of a sparse array."""
    inner = [pa.field("x", "int64"), pa.field("x", "int64", metadata={"k": "v"})]
    dtypes = [
        *[pd.CategoricalDtype(c, o) for c in (["a", "b"], ["b", "a"], None) for o in (False, True)],
        *[pd.CategoricalDtype(pd.Index(["a", "b"], dtype=object)), pd.CategoricalDtype([1, 2])],
        *[pd.StringDtype(), pd.StringDtype(na_value=math.nan), pd.Int64Dtype(), pd.Int32Dtype()],
        *[pd.DatetimeTZDtype(unit, zone) for unit in ("s", "ns") for zone in ("UTC", "CET")],
        *[pd.PeriodDtype("D"), pd.PeriodDtype("M"), pd.IntervalDtype(), pd.IntervalDtype("f8")],
        *[pd.IntervalDtype("i8", side) for side in ("left", "right")],
        *[pd.SparseDtype("f8"), pd.SparseDtype("f8", 0.0), pd.SparseDtype("i8")],
        *[pd.ArrowDtype(pa.string()), *(pd.ArrowDtype(pa.list_(field)) for field in inner)],
        *[pd.array([1.0], dtype).dtype for dtype in ("f4", "f8")],
    ]
    all_different(dtypes)
    before = [digest(dtype) for dtype in dtypes]
    assert [repr(dtype) and hash(dtype) and digest(dtype) for dtype in dtypes] == before
    assert [digest(pickle.loads(pickle.dumps(dtype))) for dtype in dtypes] == before


class MoneyDtype(ExtensionDtype):
    name = "money"
    type = float
    _metadata = ("currency",)

    def __init__(self, currency):
        self.currency = currency

    @classmethod
    def construct_array_type(cls):
        return Money


class Money(ExtensionArray):
    def __init__(self, cents, currency):
        self.cents, self._dtype = np.asarray(cents), MoneyDtype(currency)

    @property
    def dtype(self):
        return self._dtype

    def __len__(self):
        return len(self.cents)

    def __getitem__(self, item):
        found = self.cents[item]
        return Money(found, self._dtype.currency) if np.ndim(found) else found

    def isna(self):
        return np.zeros(len(self), bool)

    def copy(self):
        return Money(self.cents.copy(), self._dtype.currency)


def test_x6_extension_arrays_of_others_count_by_content_and_dtype():
    """Also in a Series, and after the dtype was used."""
    series = [pd.Series(Money([1, 2], "EUR")), pd.Series(Money([1, 2], "USD"))]
    all_different([*series, pd.Series(Money([1, 3], "EUR")), Money([1, 2], "EUR")])
    before = digest(series[0])
    assert repr(series[0].dtype)
    assert hash(series[0].dtype)
    assert digest(pickle.loads(pickle.dumps(series[0]))) == digest(series[0]) == before
    assert digest(MoneyDtype("EUR")) == digest(MoneyDtype("EUR")) != digest(MoneyDtype("USD"))


class Tagged(pa.ExtensionType):
    def __init__(self, tag):
        self.tag = tag
        super().__init__(pa.float64(), "test.tagged")

    def __arrow_ext_serialize__(self):
        return str(self.tag).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls(serialized.decode())


def test_k11_types_of_arrow_count_with_all_inside():
    """Parameters of extensions, metadata and nullability of inner fields."""
    plain, named = pa.field("x", "int64"), pa.field("x", "int64", metadata={"k": "v"})
    types = [
        *[Tagged("a"), Tagged("b"), pa.float64(), pa.uuid(), pa.binary(16), pa.bool8(), pa.int8()],
        *[pa.list_(plain), pa.list_(named), pa.list_(pa.field("x", "int64", nullable=False))],
        *[
            pa.struct([plain]),
            pa.struct([named]),
            pa.list_(pa.struct([named])),
            pa.map_("i8", "i8"),
        ],
        *[pa.dictionary("int8", "string"), pa.dictionary("int8", "string", ordered=True)],
        *[pa.dictionary("int16", "string"), pa.fixed_shape_tensor(pa.int64(), [2])],
    ]
    all_different(types)
    all_different([pa.nulls(2, kind) for kind in types])
    storage = pa.array([1.0, math.nan])
    tagged = [pa.ExtensionArray.from_storage(Tagged(tag), storage) for tag in "ab"]
    all_different([storage, *tagged])
    assert digest(pickle.loads(pickle.dumps(tagged[0]))) == digest(tagged[0])


def test_subclasses_of_scalars_and_arrays_are_not_what_they_derive_from():
    """`class Metre(np.float64)` is another type than `np.float64`."""
    metre = type("Metre", (np.float64,), {})
    all_different([metre(1.0), np.float64(1.0), 1.0])


# -- one nan ------------------------------------------------------------------------------------

NOISE = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_0001))[0]
NARROW = [getattr(ml_dtypes, name) for name in dir(ml_dtypes) if name.startswith("float8_e")]
FLOATS = ["f2", "f4", "f8", "g", ">f2", ">f4", ">f8", ">g", ml_dtypes.bfloat16, *NARROW]


def with_noise(dtype, size=4):
    """Two arrays that differ in the sign of nan and, where the type has room, in its payload."""
    clean = np.zeros(size, dtype)
    clean[size // 2] = math.nan
    noisy = clean.copy()
    noisy[size // 2] = np.copysign(np.float64(NOISE), -1)
    if np.dtype(dtype).str in ("<f8", "<f4", "<f2"):
        noisy.view(f"u{noisy.itemsize}")[size // 2] |= 1
    return clean, noisy


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: str(np.dtype(dtype)))
def test_n8_one_nan_in_arrays(dtype):
    """Whatever its sign and payload; in slices, scalars, records, masked arrays and objects too."""
    clean, noisy = with_noise(dtype)
    assert digest(clean) == digest(noisy) != digest(np.zeros_like(clean))
    assert digest(clean[::2]) == digest(noisy[::2])
    assert digest(clean[2]) == digest(noisy[2])
    records = [np.zeros(4, [("a", "i4"), ("b", dtype)]) for _ in range(2)]
    records[0]["b"], records[1]["b"] = clean, noisy
    assert digest(records[0]) == digest(records[1])
    assert digest(clean.astype(object)) == digest(noisy.astype(object))
    assert digest(np.ma.array(clean)) == digest(np.ma.array(noisy))


def test_n8_noise_is_noise():
    """The arrays above do differ where the type lets them."""
    assert all(np.array_equal(*with_noise(dtype), equal_nan=True) for dtype in ("f2", "f8", "g"))
    for dtype in ("f2", "f4", "f8", ">f8", ml_dtypes.bfloat16):
        clean, noisy = with_noise(dtype)
        assert clean.tobytes() != noisy.tobytes()


@pytest.mark.parametrize("dtype", ["c8", "c16", "G", ">c16"])
def test_n8_one_nan_in_each_part_of_a_complex_number(dtype):
    """And the other part stays what it is."""
    real = np.zeros(3, dtype)
    real.real[1] = math.nan
    noisy, other, imaginary = real.copy(), real.copy(), np.zeros(3, dtype)
    noisy.real[1], other.imag[1], imaginary.imag[1] = NOISE, 1.0, math.nan
    assert digest(real) == digest(noisy)
    all_different([real, other, imaginary, np.zeros(3, dtype)])


@pytest.mark.parametrize("place", [0, LEAF // 8 - 1, LEAF // 8, 3 * LEAF // 8 - 1])
def test_n8_one_nan_anywhere_in_a_large_array(place):
    """Every leaf is looked at, contiguous or not; and nothing of the array is changed."""
    clean = np.ones(3 * LEAF // 8)
    clean[place] = math.nan
    noisy = clean.copy()
    noisy[place] = NOISE
    before = noisy.tobytes()
    assert digest(clean) == digest(noisy) == digest(np.repeat(noisy, 2)[::2])
    assert noisy.tobytes() == before


def test_n8_one_nan_in_frames_and_columns():
    """pandas, pyarrow and polars; nested columns and missing values as well."""
    clean, noisy = np.array([1.0, math.nan]), np.array([1.0, NOISE])
    for make in [
        *[pd.Series, pd.Index, lambda data: pd.DataFrame({"a": data}), pd.arrays.SparseArray],
        *[pa.array, lambda data: pa.array([data]), lambda data: pa.table({"a": data})],
        lambda data: pa.array([{"a": float(data[1])}]),
        lambda data: pd.Series(pa.array(data), dtype=pd.ArrowDtype(pa.float64())),
        *[pl.Series, lambda data: pl.DataFrame({"a": data}), lambda data: pl.Series([list(data)])],
        lambda data: array.array("d", data),
        lambda data: array.array("f", data),
        lambda data: memoryview(array.array("d", data)),
    ]:
        assert digest(make(clean)) == digest(make(noisy))
    assert digest(pa.array([1.0, None])) != digest(pa.array(clean))


def test_n8_infinities_and_zeros_stay_apart():
    """Only nan has no sign; sums of infinities are nan, and the array has none."""
    signs = [[math.inf, -math.inf], [-math.inf, math.inf], [0.0, -0.0], [-0.0, 0.0]]
    for make in (np.array, lambda pair: array.array("d", pair), lambda pair: np.array(pair, "f2")):
        all_different([make(pair) for pair in signs])


bits = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(bits, bits, st.sampled_from(["f2", "f4", "f8", ml_dtypes.bfloat16, *NARROW]))
def test_n8_digests_are_equal_exactly_when_numbers_are(first, second, dtype):
    """Arrays of arbitrary bits: nan equals nan, and all others are told apart."""
    width = np.dtype(dtype).itemsize
    one, two = (np.array(found, "u8").view("u1")[:width].view(dtype) for found in (first, second))
    both_nan = bool(one[0] != one[0] and two[0] != two[0])
    assert (digest(one) == digest(two)) == (both_nan or one.tobytes() == two.tobytes())


# -- masks --------------------------------------------------------------------------------------

NESTED = np.dtype([("a", [("x", "f8"), ("y", "i4", (2,))]), ("b", "O"), ("c", "U2")])


def nested(hidden):
    made = np.ma.zeros(3, NESTED)
    made.data["a"]["x"][0] = made.data["a"]["y"][1, 1] = hidden
    made.data["b"][2], made.data["c"][2] = hidden, str(hidden)
    made.mask = np.zeros(3, made.mask.dtype)
    made.mask["a"]["x"][0] = made.mask["a"]["y"][1, 1] = True
    made.mask["b"][2] = made.mask["c"][2] = True
    return made


def test_x6_masked_records_of_records():
    """Masks of nested fields and subarrays; what lies under them does not count."""
    assert digest(nested(1)) == digest(nested(2))
    assert digest(nested(1)[0]) == digest(nested(2)[0])
    assert digest(pickle.loads(pickle.dumps(nested(1)))) == digest(nested(1))
    changed = nested(1)
    changed.mask["a"]["y"][1, 1] = False
    all_different([nested(1), changed, nested(1)[0], np.ma.zeros(3, NESTED), np.zeros(3, NESTED)])
    assert nested(1).data["a"]["x"][0] == 1


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ">f8", "M8[s]", "U2", "O", "V3"])
def test_x6_masked_arrays_of_any_dtype(dtype):
    """Extension dtypes have masks too."""
    first, second = np.ma.zeros(2, dtype), np.ma.zeros(2, dtype)
    first.mask = second.mask = [True, False]
    second.data[0] = np.ones(1, "u1").astype(dtype)[0] if dtype != "V3" else b"abc"
    assert digest(first) == digest(second) != digest(np.ma.zeros(2, dtype))


def test_x6_what_else_a_masked_array_is():
    """Its fill value, and whether assignments go through the mask."""
    hard = np.ma.array([1, 2], mask=[0, 1], hard_mask=True)
    filled = np.ma.array([1, 2], mask=[0, 1], fill_value=7)
    all_different([np.ma.array([1, 2], mask=[0, 1]), hard, filled, np.ma.masked])
