"""Tokens of zarr arrays and groups by content, which is read for it; chunks do not count."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.numpy import pieces_token
from persidict_dask._digest.objects import refuse
from persidict_dask._digest.walk import Handler, Walker

_SLAB = 1 << 24  # bytes read at a time


def _array(walker: Walker, array: Any) -> bytes:
    names = getattr(array.metadata, "dimension_names", None)
    parts = (
        walker.at(".attrs", array.attrs.asdict()),
        walker.token((names and tuple(names), array.fill_value)),
        pieces_token(walker, array.dtype, array.shape, _slabs(array)),
    )
    return frame_all(b"zarr.Array", parts)


def _slabs(array: Any) -> Iterator[Any]:
    """The array in C order, some whole chunks at a time."""
    np = sys.modules["numpy"]
    if not array.shape:
        yield np.asarray(array[...])
        return
    chunk = max(array.chunks[0], 1)
    bytes_of_chunk = chunk * array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=float))
    rows = chunk * max(_SLAB // max(bytes_of_chunk, 1), 1)
    for at in range(0, array.shape[0], rows):
        yield np.asarray(array[at : at + rows])


def _group(walker: Walker, group: Any) -> bytes:
    members = walker.mapping(b"members", group.members())
    return frame_all(b"zarr.Group", (walker.at(".attrs", group.attrs.asdict()), members))


def _asynchronous(walker: Walker, obj: Any) -> bytes:
    """The same as its synchronous face."""
    zarr = sys.modules["zarr"]
    is_array = hasattr(obj, "shape")
    return _array(walker, zarr.Array(obj)) if is_array else _group(walker, zarr.Group(obj))


def _attributes(walker: Walker, attributes: Any) -> bytes:
    return walker.mapping(b"zarr.Attributes", attributes.asdict().items())


def _store(_: Walker, store: Any) -> bytes:
    raise refuse(store, "what is in it may change: pass an array or a group, open for reading")


HANDLERS: dict[str, Handler] = {
    "Array": _array,
    "Group": _group,
    "AsyncArray": _asynchronous,
    "AsyncGroup": _asynchronous,
    "Attributes": _attributes,
    "Store": _store,
    "StorePath": _store,
}
