"""The `json` format: golden text, tags of jsonpickle, arrays and frames."""

import json
import os
import warnings

import numpy as np
import pandas as pd
import pytest

from persidict import DamagedItemError, FileDirDict
from tests.ids import stable

GOLDEN = {
    "s": ("str", '"str"'),
    "n": (None, "null"),
    "u": (
        {"é": "日本", "t": (1, 2)},
        (
            '{\n    "\\u00e9": "\\u65e5\\u672c",\n    "t": {\n        "py/tuple": [\n'
            "            1,\n            2\n        ]\n    }\n}"
        ),
    ),
}


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, serialization_format="json", digest_len=0)


@pytest.mark.parametrize("key", GOLDEN)
def test_golden_text(d, tmp_path, key):
    value, text = GOLDEN[key]
    d[key] = value
    assert (tmp_path / f"{key}.json").read_bytes() == text.encode("ascii")
    assert d[key] == value


def test_text_in_utf_8_is_read(d, tmp_path):
    (tmp_path / "a.json").write_bytes('{"é": "日本"}'.encode())
    assert d["a"] == {"é": "日本"}


def test_the_locale_does_not_matter(python, tmp_path):
    env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **os.environ}
    (tmp_path / "a.json").write_bytes('"日本"'.encode())
    code = """
from persidict import FileDirDict
d = FileDirDict(base_dir=".", serialization_format="json", digest_len=0)
d["b"] = d["a"]
print(ascii(d["a"]), ascii(d["b"]))
"""
    assert python(code, env=env) == r"'\u65e5\u672c' '\u65e5\u672c'"


def test_keys_that_are_no_strings_come_back_as_strings(d):
    d["a"] = {1: "x", None: "y", (1, 2): "z"}
    assert d["a"] == {"1": "x", "null": "y", "(1, 2)": "z"}


VALUES = [
    None,
    True,
    0,
    -(2**70),
    1.5,
    1e300,
    "",
    "é\n\x00😀",
    [],
    {},
    (),
    set(),
    [1, [2, [3]]],
    (1, ("x", None)),
    {1, 2},
    frozenset({1}),
    {"a": {"b": {"c": [1, (2,), {3}]}}},
    b"bytes",
    1 + 2j,
    float("inf"),
]


@pytest.mark.parametrize("value", VALUES, ids=stable)
def test_values_come_back_with_their_types(d, value):
    d["a"] = value
    assert d["a"] == value
    assert type(d["a"]) is type(value)


def test_tuples_sets_and_objects_are_tagged(d, tmp_path):
    d["a"] = {"t": (1,), "s": {1}, "o": Point(1)}
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["t"] == {"py/tuple": [1]}
    assert stored["s"] == {"py/set": [1]}
    assert stored["o"]["py/object"].endswith(".Point")
    assert d["a"]["o"].x == 1


class Point:
    """A class that can be imported."""

    def __init__(self, x):
        self.x = x


def test_an_object_that_stands_in_two_places_stays_one_object(d):
    shared = Point([1])
    d["a"] = {"one": shared, "two": shared}
    found = d["a"]
    assert found["one"] is found["two"]


def test_an_array_is_stored_with_type_and_values(d, tmp_path):
    d["a"] = np.arange(3, dtype="i4")
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["py/object"] == "numpy.ndarray"
    assert stored["dtype"] == "int32"
    assert stored["values"] == [0, 1, 2]


@pytest.mark.parametrize(
    "value",
    [np.arange(3), np.eye(2, dtype="f4"), np.array(["a", "b"]), np.float64(1.5), np.int8(3)],
    ids=stable,
)
def test_arrays_and_scalars_come_back(d, value):
    d["a"] = value
    assert type(d["a"]) is type(value)
    assert d["a"].dtype == value.dtype
    assert np.array_equal(d["a"], value)


def test_a_frame_is_stored_with_its_values(d, tmp_path):
    d["a"] = pd.DataFrame({"x": [1, 2]})
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["py/object"] == "pandas.DataFrame"
    assert {"values", "txt", "meta"} <= stored.keys()


WRITE = """
import numpy as np, pandas as pd
from persidict import FileDirDict
d = FileDirDict(base_dir=".", serialization_format="json")
d["array"], d["frame"] = np.arange(3), pd.DataFrame({"x": [1, 2]}, index=[5, 6])
d["nested"] = {"deep": [np.arange(2)]}
"""
READ = """
import sys
from persidict import FileDirDict
d = FileDirDict(base_dir=".", serialization_format="json")
assert "numpy" not in sys.modules
print(d["array"].tolist(), d["nested"]["deep"][0].tolist(), d["frame"].to_dict())
"""


def test_a_process_that_never_imported_the_library_reads_its_values(python):
    python(WRITE)
    assert python(READ) == "[0, 1, 2] [0, 1] {'x': {5: 1, 6: 2}}"


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"a": ',
        b"",
        b" ",
        b"\xff\xfe",
        b"nonsense",
        b"a: 1",
        b"- 1",
        b'"x',
        b"{'a': 1}",
        b"~",
        b"1 2",
    ],
)
def test_damage_in_text_is_an_error_that_names_the_item(d, tmp_path, damaged):
    (tmp_path / "name_of_item.json").write_bytes(damaged)
    with pytest.raises(DamagedItemError, match="name_of_item"):
        d["name_of_item"]


def test_reading_and_writing_gives_no_warnings(d):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        d["a"] = {"x": (1, 2)}
        assert d["a"] == {"x": (1, 2)}
