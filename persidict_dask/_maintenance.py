"""Handles for the upkeep of a store: some that may change items, one for notes beside them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from persidict import AppendOnlyDictCached, EmptyDict, MutableDictCached, PersiDict, WriteOnceDict

# An extension of its own: in "json" a note would be taken for the result by a store of that format.
NOTES_FORMAT = "provenance"


def truth_of(store: PersiDict[Any]) -> PersiDict[Any]:
    """Return the dictionary that holds the items, below all wrappers."""
    params = store.get_params()
    if isinstance(store, WriteOnceDict):
        return truth_of(params["wrapped_dict"])
    if isinstance(store, (AppendOnlyDictCached, MutableDictCached)) and "main_dict" in params:
        return truth_of(params["main_dict"])
    return store


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
    truth = truth_of(store)
    notes = {
        "append_only": False,
        "serialization_format": NOTES_FORMAT,
        "base_class_for_values": str,
    }
    with suppress(TypeError):  # a class of somebody else's that has no such parameters
        return type(truth)(**(truth.get_params() | notes))
    return EmptyDict(serialization_format=NOTES_FORMAT, base_class_for_values=str)
