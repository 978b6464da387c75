"""Values to bytes and back: pickle, JSON and text, and the registry for further formats."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sys
import threading
import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from persidict._buffers import Buffer
from persidict.extras import is_installed
from persidict.reducers import current_reducer
from persidict.safe_chars import contains_unsafe_chars

BUILT_IN_FORMATS = ("pkl", "json")
DEFAULT_COMPRESSION = "lz4"


class Codec(ABC):
    """Turns values of one format into bytes and back; stateless, shared by threads."""

    content_type: str = "application/octet-stream"
    takes_buffers: bool = False
    """True if `decode` takes a `bytearray` or an `mmap` as well; large values come in one then."""

    @abstractmethod
    def encode(self, value: Any) -> Buffer:
        """Return the stored form; raises whatever tells that the value has none."""

    @abstractmethod
    def decode(self, data: bytes) -> Any:
        """Return the value; raises on bytes that `encode` cannot have made."""


class TextCodec(Codec):
    """Strings as UTF-8, byte for byte."""

    content_type = "text/plain"

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, str):
            raise TypeError(f"a text format stores str, not {type(value).__name__}")
        return value.encode("utf-8")

    def decode(self, data: bytes) -> Any:
        return data.decode("utf-8")


class JsonCodec(Codec):
    """Objects as the JSON text of jsonpickle, indented by 4; it takes what pickle takes."""

    content_type = "application/json"

    def encode(self, value: Any) -> bytes:
        import jsonpickle

        # jsonpickle writes null for a function and an empty shell for a lock; pickle refuses them
        pickle.Pickler(_Sink()).dump(value)
        _register_json_handlers(lambda name: name in sys.modules)
        # keys=False is spelled out because newer releases plan another default
        tree = jsonpickle.Pickler(keys=False, original_object=value).flatten(value)
        return json.dumps(tree, indent=4).encode("utf-8")

    def decode(self, data: bytes) -> Any:
        import jsonpickle

        # A stored array names its library, and needs the handler before the library is imported.
        _register_json_handlers(lambda name: f'"{name}.'.encode() in data)
        # not jsonpickle.decode, which tries other languages on what is not JSON
        tree = json.loads(data.decode("utf-8"))
        return jsonpickle.Unpickler(keys=False, on_missing="error").restore(tree)


class _Sink:
    """A file that keeps nothing."""

    def write(self, data: Any) -> None: ...


_json_handlers: set[str] = set()
_registering = threading.RLock()


def _register_json_handlers(wanted: Callable[[str], bool]) -> None:
    for name, register in (("numpy", _register_arrays), ("pandas", _register_frames)):
        # a frame is stored by way of arrays
        if (
            name in _json_handlers
            or not (wanted(name) or wanted("pandas"))
            or not is_installed(name)
        ):
            continue
        with _registering:
            if name not in _json_handlers:
                register()
                _json_handlers.add(name)


def _register_frames() -> None:
    import_module("persidict._json_pandas").register_handlers()


def _register_arrays() -> None:
    import numpy as np
    from jsonpickle.ext import numpy as library

    # the library restores the byte order in a way that NumPy 2.5 has deprecated
    message, module = "Setting the dtype", r"jsonpickle\.ext\.numpy"
    warnings.filterwarnings("ignore", message, DeprecationWarning, module)
    from jsonpickle.handlers import register

    class ArrayHandler(library.NumpyNDArrayHandlerView):  # type: ignore[misc]
        def __init__(self, context: Any) -> None:
            super().__init__()
            self.context = context  # the library's one handler of all threads forgets its own

        def restore(self, data: Any) -> Any:
            array = super().restore(data)
            if "base" in data:  # references count the values of a view too, and would go astray
                self.context.restore(data.get("values"), reset=False)
            return array

    library.register_handlers()
    register(np.ndarray, ArrayHandler, base=True)


class PickleCodec(Codec):
    """Objects as the pickle stream of joblib, compressed or not.

    Any compression is recognised on reading, whichever one is used for writing.
    """

    takes_buffers = True

    def __init__(self, compression: str | None) -> None:
        self._compress = _COMPRESSORS[compression]

    def encode(self, value: Any) -> Buffer:
        return self._compress(_pickled(value))

    def decode(self, data: Buffer) -> Any:
        return _unpickled(_decompressed(data))


_UNKNOWN = object()
_ARRAYS = ("ndarray", "matrix", "memmap")


class _HoldsArray(Exception):  # noqa: N818  # a signal, not an error
    """Only joblib's own pickler can write this value."""


class _PlainPickler(pickle.Pickler):
    """The C pickler, whose stream equals that of joblib's where there is no array.

    To the byte, but for the batches that large dicts, lists and sets are cut into.
    """

    _reducer: Any = _UNKNOWN  # numbers and texts do without it

    def reducer_override(self, obj: Any) -> Any:
        if self._reducer is _UNKNOWN:
            self._reducer = current_reducer()
        numpy = sys.modules.get("numpy")
        # without defaults, this would fail while another thread is still importing numpy
        if numpy is not None and any(type(obj) is getattr(numpy, n, None) for n in _ARRAYS):
            raise _HoldsArray
        return NotImplemented if self._reducer is None else self._reducer(obj)


def _pickled(value: Any) -> Buffer:
    buffer = io.BytesIO()
    try:
        _PlainPickler(buffer).dump(value)
    except _HoldsArray:
        return _array_pickles().dump(value)  # type: ignore[no-any-return]
    return buffer.getvalue()


def _unpickled(data: Buffer) -> Any:
    # arrays lie outside of the pickle, and the classes that stand for them are joblib's
    return pickle.loads(data) if data.find(b"joblib.") < 0 else _array_pickles().load(data)


def _array_pickles() -> Any:
    return import_module("persidict._array_pickles")


# Version 1, linked blocks of 64 KiB, checksum of the content: joblib's header and the checksum,
# without which most flipped bits of a small item go unnoticed.
_LZ4_HEADER = b"\x04\x22\x4d\x18\x44\x40\x5e"
_LZ4_BLOCK = 1 << 16


@cache
def _lz4() -> Any:
    return import_module("lz4.frame")


def _lz4_compress(data: Buffer) -> bytes:
    lz4 = _lz4()
    frame: bytes = lz4.compress(
        data,
        block_size=lz4.BLOCKSIZE_MAX64KB,
        block_linked=True,
        content_checksum=True,
        store_size=False,
    )
    # a single block is called independent by the library; linked means the same there
    return frame if frame.startswith(_LZ4_HEADER) else _LZ4_HEADER + frame[len(_LZ4_HEADER) :]


def _lz4_compress_any(data: Buffer) -> bytes:
    if len(data) <= _LZ4_BLOCK:
        return _lz4_compress(data)
    # larger blocks take less time; every reader of frames takes them
    lz4 = _lz4()
    return lz4.compress(  # type: ignore[no-any-return]
        data,
        block_size=lz4.BLOCKSIZE_MAX1MB,
        block_linked=False,
        content_checksum=True,
        store_size=True,
    )


def _lz4_decompress(data: Buffer) -> bytearray:
    # an array can be a part of memory that is writable
    return _lz4().decompress(data, return_bytearray=True)  # type: ignore[no-any-return]


_COMPRESSORS: dict[str | None, Callable[[Buffer], Buffer]] = {
    None: lambda data: data,
    "lz4": _lz4_compress_any,
    "zlib": lambda data: zlib.compress(data, 3),
    "gzip": lambda data: gzip.compress(data, 3, mtime=0),
    "bz2": lambda data: bz2.compress(data, 3),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE, preset=3),
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ, preset=3),
}

# A pickle begins with the opcode PROTO (0x80), or with a printable one in protocol 0, so only
# the first bytes of zlib and of the old lzma format need a look at more than the magic number.
_DECOMPRESSORS: tuple[tuple[bytes, Callable[[Buffer], Buffer]], ...] = (
    (b"\x04\x22\x4d\x18", _lz4_decompress),
    (b"\x78", zlib.decompress),
    (b"\x1f\x8b", gzip.decompress),
    (b"BZ", bz2.decompress),
    (b"\xfd7zXZ", lzma.decompress),
    (b"\x5d\x00", lzma.decompress),
)


def _decompressed(data: Buffer) -> Buffer:
    head = bytes(data[:6])
    for magic, decompress in _DECOMPRESSORS:
        if head.startswith(magic):
            return decompress(data)
    return data


_registered: dict[str, Codec] = {}


def register_format(name: str, codec: Codec) -> None:
    """Make `serialization_format=name` store values through `codec`, in this process.

    The name is the file extension. A name that is registered already is replaced; the built-in
    formats cannot be.
    """
    if not isinstance(codec, Codec):
        raise TypeError(f"codec must be a Codec, not {type(codec).__name__}")
    if name in BUILT_IN_FORMATS:
        raise ValueError(f"{name!r} is built in and cannot be replaced")
    if not name or contains_unsafe_chars(name):
        raise ValueError(f"{name!r} cannot be a file extension")
    _registered[name] = codec


def takes_any_value(serialization_format: str) -> bool:
    """True if the format is not restricted to strings."""
    return serialization_format in BUILT_IN_FORMATS or serialization_format in _registered


def codec_for(serialization_format: str, compression: str | None) -> Codec:
    """Return the codec of a format; unknown formats are text."""
    if compression not in _COMPRESSORS:
        known = ", ".join(repr(name) for name in _COMPRESSORS)
        raise ValueError(f"compression must be one of {known}; got {compression!r}")
    if serialization_format == "pkl":
        return PickleCodec(compression)
    if serialization_format == "json":
        return JsonCodec()
    return _registered.get(serialization_format) or TextCodec()
