"""Large arrays: the form of joblib, read without a copy where that is safe."""

import io
import pickle

import joblib
import numpy as np
import pytest

from persidict import DamagedItemError, FileDirDict
from persidict._codecs import PickleCodec

LARGE = 30_000
CODECS = {name: PickleCodec(name) for name in (None, "lz4", "zlib", "gzip", "bz2", "lzma", "xz")}
RANDOM = np.random.default_rng(0)
RECORD = np.dtype([("a", "<f8"), ("b", "i2"), ("c", "S5")])
ARRAYS = {
    "float": RANDOM.random(LARGE),
    "fortran": np.asfortranarray(RANDOM.random((300, 100))),
    "three axes": RANDOM.random((30, 40, 50)),
    "strided": RANDOM.random(3 * LARGE)[::3],
    "transposed": RANDOM.random((300, 200)).T,
    "bool": RANDOM.random(4 * LARGE) > 0.5,
    "structured": np.zeros(LARGE, RECORD),
    "dates": np.arange(LARGE).astype("datetime64[s]"),
    "text": np.array(["ab", "c"] * LARGE),
    "swapped": RANDOM.random(LARGE).astype(">f8"),
    "objects": np.array([None, "x", {"y": 1}] * 3000, dtype=object),
    "matrix": np.matrix(RANDOM.random((300, 100))),
    "no axes": np.array(3.5),
    "empty": np.empty((0, 5)),
    "small": np.arange(5),
    "two": [RANDOM.random(LARGE), "between", RANDOM.random((2, LARGE))],
}


def parts(value):
    return value if isinstance(value, list) else [value]


def assert_same(found, value):
    for mine, theirs in zip(parts(found), parts(value), strict=True):
        assert type(mine) is type(theirs)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)
            assert mine.dtype == theirs.dtype.newbyteorder("=")
            assert mine.shape == theirs.shape
            assert mine.flags.f_contiguous == theirs.flags.f_contiguous or not (
                theirs.flags.c_contiguous or theirs.flags.f_contiguous
            )
            assert mine.flags.writeable
            assert mine.flags.aligned


@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("codec", CODECS.values(), ids=map(str, CODECS))
def test_arrays_come_back(codec, value):
    assert_same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
def test_joblib_reads_what_we_write(value):
    for name, codec in CODECS.items():
        stored = codec.encode(value)
        if name is None:
            buffer = io.BytesIO()
            joblib.dump(value, buffer)
            assert stored == buffer.getvalue()
        # of which joblib itself, with NumPy 2, makes plain arrays
        plain = np.asarray(value) if isinstance(value, np.matrix) else value
        found = joblib.load(io.BytesIO(stored))
        assert_same(np.asarray(found) if plain is not value else found, plain)


@pytest.mark.parametrize("compress", [0, "lz4", "zlib", "gzip", "bz2", "lzma", "xz"])
@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
def test_what_joblib_writes_is_read(value, compress, tmp_path):
    joblib.dump(value, tmp_path / "file", compress=compress)
    assert_same(CODECS["lz4"].decode((tmp_path / "file").read_bytes()), value)


def test_a_stream_without_alignment_is_read(monkeypatch):
    """As joblib wrote it before 1.2; the array is copied to where it may lie."""
    from joblib import numpy_pickle

    value = ["x", RANDOM.random(LARGE)]
    original = numpy_pickle.NumpyArrayWrapper.__init__

    def old(self, *args, **kwargs):
        original(self, *args, **kwargs)
        del self.numpy_array_alignment_bytes

    monkeypatch.setattr(numpy_pickle.NumpyArrayWrapper, "__init__", old)
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    monkeypatch.undo()
    assert_same(CODECS[None].decode(buffer.getvalue()), value)
    assert_same(CODECS["lz4"].decode(CODECS["lz4"]._compress(buffer.getvalue())), value)


def test_a_large_array_is_a_part_of_what_was_decompressed():
    value = RANDOM.random(LARGE)
    found = CODECS["lz4"].decode(CODECS["lz4"].encode(value))
    assert isinstance(memory_of(found), bytearray)


def test_a_small_array_does_not_keep_a_large_buffer():
    small, large = CODECS["lz4"].decode(CODECS["lz4"].encode([np.arange(100), np.zeros(LARGE)]))
    assert memory_of(small) is None
    assert memory_of(large) is not None


def test_what_was_read_is_nobody_elses(tmp_path):
    for compression in ("lz4", None):
        d = FileDirDict(base_dir=tmp_path / str(compression), compression=compression)
        d["a"] = np.zeros(LARGE)
        d["a"][:] = 1
        first, second = d["a"], d["a"]
        first[:] = 2
        assert not second.any()
        assert not d["a"].any()


def memory_of(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return None if array.base is None else array.base.obj


@pytest.mark.parametrize("compression", ["lz4", None])
def test_a_truncated_array_is_damage(tmp_path, compression):
    d = FileDirDict(base_dir=tmp_path, compression=compression)
    d["a"] = RANDOM.random(LARGE)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for cut in (1, 100, len(whole) // 2, len(whole) - 200, len(whole) - 5):
        file.write_bytes(whole[:-cut])
        with pytest.raises(DamagedItemError):
            d["a"]


def test_every_changed_byte_of_an_array_is_noticed(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = RANDOM.random(20)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for index in range(len(whole)):
        damaged = bytearray(whole)
        damaged[index] ^= 0x55
        file.write_bytes(damaged)
        with pytest.raises(DamagedItemError):
            d["a"]


def test_a_shape_that_makes_no_sense_is_damage():
    stream = bytearray(CODECS[None].encode(np.zeros((3, 7, 1000))))
    place = stream.index(b"K\x03K\x07")
    stream[place + 3] = 200
    with pytest.raises(ValueError, match="ends within"):
        CODECS[None].decode(bytes(stream))


def test_large_frames_have_a_checksum_and_their_size():
    frame = CODECS["lz4"].encode(RANDOM.random(LARGE))
    assert frame[:4] == b"\x04\x22\x4d\x18"
    assert frame[4] & 0b1100 == 0b1100  # content size, content checksum


def test_without_arrays_the_stream_is_that_of_pickle():
    assert CODECS[None].encode({"a": [1, 2]}) == pickle.dumps({"a": [1, 2]})
