"""Tokens of numpy and scipy.sparse: dtype, shape and content, whatever the memory layout."""

from __future__ import annotations

import sys
from typing import Any

from persidict_dask._digest.frame import Stream, frame, frame_all
from persidict_dask._digest.walk import Handler, Walker

_BLOCK = 1 << 16  # elements gathered at a time from an array that is not contiguous


def _numpy() -> Any:
    return sys.modules["numpy"]


def array_token(walker: Walker, array: Any) -> bytes:
    """Token of an array without its class: what frames, masks and matrices are made of.

    The order of bytes does not count: it is not the same on all machines, nor after pickling.
    """
    shape = ",".join(map(str, array.shape)).encode()
    dtype = array.dtype if array.dtype.kind == "T" else array.dtype.newbyteorder("<")
    if dtype.str != array.dtype.str:
        array = array.astype(dtype)
    head = _dtype_token(dtype) + frame(b"shape", shape)
    return frame(b"ndarray", head + _content(walker, array))


def _dtype_token(dtype: Any) -> bytes:
    if dtype.names is None:
        if dtype.subdtype is not None:
            return frame(b"dtype", _dtype_token(dtype.base) + str(dtype.shape).encode())
        return frame(b"dtype", (repr(dtype) if dtype.kind == "T" else dtype.str).encode())
    parts = b"".join(
        frame(b"name", name.encode())
        + _dtype_token(dtype.fields[name][0])
        + b"%d;" % dtype.fields[name][1]
        for name in dtype.names
    )
    return frame(b"struct", parts + b"%d;%d" % (dtype.itemsize, dtype.isalignedstruct))


def _content(walker: Walker, array: Any) -> bytes:
    dtype = array.dtype
    if dtype.names is not None:  # field by field: the padding between them is never set
        return frame_all(b"fields", (array_token(walker, array[name]) for name in dtype.names))
    if dtype.hasobject or dtype.kind == "T":
        return walker.sequence(b"items", array.ravel(order="C").tolist())
    if dtype.kind in "fc" and _has_padding(dtype):
        return _padded(array)
    if array.flags.c_contiguous:
        return frame(b"buffer", _bytes_of(array))
    return _gathered(array)


def _bytes_of(array: Any) -> memoryview:
    if not array.nbytes:
        return memoryview(b"")
    return memoryview(_numpy().asarray(array).reshape(-1).view("u1")).cast("B")


def _gathered(array: Any) -> bytes:
    """The bytes in C order, a block at a time."""
    stream = Stream()
    flags = ["external_loop", "buffered", "zerosize_ok"]
    blocks = _numpy().nditer(array, flags, order="C", buffersize=_BLOCK)
    for block in blocks:
        stream.add(block.tobytes())  # the iterator uses its buffer again
    return stream.token(b"buffer")


def _has_padding(dtype: Any) -> bool:
    """Extended doubles have 10 bytes of content in 16; the others are not set."""
    return bool(_numpy().finfo(dtype).nmant == 63)


def _padded(array: Any) -> bytes:
    parts = _numpy().ascontiguousarray(array).reshape(-1).view("g").view("u1").reshape(-1, 16)
    return frame(b"buffer", parts[:, :10].tobytes())


def _array(walker: Walker, array: Any) -> bytes:
    return array_token(walker, array)


def _subclass(walker: Walker, array: Any) -> bytes:
    """An array class of somebody: its class, its content and its attributes."""
    cls = type(array)
    if cls.__module__.partition(".")[0] == "numpy" and cls.__name__ == "memmap":
        return array_token(walker, array)  # where the bytes are kept does not count
    base = array_token(walker, _numpy().asarray(array))
    state = walker.attributes(b"state", getattr(array, "__dict__", {}).items())
    return frame_all(b"arraylike", (walker.known_class(cls), base, state))


def _ndarray(walker: Walker, array: Any) -> bytes:
    exact = type(array) is _numpy().ndarray
    return array_token(walker, array) if exact else _subclass(walker, array)


def _masked(walker: Walker, array: Any) -> bytes:
    """What lies under the mask does not count."""
    np = _numpy()
    if array is np.ma.masked:
        return frame(b"masked", b"")
    mask = np.ma.getmaskarray(array)
    data = np.array(np.ma.getdata(array), order="C", subok=False)
    if data.dtype.names is None:
        data[mask] = np.zeros((), data.dtype)
    else:
        for name in data.dtype.names:
            data[name][mask[name]] = np.zeros((), data.dtype[name])
    parts = (
        walker.known_class(type(array)),
        array_token(walker, data),
        array_token(walker, mask),
        array_token(walker, np.asarray(array.fill_value)),
    )
    return frame_all(b"masked", parts)


def _scalar(walker: Walker, value: Any) -> bytes:
    return frame(b"scalar", array_token(walker, _numpy().asarray(value)))


def _dtype(_: Walker, dtype: Any) -> bytes:
    return _dtype_token(dtype)


def _sparse(walker: Walker, matrix: Any) -> bytes:
    """Coordinates in their order with duplicates summed: the order of entries does not count."""
    entries = matrix.tocoo(copy=True)
    entries.sum_duplicates()
    coords = _numpy().asarray(entries.coords, dtype="<i8")
    parts = (
        walker.known_class(type(matrix)),
        walker.token(tuple(map(int, matrix.shape))),
        array_token(walker, coords),
        array_token(walker, entries.data),
    )
    return frame_all(b"sparse", parts)


HANDLERS: dict[str, Handler] = {
    "ndarray": _ndarray,
    "MaskedArray": _masked,
    "generic": _scalar,
    "dtype": _dtype,
}
SPARSE_HANDLERS: dict[str, Handler] = {"_spbase": _sparse, "spmatrix": _sparse}
