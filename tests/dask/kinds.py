"""Makers of values of many kinds, and what a process finds out about their digests.

Run as a script, the classes below are those of `__main__`; imported, those of a module.
"""

from __future__ import annotations

import argparse
import array
import ast
import calendar
import collections
import configparser
import contextlib
import csv
import dataclasses
import datetime as dt
import decimal
import difflib
import email.message
import enum
import fractions
import functools
import graphlib
import inspect
import io
import ipaddress
import itertools
import json
import logging
import math
import operator
import os
import pathlib
import pickle
import random
import re
import reprlib
import statistics
import string
import struct
import sys
import tempfile
import textwrap
import threading
import types
import typing
import urllib.parse
import uuid
import warnings
import xml.etree.ElementTree as ET
import zipfile
import zoneinfo

import attrs
import cloudpickle
import fsspec
import ml_dtypes
import msgspec
import networkx as nx
import numba
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pydantic
import scipy.interpolate
import scipy.sparse as sp
import scipy.spatial
import scipy.stats
import sklearn.cluster
import sklearn.ensemble
import sklearn.linear_model
import sklearn.neighbors
import sklearn.pipeline
import sklearn.preprocessing
import sklearn.tree
import xarray as xr
import zarr

from persidict_dask import UnstableKeyError, digest

T = typing.TypeVar("T")
P = typing.ParamSpec("P")
UserId = typing.NewType("UserId", int)


# -- classes of a project ------------------------------------------------------------------------


class Plain:
    def __init__(self, **names):
        self.__dict__.update(names)

    def method(self, x):
        return x


class Child(Plain):
    extra = 1


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b=None):
        self.a, self.b = a, b


class Lazy(Plain):
    @functools.cached_property
    def size(self):
        return 3


class Reduced:
    def __init__(self, value):
        self.value, self.noise = value, object()

    def __reduce__(self):
        return Reduced, (self.value,)


class Stateful:
    def __init__(self, value):
        self.value, self.lock = value, threading.Lock()

    def __getstate__(self):
        return {"value": self.value}

    def __setstate__(self, state):
        self.__init__(state["value"])


class Token(Plain):
    def __persist_token__(self):
        return self.value


class Call:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return self.k * x


class Names(set):
    pass


class Rows(list):
    pass


class Table(dict):
    pass


class Metre(float):
    pass


class Failure(Exception):
    pass


class Color(enum.Enum):
    RED = 1
    BLUE = "b"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Level(enum.IntEnum):
    LOW = 1


class Text(enum.StrEnum):
    A = "a"


class Fit(typing.NamedTuple):
    slope: float
    data: object = None


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass
class Point3(Point):
    z: object = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Slim:
    x: object


@dataclasses.dataclass
class Guarded:
    x: object
    lock: object = dataclasses.field(default_factory=threading.Lock)

    def __getstate__(self):
        return {"x": self.x}

    def __setstate__(self, state):
        self.__init__(state["x"])


@attrs.define
class AttrsSlotted:
    x: int
    y: list = attrs.field(factory=list)


@attrs.frozen
class AttrsFrozen:
    x: int


@attrs.define(slots=False)
class AttrsPlain:
    x: int


class Model(pydantic.BaseModel):
    x: int
    tags: set[str] = set()


class Nested(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    inner: Model


class Struct(msgspec.Struct):
    x: int
    y: list = []


class Frozen(msgspec.Struct, frozen=True):
    x: int


class TypedPoint(typing.TypedDict):
    x: int


class Generic(typing.Generic[T]):
    def __init__(self, value):
        self.value = value


class MyArray(np.ndarray):
    pass


class MyFrame(pd.DataFrame):
    _metadata: typing.ClassVar = ["unit"]


def square(x):
    return x * x


def make_adder(n):
    def add(x):
        return x + n

    return add


@functools.lru_cache(maxsize=3)
def cached(x):
    return x + 1


async def coroutine(x):
    return x


@functools.wraps(square)
def wrapped(x):
    return square(x) + 1


# -- helpers of makers ---------------------------------------------------------------------------

FOLDER = pathlib.Path(os.environ.get("KINDS_FOLDER") or tempfile.mkdtemp())
NAMES = [f"name{n}" for n in range(20)]
GRID = np.arange(12.0).reshape(3, 4)
WHEN = dt.datetime(2026, 1, 1, 12)
FEATURES = np.random.default_rng(0).normal(size=(30, 3))
LABELS = (FEATURES[:, 0] > 0).astype(int)
DAYS = pd.date_range("2026", periods=3)
RECORD = np.dtype([("a", [("x", "f8"), ("y", "i4", (2,))]), ("b", "O")])


def with_state(obj, **state):
    obj.__dict__.update(state)
    return obj


def loop():
    found = [1]
    found.append(found)
    return found


def nested_mask():
    made = np.ma.zeros(3, RECORD)
    made.mask[1] = True
    made.mask["a"]["x"][0] = True
    return made


def read(buffer, count):
    buffer.read(count)
    return buffer


def frame(**more):
    return pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], **more})


def my_frame():
    made = MyFrame({"a": [1]})
    made.unit = "m"
    return made


def generator(seed, n=0):
    made = np.random.default_rng(seed)
    made.normal(size=n)
    return made


def dataset(**more):
    coords = {"x": [1, 2], "y": ["a", "b", "c"], "t": ("x", DAYS[:2])}
    data = {"a": ("x", [1, 2]), "b": (("x", "y"), np.ones((2, 3)))}
    return xr.Dataset(data | more, coords, attrs={"unit": "m"})


def zarr_array(chunks=(2, 2), **more):
    made = zarr.create_array({}, shape=(3, 4), chunks=chunks, dtype="f8", **more)
    made[...] = GRID
    return made


def zarr_group():
    made = zarr.create_group({}, attributes={"k": 1})
    made.create_array("a", shape=(2,), dtype="i4")
    made.create_group("inner")
    return made


def zarr_text():
    made = zarr.create_array({}, shape=(2,), dtype=str)
    made[...] = np.array(["a", "bc"], object)
    return made


def graph(kind=nx.Graph, **attributes):
    made = kind([(1, 2), (2, "a")], **attributes)
    made.nodes[1]["weight"] = 2.0
    return made


def mapped():
    np.save(FOLDER / "a.npy", GRID)
    return np.load(FOLDER / "a.npy", mmap_mode="r")


def text_file():
    path = FOLDER / "texts" / "text.txt"
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_text("some text")
    return str(path)


def parquet():
    path = FOLDER / "data.parquet"
    if not path.exists():
        pyarrow.parquet.write_table(pa.table({"a": [1, 2]}), path)
    return pyarrow.dataset.dataset(str(path))


def netcdf():
    path = FOLDER / "data.zarr"
    if not path.exists():
        dataset().to_zarr(path)
    return xr.open_zarr(path, chunks=None)


def masked_frame():
    return pd.DataFrame({"i": pd.array([1, None], "Int64"), "f": pd.array([1.5, None], "Float64")})


def fitted(estimator):
    return estimator.fit(FEATURES, LABELS)


def index(kind):
    return kind(np.zeros((2, 2)))


# -- the kinds -----------------------------------------------------------------------------------

BUILT_IN = {
    "None": lambda: None,
    "bool": lambda: True,
    "int": lambda: 2**70,
    "float": lambda: -0.0,
    "nan": lambda: math.nan,
    "complex": lambda: complex(0.0, -0.0),
    "str": lambda: "é\ud800",
    "bytes": lambda: b"\x00\xff",
    "bytearray": lambda: bytearray(b"ab"),
    "memoryview": lambda: memoryview(b"ab"),
    "ellipsis": lambda: ...,
    "NotImplemented": lambda: NotImplemented,
    "tuple": lambda: (1, ("a", [None])),
    "list": lambda: [1, [2, {"a": 3}]],
    "dict": lambda: {name: n for n, name in enumerate(NAMES)},
    "set": lambda: set(NAMES),
    "frozenset": lambda: frozenset(NAMES),
    "set of frozensets": lambda: {frozenset(NAMES[:9]), frozenset(NAMES[9:])},
    "keys": lambda: dict.fromkeys(NAMES).keys(),
    "values": lambda: {"a": 1, "b": [2]}.values(),
    "items": lambda: {"a": 1, "b": [2]}.items(),
    "ordered keys": lambda: collections.OrderedDict(a=1, b=2).keys(),
    "ordered values": lambda: collections.OrderedDict(a=1, b=2).values(),
    "ordered items": lambda: collections.OrderedDict(a=1, b=2).items(),
    "slice": lambda: slice(1, "a", None),
    "range": lambda: range(0, 10, 3),
    "list in a loop": loop,
    "object()": object,
    "type": lambda: dict,
    "module": lambda: json,
    "built-in function": lambda: len,
    "bound built-in": lambda: [1].append,
    "method descriptor": lambda: str.upper,
    "lambda": lambda: lambda x: x + 1,
    "function": lambda: square,
    "closure": lambda: make_adder(2),
    "closure over a list": lambda: make_adder([2]),
    "cached function": lambda: cached,
    "coroutine function": lambda: coroutine,
    "wrapped function": lambda: wrapped,
    "generator": lambda: (n for n in [1]),
    "code": lambda: compile("a + 1", "x", "eval"),
    "property": lambda: property(square),
    "staticmethod": lambda: staticmethod(square),
    "classmethod": lambda: classmethod(square),
    "list iterator": lambda: iter([1, 2]),
    "set iterator": lambda: iter({1, 2}),
    "enumerate": lambda: enumerate(["a"]),
    "zip": lambda: zip([1], [2], strict=False),
    "map": lambda: map(len, [[1]]),
    "reversed": lambda: reversed([1, 2]),
    "exception": lambda: ValueError("a", 1),
    "OSError": lambda: FileNotFoundError(2, "no", "file"),
    "exception group": lambda: ExceptionGroup("a", [ValueError(1)]),
    "generic alias": lambda: list[int],
    "union": lambda: int | str,
    "open file": lambda: open(os.devnull),  # noqa: SIM115
    "lock": threading.Lock,
    "thread": threading.Thread,
}

LIBRARY = {
    "Decimal": lambda: decimal.Decimal("1.50"),
    "decimal context": lambda: decimal.Context(prec=3),
    "Fraction": lambda: fractions.Fraction(1, 3),
    "date": lambda: dt.date(2026, 1, 2),
    "time": lambda: dt.time(12, fold=1),
    "datetime": lambda: WHEN,
    "datetime in a zone": lambda: WHEN.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    "timedelta": lambda: dt.timedelta(1, 2, 3),
    "timezone": lambda: dt.timezone(dt.timedelta(hours=1), "X"),
    "ZoneInfo": lambda: zoneinfo.ZoneInfo("Europe/Berlin"),
    "UUID": lambda: uuid.UUID(int=5),
    "array": lambda: array.array("d", [1.0, math.nan]),
    "array of ints": lambda: array.array("i", [1]),
    "deque": lambda: collections.deque([1, 2], maxlen=3),
    "OrderedDict": lambda: collections.OrderedDict(b=1, a=2),
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "Counter": lambda: collections.Counter(NAMES),
    "ChainMap": lambda: collections.ChainMap({1: 2}, {3: 4}),
    "UserDict": lambda: collections.UserDict(a=1),
    "UserList": lambda: collections.UserList([1]),
    "UserString": lambda: collections.UserString("a"),
    "keys of a UserDict": lambda: collections.UserDict(a=1).keys(),
    "namespace": lambda: types.SimpleNamespace(a=1, b=[2]),
    "mappingproxy": lambda: types.MappingProxyType({"a": 1}),
    "cell": lambda: types.CellType(1),
    "pattern": lambda: re.compile("a+", re.IGNORECASE),
    "match": lambda: re.search("(?P<n>b)c?", "abcd"),
    "match of bytes": lambda: re.search(b"b", b"abcd"),
    "Struct": lambda: struct.Struct("<id"),
    "Path": lambda: pathlib.Path("a/b"),
    "PureWindowsPath": lambda: pathlib.PureWindowsPath("a/b"),
    "Template": lambda: string.Template("$a"),
    "Formatter": string.Formatter,
    "partial": lambda: functools.partial(square, x=2),
    "partialmethod": lambda: functools.partialmethod(square, 1),
    "bound method": lambda: Plain(a=1).method,
    "itemgetter": lambda: operator.itemgetter(1, "a"),
    "attrgetter": lambda: operator.attrgetter("a.b"),
    "methodcaller": lambda: operator.methodcaller("f", 1, k=2),
    "count": lambda: itertools.count(3, 2),
    "cycle": lambda: itertools.cycle([1, 2]),
    "chain": lambda: itertools.chain([1], [2]),
    "repeat": lambda: itertools.repeat("a", 2),
    "product": lambda: itertools.product([1], [2]),
    "islice": lambda: itertools.islice([1, 2, 3], 2),
    "IPv4Address": lambda: ipaddress.ip_address("10.0.0.1"),
    "IPv6Address": lambda: ipaddress.ip_address("::1%eth0"),
    "IPv4Network": lambda: ipaddress.ip_network("10.0.0.0/24"),
    "IPv4Interface": lambda: ipaddress.ip_interface("10.0.0.1/24"),
    "BytesIO": lambda: io.BytesIO(b"abc"),
    "BytesIO half read": lambda: read(io.BytesIO(b"abc"), 1),
    "StringIO": lambda: io.StringIO("abc"),
    "StringIO half read": lambda: read(io.StringIO("abc"), 1),
    "Random": lambda: random.Random(1),
    "Random used": lambda: with_state(random.Random(2), note=1),
    "Union": lambda: typing.Union[int, None],  # noqa: UP007
    "Literal": lambda: typing.Literal[1, "a"],
    "Annotated": lambda: typing.Annotated[int, "unit"],
    "Callable": lambda: collections.abc.Callable[[int], str],
    "TypeVar": lambda: T,
    "ParamSpec": lambda: P,
    "NewType": lambda: UserId,
    "alias with a TypeVar": lambda: dict[str, T],
    "ForwardRef": lambda: typing.ForwardRef("Plain"),
    "Any": lambda: typing.Any,
    "csv dialect": csv.excel_tab,
    "JSONEncoder": lambda: json.JSONEncoder(indent=2),
    "EmailMessage": email.message.EmailMessage,
    "URL": lambda: urllib.parse.urlsplit("http://a/b?c#d"),
    "Namespace": lambda: argparse.Namespace(a=1),
    "ConfigParser": configparser.ConfigParser,
    "NormalDist": lambda: statistics.NormalDist(1, 2),
    "TopologicalSorter": lambda: graphlib.TopologicalSorter({1: {2}}),
    "Element": lambda: ET.fromstring('<a b="1"><c/>t</a>'),
    "Signature": lambda: inspect.signature(make_adder),
    "syntax tree": lambda: ast.parse("a + 1"),
    "TextWrapper": lambda: textwrap.TextWrapper(20),
    "Repr": reprlib.Repr,
    "SequenceMatcher": lambda: difflib.SequenceMatcher(None, "ab", "bc"),
    "Calendar": lambda: calendar.Calendar(6),
    "logger": lambda: logging.getLogger("kinds"),
    "log formatter": lambda: logging.Formatter("%(message)s"),
    "ExitStack": contextlib.ExitStack,
    "ZipInfo": lambda: zipfile.ZipInfo("a"),
    "stat result": lambda: os.stat_result(range(10)),
    "struct_time": lambda: __import__("time").gmtime(0),
    "InitVar": lambda: dataclasses.InitVar[int],
}

PROJECT = {
    "plain object": lambda: Plain(a=1, b={"c"}),
    "object of a subclass": lambda: Child(a=1, b={"c"}),
    "slots": lambda: Slotted(1),
    "cached property": lambda: Lazy(a=1),
    "__reduce__": lambda: Reduced(1),
    "__getstate__": lambda: Stateful(1),
    "__persist_token__": lambda: Token(value=1, noise=threading.Lock()),
    "callable object": lambda: Call(3),
    "subclass of set": lambda: Names(NAMES),
    "subclass of list": lambda: Rows([1, 2]),
    "subclass of dict": lambda: Table(a=1),
    "subclass of float": lambda: with_state(Metre(1.5), note="x"),
    "own exception": lambda: Failure("x", 1),
    "enum member": lambda: Color.RED,
    "enum class": lambda: Color,
    "flags": lambda: Rights.READ | Rights.WRITE,
    "IntEnum": lambda: Level.LOW,
    "StrEnum": lambda: Text.A,
    "NamedTuple": lambda: Fit(1.0, [2]),
    "namedtuple": lambda: Pair(1, 2),
    "dataclass": lambda: Point(1, [2]),
    "dataclass with an attribute": lambda: with_state(Point(1, [2]), more=3),
    "derived dataclass": lambda: Point3(1, 2, 3),
    "frozen dataclass with slots": lambda: Slim(1),
    "dataclass with a lock": lambda: Guarded(1),
    "class": lambda: Plain,
    "dataclass class": lambda: Point,
    "generic class": lambda: Generic[int],
    "object of a generic class": lambda: Generic[int](1),
    "TypedDict class": lambda: TypedPoint,
    "lock inside": lambda: Plain(inner=[threading.Lock()]),
    "shared parts": lambda: [Plain(a=1)] * 2,
}

CLASSES = {
    "attrs": lambda: AttrsSlotted(1, [2]),
    "attrs frozen": lambda: AttrsFrozen(1),
    "attrs without slots": lambda: AttrsPlain(1),
    "attrs class": lambda: AttrsSlotted,
    "pydantic": lambda: Model(x=1, tags=set(NAMES)),
    "pydantic nested": lambda: Nested(inner=Model(x=1)),
    "pydantic class": lambda: Model,
    "pydantic TypeAdapter": lambda: pydantic.TypeAdapter(list[int]),
    "msgspec": lambda: Struct(1, [2]),
    "msgspec frozen": lambda: Frozen(1),
    "msgspec class": lambda: Struct,
    "msgspec decoder": lambda: msgspec.json.Decoder(Struct),
}

NUMPY = {
    "f8": lambda: GRID,
    "f8 transposed": lambda: GRID.T,
    "f8 with nan": lambda: np.array([1.0, math.nan]),
    "big-endian": lambda: GRID.astype(">f8"),
    "f4": lambda: GRID.astype("f4"),
    "f2": lambda: GRID.astype("f2"),
    "longdouble": lambda: GRID.astype("g"),
    "c16": lambda: GRID + 1j,
    "i8": lambda: GRID.astype("i8"),
    "u1": lambda: GRID.astype("u1"),
    "array of bool": lambda: GRID > 3,
    "U": lambda: np.array(["a", "bc"]),
    "S": lambda: np.array([b"a", b"bc"]),
    "M8[s]": lambda: np.array(["2026-01-01", "NaT"], "M8[s]"),
    "M8[25s]": lambda: np.array(["2026-01-01", "NaT"], "M8[25s]"),
    "m8": lambda: np.array([1, 2], "m8[D]"),
    "objects": lambda: np.array([1, "a", None, set(NAMES)], object),
    "StringDType": lambda: np.array(["a", "b"], np.dtypes.StringDType()),
    "StringDType with nan": lambda: np.array(
        ["a", math.nan], np.dtypes.StringDType(na_object=math.nan)
    ),
    "structured": lambda: np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    "structured and aligned": lambda: np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "titles": lambda: np.zeros(2, np.dtype({"names": ["a"], "formats": ["i4"], "titles": ["T"]})),
    "nested structured": lambda: np.zeros(2, RECORD),
    "void": lambda: np.zeros(2, "V3"),
    "0-d": lambda: np.array(3.0),
    "empty": lambda: np.zeros((0, 3)),
    "f8 scalar": lambda: np.float64(1.5),
    "i4 scalar": lambda: np.int32(1),
    "str scalar": lambda: np.str_("a"),
    "datetime64": lambda: np.datetime64("2026-01-01"),
    "NaT": lambda: np.datetime64("NaT"),
    "record": lambda: np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")])[0],
    "recarray": lambda: np.rec.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    "matrix": lambda: np.matrix(GRID),
    "masked": lambda: np.ma.array([1.0, 2.0], mask=[0, 1]),
    "masked and nested": nested_mask,
    "masked element": lambda: nested_mask()[0],
    "masked constant": lambda: np.ma.masked,
    "memory map": lambda: mapped()[:2],
    "subclass of ndarray": lambda: GRID.view(MyArray),
    "dtype": lambda: np.dtype("f8"),
    "dtype with metadata": lambda: np.dtype("f8", metadata={"unit": "m"}),
    "structured dtype": lambda: RECORD,
    "scalar type": lambda: np.float32,
    "ufunc": lambda: np.add,
    "frompyfunc": lambda: np.frompyfunc(square, 1, 1),
    "vectorize": lambda: np.vectorize(square),
    "numpy function": lambda: np.mean,
    "Generator": lambda: generator(1),
    "Generator used": lambda: generator(1, 5),
    "RandomState": lambda: np.random.RandomState(1),
    "SeedSequence": lambda: np.random.SeedSequence(1),
    "poly1d": lambda: np.poly1d([1, 2]),
    "Polynomial": lambda: np.polynomial.Polynomial([1, 2]),
    "finfo": lambda: np.finfo("f8"),
    "bfloat16": lambda: GRID.astype(ml_dtypes.bfloat16),
    "float8": lambda: GRID.astype(ml_dtypes.float8_e4m3fn),
    "other float8": lambda: GRID.astype(ml_dtypes.float8_e5m2),
    "int4": lambda: GRID.astype(ml_dtypes.int4),
    "bfloat16 scalar": lambda: ml_dtypes.bfloat16(1.5),
    "bfloat16 dtype": lambda: np.dtype(ml_dtypes.bfloat16),
}

PANDAS = {
    "DataFrame": frame,
    "DataFrame with attrs": lambda: frame().assign(c=1.5).set_index("c"),
    "DataFrame of masked": masked_frame,
    "DataFrame of Arrow": lambda: pd.DataFrame({"a": pd.array([1, None], "int64[pyarrow]")}),
    "subclass of DataFrame": my_frame,
    "Series": lambda: pd.Series([1.0, math.nan], name="s"),
    "Series of objects": lambda: pd.Series([1, "a", None, (1,)], dtype=object),
    "Series of strings": lambda: pd.Series(["a", None]),
    "Series of categories": lambda: pd.Series(["a", "b"], dtype="category"),
    "Series of times": lambda: pd.Series(DAYS.tz_localize("Europe/Berlin")),
    "Series of periods": lambda: pd.Series(pd.period_range("2026", periods=2)),
    "Series of intervals": lambda: pd.Series(pd.interval_range(0, 2)),
    "sparse Series": lambda: pd.Series(pd.arrays.SparseArray([0.0, 1.0])),
    "Index": lambda: pd.Index([1, 3]),
    "RangeIndex": lambda: pd.RangeIndex(3),
    "MultiIndex": lambda: pd.MultiIndex.from_tuples([(1, "a"), (2, "b")], names=["n", None]),
    "DatetimeIndex": lambda: DAYS,
    "CategoricalIndex": lambda: pd.CategoricalIndex(["a", "b"]),
    "TimedeltaIndex": lambda: pd.TimedeltaIndex([1, 2]),
    "Timestamp": lambda: pd.Timestamp("2026-01-01", tz="Europe/Berlin"),
    "Timedelta": lambda: pd.Timedelta(1),
    "Period": lambda: pd.Period("2026-01"),
    "Interval": lambda: pd.Interval(0, 1),
    "NA": lambda: pd.NA,
    "pandas NaT": lambda: pd.NaT,
    "offset": lambda: pd.offsets.MonthEnd(2),
    "business day": lambda: pd.offsets.CustomBusinessDay(),
    "Int64Dtype": pd.Int64Dtype,
    "CategoricalDtype": lambda: pd.CategoricalDtype(["b", "a"], ordered=True),
    "DatetimeTZDtype": lambda: pd.DatetimeTZDtype("s", "Europe/Berlin"),
    "SparseDtype": lambda: pd.SparseDtype("f8", 0.0),
    "ArrowDtype": lambda: pd.ArrowDtype(pa.list_(pa.int64())),
    "extension array": lambda: pd.array([1, None], "Int64"),
    "GroupBy": lambda: frame().groupby("a"),
}

ARROW = {
    "Arrow ints": lambda: pa.array([1, None, 3]),
    "Arrow floats": lambda: pa.array([1.0, math.nan, None]),
    "Arrow text": lambda: pa.array(["a", None, "bc"]),
    "Arrow bools": lambda: pa.array([True, None]),
    "Arrow lists": lambda: pa.array([[1], None, []]),
    "Arrow structs": lambda: pa.array([{"a": 1.0}, None]),
    "Arrow maps": lambda: pa.array([{1: 2}], pa.map_(pa.int64(), pa.int64())),
    "Arrow dictionary": lambda: pa.array(["a", "b", "a"]).dictionary_encode(),
    "Arrow times": lambda: pa.array([WHEN], pa.timestamp("ms", "UTC")),
    "Arrow decimals": lambda: pa.array([decimal.Decimal("1.5")]),
    "Arrow uuids": lambda: pa.array([b"a" * 16], pa.uuid()),
    "Arrow runs": lambda: pa.RunEndEncodedArray.from_arrays([2, 3], [1, 2]),
    "ChunkedArray": lambda: pa.chunked_array([[1, 2], [4]]),
    "Table": lambda: pa.table({"a": [1, 2], "b": ["x", None]}),
    "Table with metadata": lambda: pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}),
    "RecordBatch": lambda: pa.record_batch({"a": [1]}),
    "Schema": lambda: pa.schema([pa.field("a", "int64", metadata={"k": "v"})]),
    "Field": lambda: pa.field("a", "int64", nullable=False),
    "DataType": lambda: pa.list_(pa.field("x", "int64", metadata={"k": "v"})),
    "Scalar": lambda: pa.scalar(1.5),
    "Buffer": lambda: pa.py_buffer(b"abc"),
    "dataset of files": parquet,
    "fragment": lambda: next(iter(parquet().get_fragments())),
    "scanner": lambda: parquet().scanner(),
    "expression": lambda: pyarrow.dataset.field("a") > 1,
    "Arrow file system": lambda: pa.fs.LocalFileSystem(),
    "reader of batches": lambda: pa.table({"a": [1]}).to_reader(),
    "polars DataFrame": lambda: pl.DataFrame({"a": [1, None], "b": ["x", "y"]}),
    "polars floats": lambda: pl.Series("s", [1.0, math.nan, None]),
    "polars categories": lambda: pl.Series(["a", "b"], dtype=pl.Categorical),
    "polars enum": lambda: pl.Series(["a"], dtype=pl.Enum(["a", "b"])),
    "polars lists": lambda: pl.Series([[1], [2, 3]]),
    "polars times": lambda: pl.Series([WHEN]),
    "polars objects": lambda: pl.Series([{1}], dtype=pl.Object),
    "polars expression": lambda: pl.col("a") + 1,
    "polars dtype": lambda: pl.Datetime("us", "UTC"),
    "polars dtype class": lambda: pl.Int8,
    "polars schema": lambda: pl.Schema({"a": pl.Int8}),
    "LazyFrame": lambda: pl.LazyFrame({"a": [1]}),
    "scan": lambda: pl.scan_csv(text_file()),
}

SCIENCE = {
    "csr_array": lambda: sp.csr_array(GRID),
    "coo_matrix": lambda: sp.coo_matrix(GRID),
    "dok_array": lambda: sp.dok_array(GRID),
    "distribution": lambda: scipy.stats.norm,
    "frozen distribution": lambda: scipy.stats.norm(1, 2),
    "spline": lambda: scipy.interpolate.CubicSpline([0, 1, 2], [0, 1, 4]),
    "KDTree": lambda: scipy.spatial.KDTree(FEATURES),
    "Rotation": lambda: scipy.spatial.transform.Rotation.from_quat([0, 0, 0, 1]),
    "gaussian_kde": lambda: scipy.stats.gaussian_kde([1.0, 2.0, 4.0]),
    "LinearRegression": sklearn.linear_model.LinearRegression,
    "LinearRegression fitted": lambda: fitted(sklearn.linear_model.LinearRegression()),
    "LogisticRegression": lambda: fitted(sklearn.linear_model.LogisticRegression()),
    "StandardScaler": lambda: fitted(sklearn.preprocessing.StandardScaler()),
    "Pipeline": lambda: sklearn.pipeline.make_pipeline(sklearn.preprocessing.StandardScaler()),
    "KMeans": lambda: sklearn.cluster.KMeans(2, random_state=0),
    "DecisionTree": lambda: fitted(sklearn.tree.DecisionTreeClassifier(random_state=0)),
    "RandomForest": lambda: fitted(sklearn.ensemble.RandomForestClassifier(3, random_state=0)),
    "neighbors": lambda: fitted(sklearn.neighbors.KNeighborsClassifier()),
    "FunctionTransformer": lambda: sklearn.preprocessing.FunctionTransformer(square),
    "Graph": graph,
    "DiGraph": lambda: graph(nx.DiGraph),
    "MultiGraph": lambda: graph(nx.MultiGraph, name="g"),
    "nodes of a graph": lambda: graph().nodes,
}

LABELLED = {
    "Dataset": dataset,
    "Dataset without an index": lambda: dataset().drop_indexes("x"),
    "Dataset with a MultiIndex": lambda: dataset().stack(z=("x", "y")),
    "Dataset of categories": lambda: dataset(c=("x", pd.Categorical(["a", "b"]))),
    "DataArray": lambda: dataset()["b"],
    "DataArray with a name": lambda: dataset()["b"].rename("c"),
    "Variable": lambda: dataset()["a"].variable,
    "IndexVariable": lambda: dataset()["x"].variable,
    "Coordinates": lambda: dataset().coords,
    "indexes": lambda: dataset().xindexes,
    "RangeIndex of xarray": lambda: xr.Coordinates.from_xindex(
        xr.indexes.RangeIndex.arange(0, 1, 0.1, dim="x")
    ),
    "DataTree": lambda: xr.DataTree.from_dict({"/": dataset(), "/c": dataset(z=1)}),
    "child of a DataTree": lambda: xr.DataTree.from_dict({"/c": dataset(z=1)})["c"],
    "Dataset from files": netcdf,
    "zarr array": zarr_array,
    "zarr array with attributes": lambda: zarr_array(attributes={"k": 1}),
    "zarr array of text": zarr_text,
    "zarr group": zarr_group,
    "zarr store": lambda: zarr_array().store,
    "zarr format 2": lambda: zarr_array(zarr_format=2, fill_value=7.0),
    "jitted": lambda: numba.njit(square),
    "jitted with options": lambda: numba.njit(fastmath=True)(square),
    "jitted closure": lambda: numba.njit(make_adder(2)),
    "numba vectorize": lambda: numba.vectorize(square),
    "numba type": lambda: numba.float64,
    "numba array type": lambda: numba.float64[:, ::1],
    "numba signature": lambda: numba.float64(numba.int32),
    "OpenFile": lambda: fsspec.open(text_file(), "rb"),
    "OpenFile of text": lambda: fsspec.open(text_file(), "rt"),
    "opened file of fsspec": lambda: fsspec.open(text_file(), "rb").open(),
    "file system": lambda: fsspec.filesystem("file"),
    "mapping of files": lambda: fsspec.get_mapper(os.path.dirname(text_file())),
    "memory file system": lambda: fsspec.filesystem("memory"),
}

KINDS = {
    **BUILT_IN,
    **LIBRARY,
    **PROJECT,
    **CLASSES,
    **NUMPY,
    **PANDAS,
    **ARROW,
    **SCIENCE,
    **LABELLED,
}
SIZES = [len(group) for group in (BUILT_IN, LIBRARY, PROJECT, CLASSES, NUMPY, PANDAS, ARROW)]
assert len(KINDS) == sum([*SIZES, len(SCIENCE), len(LABELLED)])  # no name stands twice


# -- what a process finds out --------------------------------------------------------------------


def found_out(name):
    """The digest of a kind and of its copies, or the path in the error that refuses it."""
    obj = KINDS[name]()
    try:
        found = {"first": digest(obj)}
    except UnstableKeyError as error:
        return {"refused": error.path, "error": str(error)}
    found["made again"] = digest(KINDS[name]())
    for way, dumps in (("pickled", pickle.dumps), ("cloudpickled", cloudpickle.dumps)):
        copy = copied(obj, dumps)
        if type(copy) is type(obj):  # cloudpickle makes bytes of a memoryview: another value
            found[way] = digest(copy)
    use(obj, KINDS[name]())
    found["used"] = digest(obj)
    return found


def copied(obj, dumps):
    with contextlib.suppress(Exception):
        return pickle.loads(dumps(obj, protocol=5))
    return NotImplemented


def use(obj, other):
    """Print it, compare it, look at each attribute."""
    looks = [lambda: repr(obj), lambda: str(obj), lambda: obj == other, lambda: hash(obj)]
    for look in [*looks, *(functools.partial(getattr, obj, name) for name in dir(obj))]:
        with contextlib.suppress(Exception):
            look()


def main():
    """Write what is found out about all kinds, in an order that differs between processes."""
    warnings.simplefilter("ignore")
    names = list(KINDS)
    random.Random(os.environ["PYTHONHASHSEED"]).shuffle(names)
    found = {}
    for name in names:
        try:
            found[name] = found_out(name)
        except Exception as error:
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
