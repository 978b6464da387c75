"""Writes that refuse those who held a lease before somebody else did."""

from __future__ import annotations

import copy
import threading
import weakref
from typing import Any

from persidict import (
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    NEVER_RETRIEVE,
    Joker,
    PersiDict,
)
from persidict_dask._errors import StaleTokenError
from persidict_dask._maintenance import truth_of
from persidict_dask.coordination._places import Place, whole

_read = threading.local()
_unrestricted: dict[int, PersiDict[Any]] = {}


def fenced_set(store: PersiDict[Any], key: Any, value: Any, *, token: int) -> None:
    """Write the item unless a higher token has written before: then `StaleTokenError`.

    Atomic: the token is kept in the item itself, which reads as the plain value (by whoever has
    `persidict_dask` installed). A write without a token, by `store[key] = value`, forgets the
    tokens before. Costs a read and a write, more in a race. Needs a store of format "pkl" or
    "json", or one in memory.
    `token` is `lease.token`.
    """
    whole("token", token)
    if isinstance(value, Joker):
        raise TypeError(f"{value!r} is no value")
    store = Place(store).store
    _check_format(store)
    store = _taking_tokens(store, value)
    while True:
        newest, etag = _newest(store, key)
        if newest > token:
            raise StaleTokenError(token, newest)
        written = store.set_item_if(
            key,
            value=_Fenced(value, token),
            condition=ETAG_IS_THE_SAME,
            expected_etag=etag,
            retrieve_value=NEVER_RETRIEVE,
        )
        if written.condition_was_satisfied:
            return


def fence(store: PersiDict[Any], key: Any) -> int:
    """Return the token of the last write of an item; 0 if that had none, or there is no item."""
    return _newest(store, key)[0]


def _newest(store: PersiDict[Any], key: Any) -> tuple[int, Any]:
    _read.token = 0
    found = store.get_with_etag(key)
    token = _read.token if found.resulting_etag is not ITEM_NOT_AVAILABLE else 0
    return token, found.resulting_etag


def _check_format(store: PersiDict[Any]) -> None:
    form = getattr(truth_of(store), "serialization_format", "pkl")
    if form not in ("pkl", "json"):
        raise TypeError(f"items of format {form!r} have no place for a token: use 'pkl' or 'json'")


def _taking_tokens(store: PersiDict[Any], value: Any) -> PersiDict[Any]:
    """Return a handle that takes values with tokens around them, if this value is allowed."""
    base = store.base_class_for_values
    if base is None:
        return store
    if not isinstance(value, base):
        raise TypeError(f"values must be {base.__name__}, not {type(value).__name__}")
    if id(store) not in _unrestricted:
        _unrestricted[id(store)] = _without_class(store)
        weakref.finalize(store, _unrestricted.pop, id(store), None)
    return _unrestricted[id(store)]


def _without_class(store: PersiDict[Any]) -> PersiDict[Any]:
    params = store.get_params()
    if "base_class_for_values" not in params:
        raise TypeError(
            f"a {type(store).__name__} with base_class_for_values has no place for a token: "
            "make it, and what it wraps, without that"
        )
    return type(store)(**(params | {"base_class_for_values": None}))


def _value(value: Any, token: int) -> Any:
    """Make the value of what was stored; who reads to see the token finds it in this thread."""
    _read.token = token
    return value


class _Fenced:
    """A value with a token, for the way into a store; what comes back is the value."""

    def __init__(self, value: Any, token: int) -> None:
        self._value = value
        self._token = token

    def __reduce_ex__(self, _: Any) -> Any:
        return _value, (self._value, self._token)

    def __deepcopy__(self, memo: dict[int, Any]) -> _InMemory:
        return _InMemory(copy.deepcopy(self._value, memo), self._token)


class _InMemory:
    """What a store in memory keeps of it; a copy is the value."""

    def __init__(self, value: Any, token: int) -> None:
        self._value = value
        self._token = token

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _value(copy.deepcopy(self._value, memo), self._token)
