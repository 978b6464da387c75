"""Coordination of workers, on nothing but a store."""

from persidict_dask._errors import DeadlockError, LeaseLost, StaleTokenError
from persidict_dask.coordination._barrier import Barrier
from persidict_dask.coordination._claimed import Claim
from persidict_dask.coordination._counter import Counter
from persidict_dask.coordination._fencing import fence, fenced_set
from persidict_dask.coordination._inspection import Holder, Inspection, Primitive, inspect
from persidict_dask.coordination._lease import Lease
from persidict_dask.coordination._queue import WorkQueue
from persidict_dask.coordination._rate import RateLimiter
from persidict_dask.coordination._semaphore import Semaphore
from persidict_dask.coordination._shared import SharedValue
from persidict_dask.coordination._views import DeadItem

__all__ = [
    "Barrier",
    "Claim",
    "Counter",
    "DeadItem",
    "DeadlockError",
    "Holder",
    "Inspection",
    "Lease",
    "LeaseLost",
    "Primitive",
    "RateLimiter",
    "Semaphore",
    "SharedValue",
    "StaleTokenError",
    "WorkQueue",
    "fence",
    "fenced_set",
    "inspect",
]
