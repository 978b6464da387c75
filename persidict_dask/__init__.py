"""Persistent dictionaries as the persistence layer of Dask task graphs."""

from persidict_dask._digest import digest, register_digest
from persidict_dask._errors import ResultMismatchError, UnstableKeyError
from persidict_dask._explanation import Change, Explanation
from persidict_dask._persist import persist
from persidict_dask._persisted import PersistedFunction
from persidict_dask._stats import FunctionStats, process_stats
from persidict_dask._stores import StoreRef, open_store

__all__ = [
    "Change",
    "Explanation",
    "FunctionStats",
    "PersistedFunction",
    "ResultMismatchError",
    "StoreRef",
    "UnstableKeyError",
    "digest",
    "open_store",
    "persist",
    "process_stats",
    "register_digest",
]
