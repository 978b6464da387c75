"""Tokens of pandas objects: index and columns one by one; blocks and storage do not count."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from persidict_dask._digest.arrow import arrow_token, text_token, texts_of, type_token
from persidict_dask._digest.families import class_in
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.numpy import array_token, dtype_token
from persidict_dask._digest.objects import reduced
from persidict_dask._digest.walk import Handler, Walker
from persidict_dask._errors import UnstableKeyError


def _frame(walker: Walker, table: Any) -> bytes:
    columns = (_series_values(walker, table, at) for at in range(table.shape[1]))
    parts = (
        class_in(walker, table, "pandas"),
        walker.at(".columns", table.columns),
        walker.at(".index", table.index),
        frame_all(b"values", columns),
        _extras(walker, table),
    )
    return frame_all(b"frame", parts)


def _series_values(walker: Walker, table: Any, at: int) -> bytes:
    try:
        return _values(walker, table.iloc[:, at].array)
    except UnstableKeyError as error:
        error.prepend(f"[{table.columns[at]!r}]")
        raise


def _series(walker: Walker, series: Any) -> bytes:
    parts = (
        class_in(walker, series, "pandas"),
        walker.at(".name", series.name),
        walker.at(".index", series.index),
        _values(walker, series.array),
        _extras(walker, series),
    )
    return frame_all(b"series", parts)


def _extras(walker: Walker, obj: Any) -> bytes:
    duplicates = obj.flags.allows_duplicate_labels
    own = {name: getattr(obj, name) for name in obj._metadata if name not in ("name", "_name")}
    return frame_all(
        b"extras",
        (
            walker.at(".attrs", obj.attrs),
            walker.token(duplicates),
            walker.attributes(b"own", own.items()),
        ),
    )


def _index(walker: Walker, index: Any) -> bytes:
    pd = sys.modules["pandas"]
    names = walker.at(".names", tuple(index.names))
    if isinstance(index, pd.MultiIndex):
        content = _levels(walker, index)
    elif isinstance(index, pd.RangeIndex):
        content = walker.token((index.start, index.stop, index.step))
    else:
        freq = getattr(index, "freqstr", None)
        content = _values(walker, index.array) + walker.token(freq)
    return frame_all(b"index", (class_in(walker, index, "pandas"), names, content))


def _levels(walker: Walker, index: Any) -> bytes:
    """Levels that are not used can be seen, as categories can; the width of codes cannot."""
    codes = (array_token(walker, each.astype("<i8")) for each in index.codes)
    levels = (walker.token(level) for level in index.levels)
    return frame_all(b"levels", levels) + frame_all(b"codes", codes)


def _values(walker: Walker, values: Any) -> bytes:
    """Token of a column."""
    head = _dtype(walker, values.dtype)
    for name, content in _KINDS.items():
        if any(base.__name__ == name for base in type(values).__mro__):
            return frame(b"column", head + content(walker, values))
    if _is_of_pandas(values):
        np = sys.modules["numpy"]
        return frame(b"column", head + array_token(walker, np.asarray(values, dtype=object)))
    return frame(b"column", head + reduced(walker, values))  # an extension array of somebody


def _dtype(walker: Walker, dtype: Any) -> bytes:
    """Token of a dtype: its text, and what that leaves out."""
    if isinstance(dtype, sys.modules["numpy"].dtype):
        return dtype_token(walker, dtype)
    name = type(dtype).__name__
    if name in _DTYPES:
        return frame(b"dtype", name.encode() + _DTYPES[name](walker, dtype))
    if _is_of_pandas(dtype):
        return frame(b"dtype", str(dtype).encode())
    parameters = ((key, getattr(dtype, key)) for key in dtype._metadata)  # what `==` goes by
    parts = (walker.token(str(dtype)), walker.attributes(b"parameters", parameters))
    return frame_all(b"dtype", (walker.class_token(type(dtype)), *parts))


def _is_of_pandas(obj: Any) -> bool:
    return bool(type(obj).__module__.partition(".")[0] == "pandas")


_DTYPES: dict[str, Callable[[Walker, Any], bytes]] = {
    "StringDtype": lambda walker, dtype: walker.token(repr(dtype.na_value)),  # whoever stores them
    "CategoricalDtype": lambda walker, dtype: (
        walker.token(dtype.ordered) + walker.at(".categories", dtype.categories)
    ),
    "DatetimeTZDtype": lambda walker, dtype: walker.token(dtype.unit) + walker.token(dtype.tz),
    "IntervalDtype": lambda walker, dtype: (
        walker.token(dtype.closed)
        + (b"" if dtype.subtype is None else _dtype(walker, dtype.subtype))
    ),
    "SparseDtype": lambda walker, dtype: (
        walker.token(dtype.fill_value) + _dtype(walker, dtype.subtype)
    ),
    "ArrowDtype": lambda walker, dtype: type_token(walker, dtype.pyarrow_dtype),
    "NumpyEADtype": lambda walker, dtype: dtype_token(walker, dtype.numpy_dtype),
}


def _plain(walker: Walker, values: Any) -> bytes:
    return array_token(walker, values.to_numpy())


def _categorical(walker: Walker, values: Any) -> bytes:
    return array_token(walker, values.codes.astype("<i8"))  # the categories stand in the dtype


def _masked(walker: Walker, values: Any) -> bytes:
    """What lies under the mask does not count."""
    missing = values.isna()
    data = values.to_numpy(dtype=values.dtype.numpy_dtype, na_value=values.dtype.type(0))
    return array_token(walker, data) + array_token(walker, missing)


def _moments(walker: Walker, values: Any) -> bytes:
    """Counts since the epoch; unit, zone or frequency stand in the dtype."""
    return array_token(walker, values.asi8)


def _intervals(walker: Walker, values: Any) -> bytes:
    return walker.token(values.left) + walker.token(values.right)


def _sparse(walker: Walker, values: Any) -> bytes:
    return array_token(walker, sys.modules["numpy"].asarray(values))


def _arrow(walker: Walker, values: Any) -> bytes:
    return arrow_token(walker, values.__arrow_array__())


def _strings(_: Walker, values: Any) -> bytes:
    np = sys.modules["numpy"]
    missing = values.isna()
    texts = [
        b"" if gap else text.encode("utf-8", "surrogatepass")
        for text, gap in zip(values.to_numpy(dtype=object), missing, strict=True)
    ]
    lengths = np.fromiter(map(len, texts), "<i8", len(texts)).tobytes()
    valid = (~missing).astype("u1").tobytes() if missing.any() else b""
    return text_token(frame(b"valid", valid), lengths, b"".join(texts))


def _arrow_strings(walker: Walker, values: Any) -> bytes:
    return texts_of(values.__arrow_array__())


_KINDS: dict[str, Callable[[Walker, Any], bytes]] = {
    "ArrowStringArray": _arrow_strings,
    "ArrowExtensionArray": _arrow,
    "BaseStringArray": _strings,
    "Categorical": _categorical,
    "BaseMaskedArray": _masked,
    "DatetimeLikeArrayMixin": _moments,
    "IntervalArray": _intervals,
    "SparseArray": _sparse,
    "NumpyExtensionArray": _plain,
}


def _column(walker: Walker, values: Any) -> bytes:
    return frame(b"array", class_in(walker, values, "pandas") + _values(walker, values))


def _helper(walker: Walker, helper: Any) -> bytes:
    """Groups and groupers keep what they have worked out under one name."""
    state = ((name, value) for name, value in vars(helper).items() if name != "_cache")
    parts = (walker.class_token(type(helper)), walker.attributes(b"state", state))
    return frame_all(b"helper", parts)


HANDLERS: dict[str, Handler] = {
    "DataFrame": _frame,
    "Series": _series,
    "Index": _index,
    "ExtensionArray": _column,
    "ExtensionDtype": _dtype,
    **dict.fromkeys(("BaseGroupBy", "BaseGrouper", "Grouping"), _helper),
}
