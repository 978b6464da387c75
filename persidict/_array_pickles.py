"""Pickles that hold NumPy arrays, in the form of joblib; large arrays are read without a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from joblib import numpy_pickle

from persidict._buffers import Buffer, joined
from persidict.reducers import current_reducer

_SMALL = 1 << 16  # bytes; what is smaller is copied, and does not keep the whole buffer alive


def dump(value: Any) -> Buffer:
    """Return the stream that `joblib.dump` writes."""
    chunks = _Chunks()
    _Pickler(chunks).dump(value)
    return joined(chunks.parts, chunks.size)


def load(data: Buffer) -> Any:
    """Return what `joblib.load` reads; large arrays use the memory of `data` if it is writable."""
    return _Unpickler(_Reader(data)).load()


class _Chunks:
    """A file that keeps what is written, without moving it together each time."""

    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        self.parts.append(bytes(data))
        self.size += len(data)

    def write_array(self, array: Any) -> None:
        """Write the bytes of an array, which must not change before they are joined."""
        self.parts.append(memoryview(array.reshape(-1).view(np.uint8)))
        self.size += array.nbytes

    def tell(self) -> int:
        return self.size


class _Pickler(numpy_pickle.NumpyPickler):  # type: ignore[misc]
    """Writes what joblib's does; the memory of contiguous arrays is not copied piece by piece."""

    def reducer_override(self, obj: Any) -> Any:
        reducer = current_reducer()
        return NotImplemented if reducer is None else reducer(obj)

    def save(self, obj: Any) -> Any:
        if type(obj) is not np.ndarray or not _is_plain(obj):
            return super().save(obj)
        wrapper = self._create_array_wrapper(obj)
        numpy_pickle.Pickler.save(self, wrapper)
        if self.proto >= _FRAMED:
            self.framer.commit_frame(force=True)
        _write_padding(self.file_handle, wrapper.numpy_array_alignment_bytes)
        self.file_handle.write_array(obj if wrapper.order == "C" else obj.T)
        return None


_FRAMED = 4  # the first protocol of pickle with frames


def _is_plain(array: Any) -> bool:
    is_contiguous = array.flags.c_contiguous or array.flags.f_contiguous
    return is_contiguous and array.nbytes >= _SMALL and not array.dtype.hasobject


def _write_padding(file: _Chunks, alignment: int) -> None:
    """Fill up, so that the array lies aligned in the file; the first byte tells how much."""
    padding = alignment - (file.tell() + 1) % alignment
    file.write(bytes([padding]) + b"\xff" * padding)


class _Reader:
    """A file over a buffer, which can hand out parts of it as arrays."""

    def __init__(self, data: Buffer) -> None:
        self._data = data
        self._view = memoryview(data)
        self._position = 0

    def read(self, size: int) -> bytes:
        start, self._position = self._position, min(self._position + size, len(self._data))
        return bytes(self._view[start : self._position])

    def readline(self) -> bytes:
        end = self._data.find(b"\n", self._position) + 1 or len(self._data)
        return self.read(end - self._position)

    def array(self, dtype: Any, count: int) -> Any:
        """Return the next `count` elements, as a part of the buffer where that is wise."""
        start, size = self._position, count * dtype.itemsize
        if count < 0 or start + size > len(self._data):
            raise ValueError(f"the stream ends within an array of {size} bytes")
        self._position += size
        if not size:
            return np.empty(count, dtype)
        found = np.frombuffer(self._view, dtype, count, start)
        is_small = size < _SMALL or size < len(self._data) // 4
        return found.copy() if is_small or not (found.flags.carray) else found


class _Wrapper(numpy_pickle.NumpyArrayWrapper):  # type: ignore[misc]
    """Stands in the stream for an array, whose bytes come next."""

    def read(self, unpickler: Any, ensure_native_byte_order: bool) -> Any:
        array = super().read(unpickler, ensure_native_byte_order)
        # with NumPy 2, joblib returns a plain array
        return array.view(np.matrix) if self.subclass is np.matrix else array

    def read_array(self, unpickler: Any, ensure_native_byte_order: bool) -> Any:
        if self.dtype.hasobject:
            return super().read_array(unpickler, ensure_native_byte_order)
        reader = unpickler.file_handle
        if self.safe_get_numpy_array_alignment_bytes() is not None:
            reader.read(reader.read(1)[0])
        array = reader.array(self.dtype, math.prod(map(int, self.shape)))
        if self.order == "F":
            array = array.reshape(self.shape[::-1]).transpose()
        else:
            array = array.reshape(self.shape)
        return numpy_pickle._ensure_native_byte_order(array) if ensure_native_byte_order else array


class _Unpickler(numpy_pickle.NumpyUnpickler):  # type: ignore[misc]
    def __init__(self, reader: _Reader) -> None:
        super().__init__("", reader, ensure_native_byte_order=True)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return _Wrapper
        return super().find_class(module, name)
