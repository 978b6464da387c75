"""pandas objects in the `json` format: back as they were, or refused when they are stored."""

import datetime as dt
import decimal
import json
import pickle
import subprocess
import sys
import zoneinfo
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from persidict import DamagedItemError, FileDirDict
from tests.ids import stable

pytestmark = pytest.mark.filterwarnings("ignore:keys will default:DeprecationWarning")

COLUMNS = {
    "text": pd.Series(["a", None, "", "nan", "日本"]),
    "text-of-objects": pd.Series(["a", None, np.nan, pd.NA], dtype=object),
    "text-with-na": pd.Series(["a", None], dtype="string"),
    "text-of-python": pd.Series(["a", None], dtype="string[python]"),
    "text-of-arrow": pd.Series(["a", None], dtype="string[pyarrow]"),
    "long-text": pd.Series([f"row {i}" for i in range(100)]),
    "long-text-of-objects": pd.Series([f"row {i}" for i in range(100)], dtype=object),
    "int": pd.Series([1, -(2**63)]),
    "uint64": pd.Series([2**64 - 1], dtype="uint64"),
    "int8": pd.Series([1], dtype="int8"),
    "float": pd.Series([0.1, None, float("-inf"), 5e-324]),
    "float32": pd.Series([0.1], dtype="float32"),
    "long-float": pd.Series(np.linspace(0, 1, 100)[::3]),
    "bool": pd.Series([True, False]),
    "complex": pd.Series([1 + 2j]),
    "Int64": pd.Series([2**62 + 1, None], dtype="Int64"),
    "Float64": pd.Series([1.5, None], dtype="Float64"),
    "boolean": pd.Series([True, None], dtype="boolean"),
    "arrow-text": pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
    "int-of-arrow": pd.Series([1, None], dtype="int64[pyarrow]"),
    "categories": pd.Series(["b", "a", None], dtype="category"),
    "ordered": pd.Series(pd.Categorical([2, 1], categories=[3, 2, 1], ordered=True)),
    "datetime": pd.Series(pd.to_datetime(["2020-01-01 00:00:00.123456789", None])),
    "datetime-in-seconds": pd.Series(pd.to_datetime(["2020-01-01", None])).astype("M8[s]"),
    "utc": pd.Series(pd.to_datetime(["2020-01-01", None], utc=True)),
    "zone": pd.Series(pd.date_range("2020-10-25", periods=40, freq="h", tz="Europe/Paris")),
    "offset": pd.Series(pd.to_datetime(["2020-01-01T00:00:00+05:30"])),
    "timedelta": pd.Series(pd.to_timedelta([1, None])),
    "period": pd.Series(pd.period_range("2020", periods=2, freq="M")),
    "interval": pd.Series(pd.interval_range(0, 2)),
    "sparse": pd.Series([0, 0, 1], dtype="Sparse[int]"),
    "mixed": pd.Series([1, "a", None, 2.5, True, b"b", decimal.Decimal("1.10")], dtype=object),
    "int-or-none": pd.Series([1, None], dtype=object),
    "lists": pd.Series([[1], [2]]),
    "tuples": pd.Series([(1, (2,)), (3,)] * 20),
    "tuples-of-arrays": pd.Series([(np.arange(5)[1:3],), ()]),
    "dicts-and-sets": pd.Series([{"a": [1]}, {1, 2}]),
    "arrays": pd.Series([np.arange(3), np.eye(2)]),
    "times": pd.Series([dt.date(2020, 1, 2), dt.timedelta(1)], dtype=object),
    "stamps": pd.Series([pd.Timestamp("2020", tz="Europe/Paris"), pd.NaT], dtype=object),
    "empty": pd.Series([], dtype="float64"),
    "empty-objects": pd.Series([], dtype=object),
    "empty-text": pd.Series([], dtype="str"),
}
HASHABLE = COLUMNS.keys() - {"lists", "tuples-of-arrays", "dicts-and-sets", "arrays"}
UNIQUE = sorted(name for name in HASHABLE if COLUMNS[name].is_unique)
SHAPES = {
    "series": lambda column: column,
    "frame": lambda column: pd.DataFrame({"x": range(len(column)), "c": column}),
    "index": lambda column: pd.Index(column, tupleize_cols=False),
    "row-labels": lambda column: pd.DataFrame({"x": range(len(column))}, index=column.tolist()),
    "series-labels": lambda column: pd.Series(range(len(column)), pd.Index(column, name="l")),
}


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, serialization_format="json", digest_len=0)


def described(value):
    """Everything of a value that is to come back, as text."""
    if isinstance(value, pd.DataFrame):
        axes = [described(value.index), described(value.columns), str(value.attrs)]
        return [type(value), *axes, *(described(value.iloc[:, i]) for i in range(value.shape[1]))]
    if isinstance(value, pd.MultiIndex):
        levels = [described(value.get_level_values(i)) for i in range(value.nlevels)]
        return [type(value), repr(list(value.names)), *levels]
    if isinstance(value, pd.Index):
        freq = getattr(value, "freq", None)
        return [type(value), repr(list(value.names)), freq, *described(value.array)]
    if isinstance(value, pd.Series):
        return [repr(value.name), described(value.index), *described(value.array)]
    categories = getattr(value.dtype, "categories", None)
    known = None if categories is None else described(categories)
    return [repr(value.dtype), known, [(type(cell), repr(cell)) for cell in value.tolist()]]


def assert_comes_back(d, value):
    before = described(value)
    d["a"] = value
    assert described(d["a"]) == before
    assert described(value) == before


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("shape", ["series", "frame"])
def test_a_column_comes_back_with_its_cells_and_its_type(d, name, shape):
    assert_comes_back(d, SHAPES[shape](COLUMNS[name]))


@pytest.mark.parametrize("name", sorted(HASHABLE))
@pytest.mark.parametrize("shape", ["index", "series-labels"])
def test_an_index_comes_back_with_its_labels_and_its_type(d, name, shape):
    assert_comes_back(d, SHAPES[shape](COLUMNS[name]))


@pytest.mark.parametrize("name", sorted(set(UNIQUE) - {"tuples", "sparse"}))
def test_columns_come_back_with_their_labels_in_order(d, name):
    labels = pd.Index(COLUMNS[name], name=("n", 1), tupleize_cols=False)
    assert_comes_back(d, pd.DataFrame([range(len(labels))], columns=labels))


@pytest.mark.parametrize("name", sorted(HASHABLE - {"tuples"}))
def test_a_multi_index_comes_back_with_the_types_of_its_levels(d, name):
    index = pd.MultiIndex.from_arrays(
        [COLUMNS[name], [*range(len(COLUMNS[name]))]], names=["p", None]
    )
    assert_comes_back(d, index)
    assert_comes_back(d, pd.DataFrame({("x", 1): 1.5}, index=index))


DAYS = pd.date_range("2020", periods=3, tz="Europe/Paris", name="day")
WHOLE = {
    "range": pd.RangeIndex(1, 10, 2, name="range"),
    "range-backwards": pd.RangeIndex(5, 0, -1),
    "name-of-letters": pd.Index([1, 2], name="ab"),
    "name-that-is-a-tuple": pd.Series([1], name=("a", 1)),
    "name-that-json-does-not-know": pd.DataFrame({"x": [1, 2]}, index=[7, 8]).loc[np.int64(7)],
    "name-that-is-a-number-of-numpy": pd.Series([1], name=np.int64(3)),
    "name-of-an-index-that-is-a-number-of-numpy": pd.Index([1], name=np.int64(3)),
    "frequency": DAYS,
    "frequency-of-rows": pd.DataFrame({"x": [1, 2, 3]}, index=DAYS),
    "no-rows": pd.DataFrame({"a": [1], "s": ["x"]}).iloc[:0],
    "no-columns": pd.DataFrame(index=["a", "b"]),
    "nothing": pd.DataFrame(),
    "empty-multi-index": pd.MultiIndex.from_arrays([[], []], names=["a", "b"]),
    "multi-index-that-lacks-labels": pd.MultiIndex([[1, 2], ["x"]], [[0, -1, 1], [0, 0, -1]]),
    "multi-index-without-some-of-its-labels": pd.MultiIndex([["a", "b"], [1, 2]], [[1, 1], [1, 0]]),
    "labels-of-many-types": pd.DataFrame([[1, "b", 3.5]], columns=[0, "x", (1, "y")]),
    "columns-in-levels": pd.DataFrame(
        [[1, "b"]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["u", None])
    ),
    "attributes": pd.DataFrame({"a": [1]}),
}
WHOLE["attributes"].attrs = {"unit": ("m", 1)}


@pytest.mark.parametrize("name", WHOLE)
def test_it_comes_back_whole(d, name):
    assert_comes_back(d, WHOLE[name])


STAMPS = [
    pd.Timestamp("2020-01-01 00:00:00.123456789"),
    pd.Timestamp("2020-01-01", tz="Europe/Paris"),
    pd.Timestamp("2020-01-01", tz=zoneinfo.ZoneInfo("America/New_York")),
    pd.Timestamp("2020-01-01T00:00:00+05:30"),
    pd.Timestamp("2020-01-01", tz="UTC"),
]


@pytest.mark.parametrize("stamp", STAMPS, ids=stable)
def test_a_time_comes_back_with_its_zone(d, stamp):
    d["a"] = stamp
    assert repr(d["a"]) == repr(stamp)


class Subclass(pd.DataFrame):
    """A frame that pickle knows how to restore and jsonpickle does not."""


class Point:
    """An object that comes back."""


class Forgetful:
    """A cell that comes back as a dict."""

    def __init__(self, x):
        self.x = x

    def __getstate__(self):
        return {"y": self.x}


MONDAYS = pd.offsets.CustomBusinessDay(weekmask="Mon")
DAYS_OF_WORK = pd.DatetimeIndex(["2020-01-06"], freq=MONDAYS)
TAGGED = pd.DataFrame({"py/object": [1], "a": [2]})
REFUSED = {
    "columns-of-one-name": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "number-beside-a-missing-one": pd.MultiIndex([[2**62 + 1]], [[0, -1]]),
    "flag-beside-a-missing-one": pd.MultiIndex([[True]], [[0, -1]]),
    "subclass": Subclass({"a": [1]}),
    "array-of-arrow": pd.array(["a", None], dtype="string[pyarrow]"),
    "in-a-list": [pd.array([1], dtype="int64[pyarrow]")],
    "keys-that-are-no-texts": pd.Series([{1: "x"}]),
    "keys-that-are-no-texts-in-a-frame": pd.DataFrame({"a": [{1: "x"}]}),
    "label-that-is-a-tag": TAGGED,
    "label-like-an-escape": pd.DataFrame({"json://x": [1], "a": [2]}),
    "nested-frame": {"deep": [TAGGED]},
    "cell-that-loses-a-part": pd.Series([{"a": 1, "py/ref": 2}]),
    "array-of-another-order-of-bytes": pd.Series([np.array([1], dtype=">i4")]),
    "attributes-of-a-frame": pd.DataFrame({"a": [1]}),
    "attributes-of-a-series": pd.Series([1]),
    "frequency-without-its-days": DAYS_OF_WORK,
    "type-without-its-size": pd.Index([decimal.Decimal(1)], dtype=pd.ArrowDtype(pa.decimal128(5))),
    "series-of-a-type-without-its-size": pd.Series(
        [decimal.Decimal(1)], dtype=pd.ArrowDtype(pa.decimal128(5))
    ),
    "loses-its-state": pd.DataFrame({"a": [Forgetful(1)]}),
    "zone-of-an-unknown-name": pd.Timestamp("2020", tz=dt.timezone(dt.timedelta(hours=1), "here")),
}
for name in ("attributes-of-a-frame", "attributes-of-a-series"):
    REFUSED[name].attrs = {"a": Forgetful(1)}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_come_back_as_another_value_is_refused(d, name):
    with pytest.raises(TypeError, match="use pkl"):
        d["a"] = REFUSED[name]
    assert "a" not in d


AFTER = {name: SHAPES["series"](column) for name, column in COLUMNS.items()}
AFTER |= {f"{name}-frame": SHAPES["frame"](column) for name, column in COLUMNS.items()}
AFTER |= {"view": np.arange(5)[1:3], "transposed": np.ones((2, 2)).T, "array": np.arange(3)}


@pytest.mark.parametrize("name", AFTER)
def test_objects_after_it_stay_one_object(d, name):
    """References are numbers, and every part of a value counts."""
    shared = Point()
    d["a"] = [AFTER[name], shared, shared]
    _, one, two = d["a"]
    assert type(one) is Point
    assert one is two


def test_a_frame_of_two_places_stays_one_object(d):
    index = pd.Index(["x", "y"])
    texts, numbers = pd.Series(["a", "b"], index), pd.Series([1, 2], index)
    frame = pd.DataFrame({"t": texts})
    d["a"] = {"some": [texts, numbers, frame], "again": [frame, numbers, texts]}
    found = d["a"]
    assert described(found["some"][0]) == described(texts)
    assert all(one is two for one, two in zip(found["some"], found["again"][::-1], strict=True))


def test_threads_do_not_mix_their_references(d):
    def comes_back(n):
        shared, view = {"n": n}, np.arange(6)[1:4]
        d[f"{n}"] = [view, shared, pd.Series(view), view, shared]
        found = d[f"{n}"]
        return found[0] is found[3] and found[1] is found[4] and found[1] == shared

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(comes_back, range(40)))


LIBRARY = """
import sys, pickle, warnings, jsonpickle
warnings.simplefilter("ignore")
import jsonpickle.ext.pandas
jsonpickle.ext.pandas.register_handlers()
inputs = pickle.load(sys.stdin.buffer)
asked = jsonpickle.decode if isinstance(inputs[0], str) else jsonpickle.encode
sys.stdout.buffer.write(pickle.dumps([asked(value, keys=False) for value in inputs]))
"""


def library(inputs):
    """What the plain handlers make of the inputs, in a process of their own."""
    command = [sys.executable, "-c", LIBRARY]
    done = subprocess.run(command, input=pickle.dumps(inputs), capture_output=True, check=True)
    return pickle.loads(done.stdout)


# what the handlers of the library restore as it was, but for ranges of rows
RIGHT = "int uint64 int8 float float32 long-float bool complex categories ordered boolean"
RIGHT_IN_FRAMES = (
    "int uint64 int8 float float32 long-float bool complex datetime timedelta interval"
)
KNOWN = [COLUMNS[name] for name in RIGHT.split()]
KNOWN += [pd.DataFrame({"c": COLUMNS[name]}) for name in RIGHT_IN_FRAMES.split()]
KNOWN += [pd.Index(COLUMNS[name]) for name in "int float text datetime utc period".split()]
KNOWN += [WHOLE["columns-in-levels"], pd.MultiIndex.from_tuples([(1, "a")]), pd.Timestamp("2020")]
KNOWN += [pd.Timestamp("2020-01-01T00:00:00+05:30")]


KNOWN = pickle.loads(pickle.dumps(KNOWN))  # the form of an array depends on what it is a view of
TEXTS = [
    pd.Series(["a", None]),
    pd.DataFrame({"t": ["a", None]}),
    pd.Series(pd.to_datetime([0])),
]


def cells(value):
    """The content as text: codes of types mean another thing to each process of the library."""
    if isinstance(value, pd.DataFrame):
        return str(value.to_dict("list"))
    return str(value.tolist()) if isinstance(value, pd.Series) else repr(value)


def without_notes(stored):
    if isinstance(stored, list):
        return [without_notes(part) for part in stored]
    if not isinstance(stored, dict):
        return stored
    parts = {name: without_notes(part) for name, part in stored.items() if name != "exact"}
    return {name: part for name, part in parts.items() if (name, part) != ("meta", {})}


def without_codes(stored):
    (stored.get("meta") or {}).pop("dtypes_rle", None)
    return stored


def test_the_stored_form_is_that_of_the_library_but_for_the_notes(d, tmp_path):
    for value, plain in zip(KNOWN, library(KNOWN), strict=True):
        d["a"] = value
        stored = without_notes(json.loads((tmp_path / "a.json").read_text()))
        assert json.dumps(without_codes(stored)) == json.dumps(without_codes(json.loads(plain)))


def test_the_code_of_a_type_tells_its_size(d, tmp_path):
    d["a"] = pd.DataFrame({name: pd.Series([1], dtype=name) for name in ("int8", "u4", "f4", "f8")})
    stored = json.loads((tmp_path / "a.json").read_text())
    codes = [code for code, _ in stored["meta"]["dtypes_rle"]]
    assert codes == ["pd/i8", "pd/u32", "pd/f32", "pd/f64"]


@pytest.mark.parametrize(
    ("code", "number"),
    [("pd/i", -(2**63)), ("pd/in", 2**40), ("pd/u", 2**64 - 1), ("pd/f", 0.1)],
)
def test_numbers_of_an_uncertain_type_are_read_as_they_were_stored(d, tmp_path, code, number):
    """Each process of the library has its own idea of such a code."""
    d["a"] = pd.DataFrame({"x": [number]})
    stored = without_notes(json.loads((tmp_path / "a.json").read_text()))
    stored["meta"]["dtypes_rle"] = [[code, 1]]
    (tmp_path / "a.json").write_text(json.dumps(stored))
    assert d["a"].to_dict("list") == {"x": [number]}


def test_what_the_library_stored_is_read(d, tmp_path):
    values = [*KNOWN, pd.DataFrame({"t": ["a", "b", None], "n": [1, None, 2]})]
    for value, plain in zip(values, library(values), strict=True):
        (tmp_path / "a.json").write_text(plain)
        found = d["a"]
        assert cells(found) == cells(value)
        assert type(found) is type(value)


def test_the_library_reads_what_is_stored(d, tmp_path):
    stored = []
    for value in [*KNOWN, *TEXTS]:
        d["a"] = value
        stored.append((tmp_path / "a.json").read_text())
    for value, found in zip([*KNOWN, *TEXTS], library(stored), strict=True):
        assert cells(found) == cells(value)


def test_texts_that_the_library_lost_are_damage(d, tmp_path):
    """It stores a Series of the texts of Arrow without them; reading it may crash."""
    value = pd.Series(["a", "b"], dtype="string[pyarrow]")
    (tmp_path / "a.json").write_text(library([value])[0])
    with pytest.raises(DamagedItemError):
        d["a"]


def test_reading_leaves_the_missing_value_of_pandas_as_it_was(d):
    """The library would set attributes of it, and store them the next time."""
    d["a"] = pd.Index([1, None], dtype="Int64")
    assert d["a"][1] is pd.NA
    assert not [name for name in vars(pd.NA) if "NAType" in name]


def test_pandas_is_imported_for_its_values_only(tmp_path):
    """Without a warning; what a frame holds may be compressed, so that its bytes do not tell."""
    code = """
import sys
from persidict import FileDirDict
d = FileDirDict(base_dir=sys.argv[1], serialization_format="json")
d["b"] = {"x": [1, "pandas"]}
assert d["b"] == {"x": [1, "pandas"]}
assert "pandas" not in sys.modules
frame = d["a"]
d["a"] = frame
print(d["a"]["c"][59].tolist())
"""
    d = FileDirDict(base_dir=tmp_path, serialization_format="json")
    d["a"] = pd.DataFrame({"c": [np.arange(i) for i in range(1, 61)]})
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    assert subprocess.check_output(command, text=True).strip() == str([*range(60)])
