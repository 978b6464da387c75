"""Exact handlers of jsonpickle for pandas objects: its stored form, with notes in `meta`.

Each object is restored when it is stored, and refused unless it comes back as it was.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jsonpickle
import numpy as np
import pandas as pd
from jsonpickle.ext import pandas as library
from jsonpickle.handlers import BaseHandler, register
from jsonpickle.tags_pd import TYPE_MAP

_AS_NUMPY = (np.dtype, pd.PeriodDtype, pd.IntervalDtype, pd.DatetimeTZDtype)
_BY_EQUALITY = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    set,
    frozenset,
    np.generic,
    pd.offsets.BaseOffset,
)

# The library draws up its codes of types anew in each process: "pd/i" is int8 in one and int64 in
# the next. A code with the size in it is either right or, where unknown, leaves the numbers alone.
_SIZES = [("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)), ("float", (32, 64))]
_CERTAIN = {TYPE_MAP[f"{t}{bits}"]: f"pd/{t[0]}{bits}" for t, sizes in _SIZES for bits in sizes}
# Without notes, the type that no number is too large for; texts are not made of missing values.
_WIDEST = {"pd/i": "int64", "pd/in": "int64", "pd/u": "uint64", "pd/f": "float64", "np/s": "object"}


def register_handlers() -> None:
    """Register the handlers of jsonpickle for pandas, some of them made exact."""
    # calls within the library leave out an argument whose default is going to change
    warnings.filterwarnings("ignore", "keys will", DeprecationWarning, r"jsonpickle\.ext\.pandas")
    handlers = {
        pd.DataFrame: _FrameHandler,
        pd.Series: _SeriesHandler,
        pd.Index: _IndexHandler,
        pd.PeriodIndex: _IndexHandler,
        pd.MultiIndex: _IndexHandler,
        pd.Timestamp: _TimestampHandler,
        pd.Period: library.PandasPeriodHandler,
        pd.Interval: library.PandasIntervalHandler,
        type(pd.NA): _NAHandler,
        pd.arrays.ArrowExtensionArray: _ArrowHandler,
    }
    for cls, handler in handlers.items():
        register(cls, handler, base=True)


class _IndexHandler(library.PandasIndexHandler):  # type: ignore[misc]
    def flatten(self, obj: Any, data: Any) -> Any:
        names = "names" if isinstance(obj, pd.MultiIndex) else "name"
        meta = {"dtype": str(obj.dtype), names: _plain(getattr(obj, names))}
        meta["exact"] = _encoded(_index_note(obj))
        self.pp.flatten_pandas(_encoded(obj.tolist(), keys=False), data, meta)
        return _checked(obj, data, lambda: _same(obj, self.restore(data)))

    def restore(self, data: Any) -> Any:
        text, meta = self.pp.restore_pandas(data)
        return _index(text, _decoded(meta["exact"])) if "exact" in meta else super().restore(data)


class _FrameHandler(library.PandasDfHandler):  # type: ignore[misc]
    def flatten(self, obj: Any, data: Any) -> Any:
        return _checked(obj, data, lambda: _same(obj, self.restore(self._stored(obj, data))))

    def _stored(self, obj: Any, data: Any) -> Any:
        # as objects, because the library makes the text "nan" of a missing one
        texts = [c for c, dtype in obj.dtypes.items() if isinstance(dtype, pd.StringDtype)]
        super().flatten(obj.astype(dict.fromkeys(texts, object)), data)
        dtypes = [_dtype_note(dtype) for dtype in obj.dtypes]
        note = {"dtypes": dtypes, "index": _index_note(obj.index), "attrs": obj.attrs}
        note |= {"columns": _index_note(obj.columns)}
        names = {name: _plain(data["meta"][name]) for name in ("index_names", "column_names")}
        data["meta"] = _recoded(data["meta"], _CERTAIN) | names | {"exact": _encoded(note)}
        return data

    def restore(self, obj: Any) -> Any:
        text, meta = self.pp.restore_pandas(obj)
        if "exact" not in meta:
            types = {code: TYPE_MAP[name] for code, name in _WIDEST.items()}
            return super().restore(obj | {"meta": _recoded(meta, types)})
        note, codes = _decoded(meta["exact"]), library.rle_decode(meta["dtypes_rle"])
        index, labels = (_index(meta[axis], note[axis]) for axis in ("index", "columns"))
        # jsonpickle writes the keys that are texts before the others
        order = sorted(range(len(labels)), key=lambda i: not isinstance(labels[i], str))
        columns = dict.fromkeys(range(len(labels)))
        for i, stored in zip(order, _decoded(text).values(), strict=True):
            cells = [_decoded(c, keys=False) for c in stored] if codes[i] == "py/jp" else stored
            columns[i] = pd.Series(cells, index, _dtype(note["dtypes"][i]))
        frame = pd.DataFrame(columns, index)
        frame.columns, frame.attrs = labels, note["attrs"]
        return frame


class _SeriesHandler(library.PandasSeriesHandler):  # type: ignore[misc]
    def flatten(self, obj: Any, data: Any) -> Any:
        note = {"name": obj.name, "dtype": _dtype_note(obj.dtype), "attrs": obj.attrs}
        # the library stores an array; where it is not exact, there is a list of the cells
        array = obj.to_numpy() if isinstance(obj.dtype, _AS_NUMPY) else obj.array
        forms = (form for form in (array, obj.tolist()) if _comes_back(obj, form, note))
        if (values := next(forms, None)) is None:
            raise _refusal(obj)
        data["name"] = _plain(obj.name)
        data["index"] = self.context.flatten(obj.index, reset=False)
        data["values"] = self.context.flatten(values, reset=False)
        data["meta"] = {"exact": _encoded(note)}
        return data

    def restore(self, data: Any) -> Any:
        if "meta" not in data:
            return super().restore(data)
        # in the order of storing, which numbers the references
        index = self.context.restore(data["index"], reset=False)
        values = self.context.restore(data["values"], reset=False)
        return _series(values, index, _decoded(data["meta"]["exact"]))


class _TimestampHandler(library.PandasTimestampHandler):  # type: ignore[misc]
    def flatten(self, obj: Any, data: Any) -> Any:
        super().flatten(obj, data)
        zone = str(obj.tz)
        if zone in ("None", "UTC") or str(self.restore(data).tz) == zone:
            return data
        data["meta"]["tz"] = zone  # in the ISO format it is an offset
        return _checked(obj, data, lambda: str(self.restore(data).tz) == zone)

    def restore(self, data: Any) -> Any:
        zone, stamp = data["meta"].get("tz"), super().restore(data)
        return stamp.tz_convert(zone) if zone else stamp


class _ArrowHandler(BaseHandler):  # type: ignore[misc]
    """Refuses arrays in the memory of Arrow, which is stored empty; reading it may crash."""

    def flatten(self, obj: Any, data: Any) -> Any:
        raise _refusal(obj)

    def restore(self, data: Any) -> Any:
        raise TypeError("the contents of this array were not stored")


class _NAHandler(BaseHandler):  # type: ignore[misc]
    """Keeps jsonpickle from setting attributes of the one and only NA when it restores it."""

    def flatten(self, obj: Any, data: Any) -> Any:
        return data | {"__module__": "pandas"}

    def restore(self, data: Any) -> Any:
        return pd.NA


def _refusal(obj: Any) -> TypeError:
    return TypeError(f"json cannot give this {type(obj).__name__} back as it is: use pkl")


def _checked(obj: Any, data: Any, comes_back: Callable[[], bool]) -> Any:
    try:
        same = comes_back()
    except Exception as error:
        raise _refusal(obj) from error
    if not same:
        raise _refusal(obj)
    return data


def _comes_back(obj: Any, form: Any, note: Any) -> bool:
    with suppress(Exception):  # whatever it is, the form will not do
        cells = _decoded(_encoded(form, keys=False), keys=False)
        return _same(obj, _series(cells, obj.index, _decoded(_encoded(note))))
    return False


def _same(one: Any, two: Any) -> bool:
    """Return True if nothing but identity tells them apart."""
    if type(one) is not type(two):
        return False
    if isinstance(one, _BY_EQUALITY):
        return bool(one == two or (one != one and two != two))
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, (dict, np.ndarray, pd.DataFrame, pd.Series, pd.Index)):
        return _same(_parts(one), _parts(two)) and _same_cells(one, two)
    return one is two or _encoded(one) == _encoded(two)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.items()]
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, pd.Index):
        return [list(value.names), getattr(value, "freq", None)]
    if isinstance(value, pd.Series):
        return [value.name, value.index, value.attrs]
    columns = [value.iloc[:, i] for i in range(value.shape[1])]
    return [value.index, value.columns, value.attrs, columns]


def _same_cells(one: Any, two: Any) -> bool:
    if not isinstance(one, (pd.Series, pd.Index)):
        return True  # they are among the parts
    if _dtypes(one) != _dtypes(two):
        return False
    if isinstance(one, pd.MultiIndex):
        # by column, as a level may or may not hold a missing label, which makes no difference
        columns = ([x.get_level_values(i) for i in range(x.nlevels)] for x in (one, two))
        known = (
            found.isin(level).all() for level, found in zip(one.levels, two.levels, strict=True)
        )
        return all(map(_same_cells, *columns)) and all(known)
    return _same(one.tolist(), two.tolist()) if one.dtype == object else bool(one.equals(two))


def _encoded(value: Any, *, keys: bool = True) -> str:
    return json.dumps(jsonpickle.Pickler(keys=keys).flatten(value))


def _decoded(text: str, *, keys: bool = True) -> Any:
    return jsonpickle.Unpickler(keys=keys, on_missing="error").restore(json.loads(text))


def _plain(name: Any) -> Any:
    """Return a name, or names, in the form of the library, which JSON has to know."""
    return json.loads(json.dumps(name, default=str))


def _recoded(meta: dict[str, Any], codes: dict[str, str]) -> dict[str, Any]:
    runs = [[codes.get(code, code), length] for code, length in meta.get("dtypes_rle", ())]
    return meta | {"dtypes_rle": runs} if runs else meta


def _dtypes(column: Any) -> list[Any]:
    return [level.dtype for level in getattr(column, "levels", [column])]


def _freq(index: Any) -> Any:
    return getattr(index, "freqstr", None) if index.dtype.kind in "mM" else None


def _dtype_note(dtype: Any) -> Any:
    if isinstance(dtype, pd.CategoricalDtype):
        return {"categories": dtype.categories, "ordered": dtype.ordered}
    if isinstance(dtype, pd.ArrowDtype) and str(dtype) == "string[pyarrow]":
        return "text of Arrow"  # its name is that of another type
    for name in (str(dtype), f"{dtype.name}[{getattr(dtype, 'storage', '')}]"):
        with suppress(TypeError, ValueError, NotImplementedError):
            if pd.api.types.pandas_dtype(name) == dtype:
                return name
    return None


def _dtype(note: Any) -> Any:
    if isinstance(note, dict):
        return pd.CategoricalDtype(note["categories"], note["ordered"])
    if note == "text of Arrow":
        import pyarrow as pa

        return pd.ArrowDtype(pa.string())
    dtype = pd.api.types.pandas_dtype(note) if note else None
    # "str" of pandas 3: an earlier one would make a text of a missing value
    return object if getattr(dtype, "kind", None) == "U" else dtype


def _index_note(index: Any) -> dict[str, Any]:
    if isinstance(index, pd.RangeIndex):
        return {"range": [index.start, index.stop, index.step], "names": list(index.names)}
    dtypes = [_dtype_note(dtype) for dtype in _dtypes(index)]
    multi = isinstance(index, pd.MultiIndex)
    return {"dtypes": dtypes, "names": list(index.names), "multi": multi, "freq": _freq(index)}


def _index(text: str, note: dict[str, Any]) -> Any:
    if "range" in note:
        return pd.RangeIndex(*note["range"], name=note["names"][0])
    cells, dtypes = _decoded(text), [_dtype(dtype) for dtype in note["dtypes"]]
    if note["multi"]:
        columns = list(zip(*cells, strict=True)) or [()] * len(dtypes)
        levels = [_level([*c], dtype) for c, dtype in zip(columns, dtypes, strict=True)]
        index = pd.MultiIndex.from_arrays(levels)
        pairs = zip(index.levels, dtypes, strict=True)
        typed = [level if dtype is None else level.astype(dtype) for level, dtype in pairs]
        index = index.set_levels(typed, verify_integrity=False)
    else:
        index = _level(cells, dtypes[0])
    if note["freq"]:
        index.freq = note["freq"]
    index.names = note["names"]
    return index


def _level(cells: list[Any], dtype: Any) -> Any:
    with suppress(ValueError):  # a level of numbers may lack some, but no index of them
        return pd.Index(cells, dtype=dtype, tupleize_cols=False)
    return pd.Index(cells, dtype=object, tupleize_cols=False)


def _series(cells: Any, index: Any, note: dict[str, Any]) -> Any:
    series = pd.Series(cells, index, _dtype(note["dtype"]), note["name"])
    series.attrs = note["attrs"]
    return series
