"""Handles for the upkeep of a store: to change items, and for what lies beside them."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

from persidict import (
    AppendOnlyDictCached,
    Codec,
    EmptyDict,
    LocalDict,
    MutableDictCached,
    PersiDict,
    WriteOnceDict,
    register_format,
)
from persidict_dask._stores import StoreRef

# An extension of its own: in "json" a note would be taken for the result by a store of that format.
NOTES_FORMAT = "provenance"
CLAIMS_FORMAT = "claim"
DAMAGED_FORMAT = "damaged"
RECORDS_FORMAT = "coordination"
PAYLOADS_FORMAT = "payload"


class _AsFound(Codec):
    """Bytes as they are."""

    def encode(self, value: bytes) -> bytes:
        return value

    def decode(self, data: bytes) -> bytes:
        return data


for name in (DAMAGED_FORMAT, PAYLOADS_FORMAT):
    register_format(name, _AsFound())


def truth_of(store: PersiDict[Any]) -> PersiDict[Any]:
    """Return the dictionary that holds the items, below all wrappers."""
    params = store.get_params()
    if isinstance(store, WriteOnceDict):
        return truth_of(params["wrapped_dict"])
    if isinstance(store, (AppendOnlyDictCached, MutableDictCached)) and "main_dict" in params:
        return truth_of(params["main_dict"])
    return store


def identity_of(store: PersiDict[Any]) -> Any:
    """Return what is the same for all handles of this process on one place."""
    truth = truth_of(store)
    if isinstance(truth, LocalDict):
        return id(truth.get_params()["backend"])
    try:
        return StoreRef.of(store)
    except TypeError:  # it has parts that cannot be named, such as a client: it is one of a kind
        return id(store)


def changeable(store: PersiDict[Any]) -> list[PersiDict[Any]]:
    """Return handles that may change items: on the truth first, then on each cache of it."""
    params = store.get_params()
    if isinstance(store, WriteOnceDict):
        return changeable(params["wrapped_dict"])
    if isinstance(store, AppendOnlyDictCached) and "main_dict" in params:
        return [*changeable(params["main_dict"]), *changeable(params["data_cache"])]
    if not store.append_only:
        return [store]
    return [type(store)(**(params | {"append_only": False}))]


def notes_beside(store: PersiDict[Any]) -> PersiDict[str]:
    """Return the dictionary of notes, JSON as text, under the same keys as the items."""
    notes = _beside(store, NOTES_FORMAT, str)
    if notes is None:
        return EmptyDict(serialization_format=NOTES_FORMAT, base_class_for_values=str)
    return notes


def damaged_beside(store: PersiDict[Any]) -> PersiDict[bytes]:
    """Return the dictionary of what was set aside, as it was found, under the same keys."""
    damaged = _beside(store, DAMAGED_FORMAT, bytes)
    if damaged is None:
        return EmptyDict(serialization_format=DAMAGED_FORMAT, base_class_for_values=bytes)
    return damaged


def claims_beside(store: PersiDict[Any]) -> PersiDict[str] | None:
    """Return the dictionary of claims, under the same keys as the items.

    `None` if they would be of no use: what is in memory belongs to one process, and what is not
    exact gives one claim to two.
    """
    if isinstance(truth_of(store), LocalDict):
        return None
    claims = _beside(store, CLAIMS_FORMAT, str)
    return claims if claims is not None and claims.is_exact else None


def records_beside(store: PersiDict[Any]) -> PersiDict[str]:
    """Return the dictionary of the records of coordination; as durable as the store."""
    return _beside_or_below(store, RECORDS_FORMAT, str)


def payloads_beside(store: PersiDict[Any]) -> PersiDict[bytes]:
    """Return the dictionary of what is too large for a record."""
    return _beside_or_below(store, PAYLOADS_FORMAT, bytes)


def _beside_or_below(store: PersiDict[Any], extension: str, kind: type) -> PersiDict[Any]:
    """Return a dictionary beside the items; among them, where a class knows no extensions.

    What goes wrong on the way is raised: somebody who took the other place would be alone there.
    """
    truth = truth_of(store)
    params = _params_beside(truth, extension, kind, relaxed=False)
    return truth.get_subdict(extension) if params is None else type(truth)(**params)


def check_carries_records(store: PersiDict[Any]) -> None:
    """Raise `TypeError` if records have no place in a store; costs no request."""
    truth = truth_of(store)
    is_beside = _params_beside(truth, RECORDS_FORMAT, str, relaxed=False) is not None
    if not is_beside and (truth.append_only or truth.base_class_for_values is not None):
        raise TypeError(
            f"{type(truth).__name__} takes no other serialization_format, so records would lie "
            "among its items, and it is append-only or takes values of one class only"
        )


def _beside(
    store: PersiDict[Any], extension: str, kind: type, *, relaxed: bool = True
) -> PersiDict[Any] | None:
    truth = truth_of(store)
    params = _params_beside(truth, extension, kind, relaxed=relaxed)
    if params is not None:
        with suppress(Exception):  # what lies there is of less importance than the items
            return type(truth)(**params)
    return None


def _params_beside(
    truth: PersiDict[Any], extension: str, kind: type, *, relaxed: bool
) -> dict[str, Any] | None:
    """Return the parameters of a dictionary beside; `None` if its class has no such ones."""
    params = truth.get_params()
    wanted: dict[str, Any] = {
        "append_only": False,
        "serialization_format": extension,
        "base_class_for_values": kind,
    }
    if relaxed and "durability" in params:
        wanted["durability"] = "relaxed"  # no result is lost with them
    with suppress(TypeError):  # a class of somebody else's
        inspect.signature(type(truth)).bind(**(params | wanted))
        return params | wanted
    return None
