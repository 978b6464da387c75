"""The `pkl` format: golden bytes, joblib's stream, and every compression on reading."""

import bz2
import decimal
import gzip
import io
import lzma
import pickle
import sys
import types
import zlib

import joblib
import lz4.frame
import numpy as np
import pytest
import xxhash

from persidict import FileDirDict
from tests.ids import stable

MAGIC = bytes.fromhex("04224D18")
STREAM_X = bytes.fromhex("8004 9505 00000000000000 8C0178 94 2E")
STREAM_1 = bytes.fromhex("8004 4B01 2E")
OLD_X = MAGIC + bytes.fromhex("4040C0 10000080") + STREAM_X + bytes(4)
OLD_1 = MAGIC + bytes.fromhex("4040C0 05000080") + STREAM_1 + bytes(4)
GOLDEN = [
    ("k_with", "x", "k_with_evik.pkl", OLD_X, STREAM_X),
    (("a", "b", "C.c"), 1, "a_btax/b_slvv/C.c_wlyb.pkl", OLD_1, STREAM_1),
]
each_golden = pytest.mark.parametrize(("key", "value", "file", "old", "stream"), GOLDEN)

# joblib leaves its reader of LZ4 open behind a closed file, which Python 3.13 reports
read_by_joblib = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@each_golden
def test_golden_bytes_with_a_checksum_of_the_content(tmp_path, key, value, file, old, stream):
    FileDirDict(base_dir=tmp_path)[key] = value
    data = (tmp_path / file).read_bytes()
    descriptor = bytes([0x44, 0x40])  # as in the old bytes, and "with content checksum"
    check = (xxhash.xxh32(descriptor).intdigest() >> 8) & 0xFF
    checksum = xxhash.xxh32(stream).intdigest().to_bytes(4, "little")
    assert data == MAGIC + descriptor + bytes([check]) + old[7:] + checksum


@pytest.mark.parametrize("value", [{"a": 1, "b": [1, 2]}, ["same"] * 999, b"x" * 10_000], ids=type)
def test_the_compressed_blocks_are_those_of_joblib(tmp_path, value):
    FileDirDict(base_dir=tmp_path, digest_len=0)["ours"] = value
    joblib.dump(value, tmp_path / "theirs", compress="lz4")
    ours, theirs = ((tmp_path / name).read_bytes() for name in ("ours.pkl", "theirs"))
    assert ours[7:-4] == theirs[7:]


@each_golden
def test_golden_bytes_without_a_checksum_are_read(tmp_path, key, value, file, old, stream):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(old)
    d = FileDirDict(base_dir=tmp_path)
    assert d[key] == value
    assert list(d) == [key]


class Point:
    """A class that can be pickled by reference."""

    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and self.x == other.x

    __hash__ = None


VALUES = {
    "none": None,
    "text": "é" * 300,
    "nested": {"a": [1, 2.5, (None, {"b": b"c"})], "b": {1, 2}, "a again": "a"},
    "repeated": ["same", "same", ("same",)],
    "large": [b"x" * 100_000, "y" * 200_000],
    "instance": [Point(1), Point([Point(2)])],
    "array": np.arange(10),
    "arrays": {"f": np.asfortranarray(np.eye(3)), "o": np.array(["a", None], dtype=object)},
    "big-array": np.arange(200_000, dtype="f4"),
    "zero-d": np.array(7),
    "empty-array": np.empty((0, 3)),
    "strided": np.arange(20)[::3],
    "structured": np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    "scalar": np.float64(1.5),
    "dates": np.array(["2020-01-01"], dtype="M8[D]"),
}
each_value = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, digest_len=0)


def same(found, value):
    """Equal in content, and every array of the same type, shape and order."""
    if isinstance(value, dict):
        return found.keys() == value.keys() and all(same(found[k], value[k]) for k in value)
    if not isinstance(value, np.ndarray):
        return type(found) is type(value) and found == value
    np.testing.assert_array_equal(found, value, strict=True)
    return found.flags.f_contiguous == np.array(value, order="K").flags.f_contiguous


def test_arrays_of_another_byte_order_keep_their_numbers(d):
    d["a"] = np.arange(5, dtype=">i4")
    assert d["a"].tolist() == [0, 1, 2, 3, 4]


@each_value
def test_the_stream_is_that_of_joblib(d, tmp_path, value):
    d["a"] = value
    expected = io.BytesIO()
    joblib.dump(value, expected)
    assert lz4.frame.decompress((tmp_path / "a.pkl").read_bytes()) == expected.getvalue()


@each_value
@read_by_joblib
def test_joblib_reads_what_we_write_and_we_read_it_back(d, tmp_path, value):
    d["a"] = value
    assert same(joblib.load(tmp_path / "a.pkl"), value)
    assert same(d["a"], value)


@each_value
@pytest.mark.parametrize(
    "compress", [0, "lz4", ("zlib", 9), ("zlib", 1), "gzip", "bz2", "lzma", "xz"], ids=stable
)
def test_whatever_joblib_writes_is_read(d, tmp_path, value, compress):
    joblib.dump(value, tmp_path / "a.pkl", compress=compress)
    assert same(d["a"], value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", [{"a": [1, "x", None, 1.5, b"y"]}, "text", 5, True, ()], ids=stable
)
def test_a_plain_pickle_is_read(d, tmp_path, protocol, value):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    assert same(d["a"], value)


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zlib.compress, lz4.frame.compress]
)
def test_a_pickle_compressed_with_the_standard_tools_is_read(d, tmp_path, compress):
    (tmp_path / "a.pkl").write_bytes(compress(pickle.dumps([1, "x"])))
    assert d["a"] == [1, "x"]


FIRST_BYTES = {
    "lz4": MAGIC,
    None: b"\x80\x04",
    "zlib": b"\x78",
    "gzip": b"\x1f\x8b",
    "bz2": b"BZ",
    "lzma": b"\x5d\x00",
    "xz": b"\xfd7zXZ",
}


@pytest.mark.parametrize(("compression", "first"), FIRST_BYTES.items(), ids=stable)
@read_by_joblib
def test_the_compression_can_be_chosen_and_every_dict_reads_it(tmp_path, compression, first):
    d = FileDirDict(base_dir=tmp_path, digest_len=0, compression=compression)
    d["a"] = VALUES["arrays"]
    assert (tmp_path / "a.pkl").read_bytes().startswith(first)
    assert same(FileDirDict(base_dir=tmp_path, digest_len=0)["a"], VALUES["arrays"])
    assert same(joblib.load(tmp_path / "a.pkl"), VALUES["arrays"])
    assert d.get_subdict("sub").compression == compression


def test_without_compression_the_file_is_the_stream(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0, compression=None)
    d["a"] = "x"
    assert (tmp_path / "a.pkl").read_bytes() == STREAM_X


@pytest.mark.parametrize("compression", ["zip", "LZ4", "", 3])
def test_an_unknown_compression_is_a_value_error_naming_the_known(tmp_path, compression):
    with pytest.raises(ValueError, match="lz4"):
        FileDirDict(base_dir=tmp_path, compression=compression)


@pytest.mark.parametrize("compression", FIRST_BYTES, ids=stable)
def test_equal_content_gives_equal_bytes(tmp_path, compression):
    d = FileDirDict(base_dir=tmp_path, digest_len=0, compression=compression)
    d["a"] = {"x": [1, 2, 3]}
    d["b"] = {"x": [1, 2, 3]}
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()


def test_functions_and_classes_of_modules_are_kept_by_reference(d):
    d["a"] = [len, Point, pickle.dumps]
    assert d["a"] == [len, Point, pickle.dumps]


def test_what_is_defined_inside_a_function_is_refused(d):
    class Inner:
        pass

    for value in (lambda: None, Inner, Inner()):
        with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
            d["a"] = value
    assert len(d) == 0


def test_values_can_be_written_while_numpy_is_being_imported(d, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", types.ModuleType("numpy"))
    d["a"] = decimal.Decimal(1)
    assert d["a"] == 1
