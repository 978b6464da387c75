"""Tokens of numpy and scipy.sparse: dtype, shape and content, whatever the memory layout."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from persidict_dask._digest.buffers import buffer_token
from persidict_dask._digest.families import class_in
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import Handler, Walker


def _numpy() -> Any:
    return sys.modules["numpy"]


def array_token(walker: Walker, array: Any) -> bytes:
    """Token of an array without its class: what frames, masks and matrices are made of."""
    return pieces_token(walker, array.dtype, array.shape, (array,))


def pieces_token(
    walker: Walker, dtype: Any, shape: tuple[int, ...], pieces: Iterable[Any]
) -> bytes:
    """The same of an array that arrives in pieces, one after the other in C order."""
    head = dtype_token(walker, dtype) + frame(b"shape", ",".join(map(str, shape)).encode())
    return frame(b"ndarray", head + _content(walker, dtype, pieces))


def dtype_token(walker: Walker, dtype: Any) -> bytes:
    """Token of a dtype: all that it says of the bytes and their names, metadata included."""
    meta = b"" if dtype.metadata is None else walker.at(".metadata", dict(dtype.metadata))
    if dtype.names is not None:
        return frame(b"struct", _struct(walker, dtype) + meta)
    if dtype.subdtype is not None:
        return frame(b"dtype", dtype_token(walker, dtype.base) + str(dtype.shape).encode() + meta)
    if dtype.kind == "T":
        missing = walker.at(".na_object", getattr(dtype, "na_object", ...))
        return frame(b"dtype", b"T%d" % dtype.coerce + missing + meta)
    return frame(b"dtype", dtype.str.encode() + _owner(walker, dtype) + meta)


def _owner(walker: Walker, dtype: Any) -> bytes:
    """Types that other libraries have added to numpy do not differ in their `str`."""
    return b"" if dtype.type.__module__ == "numpy" else walker.known_class(dtype.type)


def _struct(walker: Walker, dtype: Any) -> bytes:
    parts = b"".join(_field(walker, name, *dtype.fields[name]) for name in dtype.names)
    layout = b"%d;%d" % (dtype.itemsize, dtype.isalignedstruct)
    return parts + layout + walker.known_class(dtype.type)


def _field(walker: Walker, name: str, dtype: Any, offset: int, title: Any = None) -> bytes:
    head = frame(b"name", name.encode()) + (b"" if title is None else walker.token(title))
    return head + dtype_token(walker, dtype) + b"%d;" % offset


def _content(walker: Walker, dtype: Any, pieces: Iterable[Any]) -> bytes:
    if dtype.names is not None:  # field by field: the padding between them is never set
        whole = _joined(pieces)
        return frame_all(b"fields", (array_token(walker, whole[name]) for name in dtype.names))
    if dtype.hasobject or dtype.kind == "T":
        items = (item for piece in pieces for item in piece.ravel(order="C").tolist())
        return walker.sequence(b"items", items)
    return buffer_token(pieces)


def _joined(pieces: Iterable[Any]) -> Any:
    found = list(pieces)
    return found[0] if len(found) == 1 else _numpy().concatenate(found)


def _subclass(walker: Walker, array: Any) -> bytes:
    """An array class of somebody: its class, its content and its attributes."""
    if type(array) is _numpy().memmap:
        return array_token(walker, array)  # where the bytes are kept does not count
    base = array_token(walker, _numpy().asarray(array))
    return frame_all(b"arraylike", (class_in(walker, array, "numpy"), base, _own(walker, array)))


def _own(walker: Walker, obj: Any) -> bytes:
    return walker.attributes(b"state", getattr(obj, "__dict__", {}).items())


def ndarray_token(walker: Walker, array: Any) -> bytes:
    """Token of an array or of an instance of one of its subclasses."""
    exact = type(array) is _numpy().ndarray
    return array_token(walker, array) if exact else _subclass(walker, array)


def _masked(walker: Walker, array: Any) -> bytes:
    """What lies under the mask does not count."""
    np = _numpy()
    if array is np.ma.masked:
        return frame(b"masked", b"")
    mask = np.ma.getmaskarray(array)
    data = np.array(np.ma.getdata(array), order="C", subok=False)
    _blank(data, mask)
    parts = (
        class_in(walker, array, "numpy"),
        array_token(walker, data),
        array_token(walker, mask),
        array_token(walker, np.asarray(array.fill_value)),
        walker.token(bool(array.hardmask)),
    )
    return frame_all(b"masked", parts)


def _blank(data: Any, mask: Any) -> None:
    """Zeros where the mask says so; records have a mask for each field, at every depth."""
    if data.dtype.names is None:
        data[mask] = _numpy().zeros((), data.dtype)
        return
    for name in data.dtype.names:
        _blank(data[name], mask[name])


def _scalar(walker: Walker, value: Any) -> bytes:
    array = _numpy().asarray(value)
    token = frame(b"scalar", array_token(walker, array))
    if type(value) is array.dtype.type:
        return token
    return frame_all(b"scalarlike", (class_in(walker, value, "numpy"), token, _own(walker, value)))


def _sparse(walker: Walker, matrix: Any) -> bytes:
    """Coordinates in their order with duplicates summed: the order of entries does not count."""
    entries = matrix.tocoo(copy=True)
    entries.sum_duplicates()
    coords = _numpy().asarray(entries.coords, dtype="<i8")
    parts = (
        class_in(walker, matrix, "scipy"),
        walker.token(tuple(map(int, matrix.shape))),
        array_token(walker, coords),
        array_token(walker, entries.data),
    )
    return frame_all(b"sparse", parts)


def _limits(walker: Walker, info: Any) -> bytes:
    """Of `finfo` and `iinfo`: all follows from the dtype, and is kept when asked for."""
    kind = dtype_token(walker, _numpy().dtype(info.dtype))
    return frame_all(b"limits", (walker.known_class(type(info)), kind))


def _tree(walker: Walker, tree: Any) -> bytes:
    """What `pickle` would take of a tree of scipy has padding in it that is never set."""
    numbers = (tree.leafsize, tree.size, None if tree.boxsize is None else tree.boxsize.tolist())
    parts = (
        walker.class_token(type(tree)),
        walker.token(numbers),
        array_token(walker, tree.data),
        array_token(walker, tree.indices),
    )
    return frame_all(b"tree", parts)


HANDLERS: dict[str, Handler] = {
    "ndarray": ndarray_token,
    "MaskedArray": _masked,
    "generic": _scalar,
    "dtype": dtype_token,
    "finfo": _limits,
    "iinfo": _limits,
}
SCIPY_HANDLERS: dict[str, Handler] = {
    "_spbase": _sparse,
    "spmatrix": _sparse,
    "cKDTree": _tree,
}
