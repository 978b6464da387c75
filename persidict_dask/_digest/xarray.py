"""Tokens of xarray objects: what `identical` compares, and their indexes; no encoding, no files.

Data that was opened lazily is read, but never kept in the object: that would change it.
"""

from __future__ import annotations

from typing import Any

from persidict_dask._digest.families import class_in
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.numpy import ndarray_token
from persidict_dask._digest.walk import Handler, Walker


def _variable(walker: Walker, variable: Any) -> bytes:
    data = variable.copy(deep=False).data  # the copy has a cache of its own
    is_numpy = type(data).__module__ == "numpy"
    parts = (
        class_in(walker, variable, "xarray"),
        walker.at(".dims", tuple(variable.dims)),
        walker.at(".attrs", dict(variable.attrs)),
        ndarray_token(walker, data) if is_numpy else walker.at(".data", data),
    )
    return frame_all(b"xarray.Variable", parts)


def _array(walker: Walker, array: Any) -> bytes:
    parts = (
        class_in(walker, array, "xarray"),
        walker.at(".name", array.name),
        walker.token(array.variable),
        _labels(walker, array),
    )
    return frame_all(b"xarray.DataArray", parts)


def _dataset(walker: Walker, dataset: Any) -> bytes:
    labels = set(dataset.coords)
    data = (pair for pair in dataset.variables.items() if pair[0] not in labels)
    parts = (
        class_in(walker, dataset, "xarray"),
        walker.mapping(b"data", data),
        walker.at(".attrs", dict(dataset.attrs)),
        _labels(walker, dataset),
    )
    return frame_all(b"xarray.Dataset", parts)


def _labels(walker: Walker, obj: Any) -> bytes:
    """Coordinates, and which of them have an index of which kind."""
    coordinates = walker.mapping(b"coords", obj.coords.variables.items())
    return coordinates + _groups(walker, obj.xindexes)


def _groups(walker: Walker, indexes: Any) -> bytes:
    """Each index with the names of the coordinates that it serves."""
    groups = sorted(
        walker.unordered(b"names", members) + walker.at(".xindexes", index)
        for index, members in indexes.group_by_index()
    )
    return frame_all(b"indexes", groups)


def _coordinates(walker: Walker, coords: Any) -> bytes:
    return frame(b"xarray.Coordinates", _labels(walker, coords.to_dataset()))


def _indexes(walker: Walker, indexes: Any) -> bytes:
    variables = walker.mapping(b"variables", indexes.variables.items())
    return frame(b"xarray.Indexes", variables + _groups(walker, indexes))


def _index(walker: Walker, index: Any) -> bytes:
    dtypes = getattr(index, "level_coords_dtype", None) or getattr(index, "coord_dtype", None)
    parts = (
        class_in(walker, index, "xarray"),
        walker.at(".index", index.index),
        walker.token(index.dim),
        walker.token(dtypes),
    )
    return frame_all(b"xarray.Index", parts)


def _tree(walker: Walker, node: Any) -> bytes:
    """A node knows its parents: all of the tree, and where in it the node is."""
    root = node.root
    nodes = ((part.path, part.to_dataset(inherit=False)) for part in root.subtree)
    place = (root.name, node.path)
    parts = (class_in(walker, node, "xarray"), walker.token(place), walker.mapping(b"nodes", nodes))
    return frame_all(b"xarray.DataTree", parts)


HANDLERS: dict[str, Handler] = {
    "Variable": _variable,
    "DataArray": _array,
    "Dataset": _dataset,
    "Coordinates": _coordinates,
    "Indexes": _indexes,
    "PandasIndex": _index,
    "DataTree": _tree,
}
