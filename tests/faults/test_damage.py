"""A damaged file is an error of its own that names the item; never a value, never an absence."""

import contextlib
import os
import sys
from fractions import Fraction

import numpy as np
import pytest

from persidict import (
    BackendError,
    DamagedItemError,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    NonEmptySafeStrTuple,
    WriteOnceDict,
)
from tests.ids import stable

VALUE = {"station": "JFK", "delays": [3, 12, -4], "mean": 3.6667}
READS = {
    "[]": lambda d: d["k"],
    "get": lambda d: d.get("k"),
    "get_with_etag": lambda d: d.get_with_etag("k"),
    "setdefault": lambda d: d.setdefault("k", 1),
    "pop": lambda d: d.pop("k", None),
    "values": lambda d: list(d.values()),
    "items": lambda d: list(d.items()),
    "transform_item": lambda d: d.transform_item("k", transformer=lambda v: 1),
    "==": lambda d: d == {"k": 1},
}


@pytest.fixture
def d(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    d["k"] = VALUE
    return d


@pytest.fixture
def file(d, tmp_path):
    return tmp_path / "k.pkl"


def assert_damaged(d, what):
    with pytest.raises(DamagedItemError) as caught:
        value = d["k"]
        pytest.fail(f"{what} gives {value!r}")
    return caught.value


def flipped(whole):
    """Each way in which one bit of `whole` can be wrong."""
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bit, damaged


@pytest.mark.parametrize("value", ["x", 1, None, True], ids=stable)
def test_every_single_flipped_bit_is_found(d, file, pauses, value):
    d["k"] = value
    for bit, damaged in flipped(file.read_bytes()):
        file.write_bytes(damaged)
        assert_damaged(d, f"bit {bit}")
    assert pauses == []


@pytest.mark.parametrize("value", [VALUE, [1, "two", None], {"zeros": bytes(300)}], ids=stable)
def test_no_flipped_bit_of_a_compressed_item_gives_another_value(d, file, value):
    d["k"] = value
    harmless = 0
    for bit, damaged in flipped(file.read_bytes()):
        file.write_bytes(damaged)
        with contextlib.suppress(DamagedItemError):
            assert d["k"] == value, bit
            harmless += 1
    # the distance of a match within zeros makes no difference: a handful of bits, not more
    assert harmless <= 24


@pytest.mark.parametrize("compression", ["lz4", "gzip", "bz2", "xz", "zlib"])
def test_every_truncation_is_found(tmp_path, compression, pauses):
    d = FileDirDict(base_dir=tmp_path, digest_len=0, compression=compression)
    d["k"] = VALUE
    file = tmp_path / "k.pkl"
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert_damaged(d, f"{length} of {len(whole)} bytes")
    assert pauses == []


def test_every_truncation_of_an_uncompressed_item_is_found(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0, compression=None)
    d["k"] = VALUE
    whole = (tmp_path / "k.pkl").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "k.pkl").write_bytes(whole[:length])
        assert_damaged(d, f"{length} of {len(whole)} bytes")


def test_every_truncation_of_json_is_found(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0, serialization_format="json")
    d["k"] = VALUE
    whole = (tmp_path / "k.json").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "k.json").write_bytes(whole[:length])
        assert_damaged(d, f"{length} of {len(whole)} bytes")


@pytest.mark.parametrize(
    "foreign",
    [b"", b"\0" * 100, b"nonsense", b"\x80", b"\x80\x04.", b"\x04\x22\x4d\x18", b"N", b"\x1f\x8b"]
    + [b"cno.such.module\nName\n.", b"\x80\x04cbuiltins\nno_such_name\n.", b"\xff" * 1000],
    ids=stable,
)
def test_foreign_bytes_are_damage(d, file, foreign):
    file.write_bytes(foreign)
    assert_damaged(d, foreign)


def test_bytes_after_the_end_of_an_item_never_give_another_value(d, file):
    file.write_bytes(file.read_bytes() + b"more")
    with contextlib.suppress(DamagedItemError):
        assert d["k"] == VALUE


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_every_reading_operation_reports_the_damage(d, file, read, pauses):
    file.write_bytes(b"damaged")
    with pytest.raises(DamagedItemError):
        read(d)
    assert file.read_bytes() == b"damaged"
    assert pauses == []


def test_the_error_names_item_and_file(d, tmp_path):
    d["where", "exactly"] = 1
    file = tmp_path / "where" / "exactly.pkl"
    file.write_bytes(b"damaged")
    with pytest.raises(DamagedItemError) as caught:
        d["where", "exactly"]
    error = caught.value
    assert isinstance(error, BackendError)
    assert (error.backend, error.operation) == ("filesystem", "read")
    assert type(error.key) is NonEmptySafeStrTuple
    assert error.key == ("where", "exactly")
    assert str(file) in str(error)
    assert "'where', 'exactly'" in str(error)
    assert error.__cause__ is not None


class Awkward:
    """A value whose decoding raises what a caller could mistake for an absent key."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return fail, (self.error,)


def fail(error):
    raise error


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), FileNotFoundError(2, "x"), AttributeError("x"), StopIteration()],
    ids=stable,
)
def test_an_error_while_decoding_never_looks_like_an_absent_key(d, error):
    d["k"] = Awkward(error)
    assert_damaged(d, error)
    assert "k" in d
    with pytest.raises(DamagedItemError):
        d.get("k", "default")


def test_a_damaged_item_does_not_stop_what_reads_no_value(d, file):
    d["fine"] = 1
    file.write_bytes(b"damaged")
    assert sorted(key[0] for key in d) == ["fine", "k"]
    assert (len(d), "k" in d, d["fine"]) == (2, True, 1)
    assert d.etag("k") != ""
    assert d.timestamp("k") > 0


@pytest.mark.parametrize("repair", [lambda d: d.update(k=1), lambda d: d.discard("k")])
def test_a_damaged_item_can_be_replaced_and_removed(d, file, repair):
    file.write_bytes(b"damaged")
    repair(d)
    assert d.get("k", 1) == 1


def test_wrappers_let_the_error_pass(tmp_path):
    main = FileDirDict(base_dir=tmp_path, digest_len=0)
    cached = MutableDictCached(main_dict=main, data_cache=LocalDict(), etag_cache=LocalDict())
    frozen = FileDirDict(base_dir=tmp_path, digest_len=0, append_only=True)
    (tmp_path / "k.pkl").write_bytes(b"damaged")
    for wrapper in (cached, WriteOnceDict(wrapped_dict=frozen)):
        assert_damaged(wrapper, wrapper)


def test_running_out_of_memory_over_a_large_item_is_no_damage(d):
    d["k"] = [os.urandom(2**21), Awkward(MemoryError())]
    with pytest.raises(MemoryError):
        d["k"]


@pytest.mark.parametrize(
    "error",
    [
        RecursionError("maximum recursion depth exceeded"),
        ImportError("sys.meta_path is None, Python is likely shutting down"),
        KeyboardInterrupt(),
        SystemExit(),
    ],
    ids=stable,
)
def test_what_the_process_lacks_is_no_damage(d, file, error):
    d["k"] = Awkward(error)
    before = file.read_bytes()
    for read in READS.values():
        with pytest.raises(type(error)):
            read(d)
    assert file.read_bytes() == before


@pytest.mark.parametrize("serialization_format", ["pkl", "json"])
def test_no_item_is_damaged_near_the_end_of_the_stack(tmp_path, serialization_format):
    d = FileDirDict(base_dir=tmp_path, serialization_format=serialization_format)
    d["k"] = value = {"a": [1, {"b": np.arange(3).tolist()}], "c": Fraction(1, 3)}
    d["array"] = np.arange(3)
    seen = set()

    def read(key, depth):
        return read(key, depth - 1) if depth else d[key]

    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit):
        for key in ("k", "array"):
            try:
                found = read(key, depth)
                assert key == "array" or found == value
            except Exception as error:
                seen.add(type(error))
    assert seen == {RecursionError}


def test_no_small_item_is_damaged_because_memory_has_run_out(python, tmp_path):
    code = """
import resource, sys
from persidict import FileDirDict
d = FileDirDict(base_dir=sys.argv[1], digest_len=0)
d["k"] = bytes(50_000_000)  # 200 kB in the file
assert len(d["k"]) == 50_000_000
resource.setrlimit(resource.RLIMIT_AS, (60_000_000, resource.RLIM_INFINITY))
try:
    d["k"]
except MemoryError as error:
    print(type(error).__name__)
"""
    assert python(code, tmp_path) == "MemoryError"


def test_no_item_is_damaged_while_the_interpreter_ends(python, tmp_path):
    code = """
import sys
from persidict import FileDirDict
from decimal import Decimal
d = FileDirDict(base_dir=sys.argv[1], digest_len=0)
d["k"] = Decimal(3)

class Late:
    def __del__(self, read=d.__getitem__, print=print):
        try:
            print(read("k"))
        except BaseException as error:
            print([kind.__name__ for kind in type(error).__mro__])

late = Late()
late.itself = late
import builtins
builtins.late = late
del sys.modules["decimal"], Decimal
"""
    assert "DamagedItemError" not in python(code, tmp_path)


def test_a_small_item_that_asks_for_too_much_memory_is_damaged(d):
    d["k"] = Awkward(MemoryError())
    with pytest.raises(DamagedItemError, match="MemoryError"):
        d["k"]
