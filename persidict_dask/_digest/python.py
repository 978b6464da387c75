"""Tokens of Python's own types."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import functools
import io
import math
import re
import struct
import types
import uuid
from array import array
from collections.abc import Callable
from typing import Any

from persidict_dask._digest.frame import INLINE, frame, frame_all
from persidict_dask._digest.walk import SCALARS, Handler, Walker


def _int(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    payload = value.to_bytes(size, "little", signed=True)
    return b"int %d:%b" % (size, payload) if size <= INLINE else frame(b"int", payload)


_pack_double = struct.Struct("<d").pack
_NAN = _pack_double(float("nan"))


def _double(value: float) -> bytes:
    """One nan for all: which bits it has depends on the processor and on how it came to be."""
    return _pack_double(value) if value == value else _NAN


def _float(value: float) -> bytes:
    return b"float 8:" + _double(value)


def _complex(value: complex) -> bytes:
    return b"complex 16:" + _double(value.real) + _double(value.imag)


def _str(value: str) -> bytes:
    payload = value.encode("utf-8", "surrogatepass")
    size = len(payload)
    return b"str %d:%b" % (size, payload) if size <= INLINE else frame(b"str", payload)


def _bytes(value: bytes) -> bytes:
    return frame(b"bytes", value)


def _bytearray(_: Walker, value: bytearray) -> bytes:
    return frame(b"bytearray", memoryview(value))


def _by_text(tag: bytes) -> Callable[[Any], bytes]:
    return lambda value: frame(tag, str(value).encode())


def _constant(token: bytes) -> Callable[[Any], bytes]:
    return lambda _: token


SCALARS.update(
    {
        bool: lambda value: b"bool 1:1" if value else b"bool 1:0",
        int: _int,
        float: _float,
        complex: _complex,
        str: _str,
        bytes: _bytes,
        type(None): _constant(b"None 0:"),
        type(...): _constant(b"Ellipsis 0:"),
        type(NotImplemented): _constant(b"NotImplemented 0:"),
        decimal.Decimal: _by_text(b"Decimal"),
        fractions.Fraction: _by_text(b"Fraction"),
        uuid.UUID: lambda value: frame(b"UUID", value.bytes),
        dt.date: lambda value: frame(b"date", value.isoformat().encode()),
        dt.timedelta: lambda value: frame(
            b"timedelta", b"%d %d %d" % (value.days, value.seconds, value.microseconds)
        ),
    }
)


def _memoryview(_: Walker, view: memoryview) -> bytes:
    """By logical content: item format, shape, bytes in C order."""
    shape = ",".join(map(str, view.shape or ()))
    head = _str(view.format) + _str(shape)
    flat = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
    if view.format in _REALS:
        flat = _one_nan(array(view.format, flat.tobytes()))
    return frame(b"memoryview", head + frame(b"buffer", flat))


def _array(_: Walker, values: array[Any]) -> bytes:
    flat = _one_nan(values) if values.typecode in _REALS else memoryview(values).cast("B")
    return frame(b"array", _str(values.typecode) + frame(b"buffer", flat))


_REALS = ("f", "d")


def _one_nan(values: array[float]) -> memoryview:
    total = sum(values)
    if total != total:  # from nan, or from infinities of both signs
        values = array(values.typecode, (value if value == value else math.nan for value in values))
    return memoryview(values).cast("B")


def _keys(walker: Walker, view: Any) -> bytes:
    return walker.unordered(b"dict_keys", view)


def _items(walker: Walker, view: Any) -> bytes:
    return walker.mapping(b"dict_items", view)


def _values(walker: Walker, view: Any) -> bytes:
    """In their order: nothing else tells these values from others."""
    return walker.sequence(b"dict_values", view)


def _ordered_view(walker: Walker, view: Any) -> bytes:
    return walker.sequence(type(view).__name__.encode(), view)


def _tuple(walker: Walker, items: tuple[Any, ...]) -> bytes:
    return walker.sequence(b"tuple", items)


def _list(walker: Walker, items: list[Any]) -> bytes:
    return walker.sequence(b"list", items)


def _set(walker: Walker, items: set[Any]) -> bytes:
    return walker.unordered(b"set", items)


def _frozenset(walker: Walker, items: frozenset[Any]) -> bytes:
    return walker.unordered(b"frozenset", items)


def _dict(walker: Walker, pairs: dict[Any, Any]) -> bytes:
    return walker.mapping(b"dict", pairs.items())


def _mapping_proxy(walker: Walker, pairs: types.MappingProxyType[Any, Any]) -> bytes:
    return walker.mapping(b"mappingproxy", pairs.items())


def _ordered_dict(walker: Walker, pairs: collections.OrderedDict[Any, Any]) -> bytes:
    state = walker.attributes(b"state", vars(pairs).items())
    return frame(b"OrderedDict", walker.ordered_mapping(b"pairs", pairs.items()) + state)


def _deque(walker: Walker, items: collections.deque[Any]) -> bytes:
    return frame(b"deque", walker.token(items.maxlen) + walker.sequence(b"items", items))


def _slice(walker: Walker, part: slice) -> bytes:
    return _parts(walker, b"slice", part, ("start", "stop", "step"))


def _range(walker: Walker, part: range) -> bytes:
    return _parts(walker, b"range", part, ("start", "stop", "step"))


def _pattern(walker: Walker, pattern: re.Pattern[Any]) -> bytes:
    return _parts(walker, b"pattern", pattern, ("pattern", "flags"))


def _match(walker: Walker, match: re.Match[Any]) -> bytes:
    names = ("re", "string", "pos", "endpos", "regs", "lastindex")
    return _parts(walker, b"match", match, names)


def _struct(walker: Walker, layout: struct.Struct) -> bytes:
    return _parts(walker, b"Struct", layout, ("format",))


def _stream(walker: Walker, stream: io.BytesIO | io.StringIO) -> bytes:
    """Content and position; the attributes by themselves, as there may be a dict of none."""
    content: Any = stream.__getstate__()
    state = walker.attributes(b"state", vars(stream).items())
    return frame_all(type(stream).__name__.encode(), (walker.token(content[:-1]), state))


def _time(walker: Walker, moment: dt.time | dt.datetime) -> bytes:
    """Wall clock, fold and zone: two zones with one offset are not the same zone."""
    wall = moment.replace(tzinfo=None).isoformat()
    tag = type(moment).__name__.encode()
    zone = walker.at(".tzinfo", moment.tzinfo)
    return frame_all(tag, (_str(wall), _int(moment.fold), zone))


def _partial(walker: Walker, call: functools.partial[Any]) -> bytes:
    state = walker.attributes(b"state", vars(call).items())
    return _parts(walker, b"partial", call, ("func", "args", "keywords"), state)


def _method(walker: Walker, method: types.MethodType) -> bytes:
    return _parts(walker, b"method", method, ("__func__", "__self__"))


def _parts(
    walker: Walker, tag: bytes, obj: Any, names: tuple[str, ...], more: bytes = b""
) -> bytes:
    tokens = [walker.at(f".{name}", getattr(obj, name)) for name in names]
    return frame_all(tag, (*tokens, more))


_ORDERED: collections.OrderedDict[Any, Any] = collections.OrderedDict()
_ORDERED_VIEWS = (_ORDERED.keys(), _ORDERED.items(), _ORDERED.values())

EXACT: dict[type, Handler] = {
    bytearray: _bytearray,
    memoryview: _memoryview,
    array: _array,
    tuple: _tuple,
    list: _list,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
    types.MappingProxyType: _mapping_proxy,
    collections.OrderedDict: _ordered_dict,
    collections.deque: _deque,
    slice: _slice,
    range: _range,
    re.Pattern: _pattern,
    re.Match: _match,
    struct.Struct: _struct,
    io.BytesIO: _stream,
    io.StringIO: _stream,
    type({}.keys()): _keys,
    type({}.items()): _items,
    type({}.values()): _values,
    **dict.fromkeys(map(type, _ORDERED_VIEWS), _ordered_view),
    dt.time: _time,
    dt.datetime: _time,
    functools.partial: _partial,
    types.MethodType: _method,
}
