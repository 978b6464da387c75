"""Values inside of records: readable where JSON can say them, else pickled; large ones beside."""

from __future__ import annotations

import base64
import json
import pickle
import secrets
from contextlib import suppress
from typing import Any

from persidict import NonEmptySafeStrTuple
from persidict_dask.coordination._places import Place

_INLINE = 4096
"""Bytes; what is larger goes into an item of its own."""


def pack(place: Place, key: NonEmptySafeStrTuple, value: Any) -> dict[str, Any]:
    """Return what stands for the value in a record; writes an item first if it is large."""
    if _is_plain(value) and len(json.dumps(value)) <= _INLINE:
        return {"json": value}
    import cloudpickle

    data: bytes = cloudpickle.dumps(value)
    if len(data) <= _INLINE:
        return {"pickle": base64.b64encode(data).decode()}
    name = secrets.token_hex(8)
    place.payloads[NonEmptySafeStrTuple(key, name)] = data
    return {"item": name}


def unpack(place: Place, key: NonEmptySafeStrTuple, packed: dict[str, Any]) -> Any:
    """Return the value; `KeyError` if its item is gone, because the record was changed since."""
    if "json" in packed:
        return packed["json"]
    if "pickle" in packed:
        return pickle.loads(base64.b64decode(packed["pickle"]))
    return pickle.loads(place.payloads[NonEmptySafeStrTuple(key, packed["item"])])


def drop(place: Place, key: NonEmptySafeStrTuple, packed: dict[str, Any] | None) -> None:
    """Remove the item of a value that no record means any more; if that fails, it is left over."""
    if packed is None or "item" not in packed:
        return
    with suppress(Exception):
        place.payloads.discard(NonEmptySafeStrTuple(key, packed["item"]))


def _is_plain(value: Any, depth: int = 0) -> bool:
    """True if JSON gives back the same value, type by type, and it is short."""
    if value is None or type(value) is bool:
        return True
    if type(value) is int:
        return value.bit_length() < 1024
    if type(value) is float:
        return value - value == 0
    if type(value) is str:
        return len(value) <= _INLINE // 4 and value.isprintable()
    if depth > 3 or type(value) not in (list, dict) or len(value) > 32:
        return False
    inside = value if type(value) is list else [*value.values()]
    keys_are_plain = type(value) is list or all(type(k) is str for k in value)
    return keys_are_plain and all(_is_plain(each, depth + 1) for each in inside)
