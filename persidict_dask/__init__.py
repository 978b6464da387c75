"""Persistent dictionaries as the persistence layer of Dask task graphs."""

from persidict_dask import _needed as _needed  # isort: split

from persidict_dask._digest import digest, register_digest
from persidict_dask._errors import (
    AttemptLostError,
    CircuitOpenError,
    DeadlockError,
    LeaseLost,
    QuarantinedCallError,
    ResultMismatchError,
    StaleTokenError,
    UnstableKeyError,
)
from persidict_dask._explanation import Change, Explanation
from persidict_dask._install import Installed, install, worker_store
from persidict_dask._persist import persist
from persidict_dask._persisted import PersistedFunction
from persidict_dask._savings import process_stats
from persidict_dask._stats import FunctionStats
from persidict_dask._stores import StoreRef, open_store
from persidict_dask.cluster import Stats, stats
from persidict_dask.coordination import (
    Barrier,
    Counter,
    Lease,
    RateLimiter,
    Semaphore,
    SharedValue,
    WorkQueue,
    fenced_set,
)
from persidict_dask.retries import CircuitBreaker, DeadLetter, DeadLetters, RetryBudget, RetryPolicy

__all__ = [
    "AttemptLostError",
    "Barrier",
    "Change",
    "CircuitBreaker",
    "CircuitOpenError",
    "Counter",
    "DeadLetter",
    "DeadLetters",
    "DeadlockError",
    "Explanation",
    "FunctionStats",
    "Installed",
    "Lease",
    "LeaseLost",
    "PersistedFunction",
    "QuarantinedCallError",
    "RateLimiter",
    "ResultMismatchError",
    "RetryBudget",
    "RetryPolicy",
    "Semaphore",
    "SharedValue",
    "StaleTokenError",
    "Stats",
    "StoreRef",
    "UnstableKeyError",
    "WorkQueue",
    "digest",
    "fenced_set",
    "install",
    "open_store",
    "persist",
    "process_stats",
    "register_digest",
    "stats",
    "worker_store",
]
