"""Lengths of time are numbers of seconds or timedeltas, wherever one is taken."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from persidict import LocalDict
from persidict_dask import (
    Barrier,
    CircuitBreaker,
    Lease,
    RateLimiter,
    RetryBudget,
    RetryPolicy,
    Semaphore,
    SharedValue,
    WorkQueue,
    persist,
)

SETTINGS = {
    "persist": lambda d, t: persist(d, name="f", ttl=t)(abs_of),
    "lease": lambda d, t: Lease(d, "x", ttl=t),
    "semaphore": lambda d, t: Semaphore(d, "x", limit=1, ttl=t),
    "barrier": lambda d, t: Barrier(d, "x", parties=1, ttl=t),
    "queue": lambda d, t: WorkQueue(d, "x", ttl=t),
    "budget": lambda d, t: RetryBudget(d, "x", window=t),
    "breaker window": lambda d, t: CircuitBreaker(d, "x", window=t),
    "breaker reset": lambda d, t: CircuitBreaker(d, "x", reset=t),
    "policy": lambda d, t: RetryPolicy(deadline=t),
}
WAITS = {
    "lease": lambda d, t: Lease(d, "taken").acquire(timeout=t),
    "semaphore": lambda d, t: Semaphore(d, "taken", limit=1).acquire(timeout=t),
    "queue": lambda d, t: WorkQueue(d, "x").claim(timeout=t),
    "barrier": lambda d, t: Barrier(d, "x", parties=2).wait(timeout=t),
    "value": lambda d, t: SharedValue(d, "x").wait_for(bool, timeout=t),
    "rate": lambda d, t: RateLimiter(d, "x", rate=1e-3).acquire(n=9, timeout=t),
    "lease async": lambda d, t: asyncio.run(Lease(d, "taken").acquire_async(timeout=t)),
    "queue async": lambda d, t: asyncio.run(WorkQueue(d, "x").claim_async(timeout=t)),
}
NONSENSE = [("1", TypeError), (True, TypeError), (float("nan"), ValueError),
            (1j, TypeError), (np.timedelta64(1, "s"), TypeError)]  # fmt: skip


def abs_of(x):
    return abs(x)


@pytest.mark.parametrize("length", [timedelta(days=1), pd.Timedelta("1D")], ids=["std", "pandas"])
@pytest.mark.parametrize("make", SETTINGS.values(), ids=SETTINGS)
def test_r6_settings_take_timedeltas(tmp_path, make, length):
    """They mean what the number of seconds means, also to Dask and to who prints them."""
    url = str(tmp_path)
    with_number, with_delta = make(url, 86400), make(url, length)
    assert repr(with_delta) == repr(with_number)
    if hasattr(with_delta, "__dask_tokenize__"):
        assert with_delta.__dask_tokenize__() == with_number.__dask_tokenize__()
    assert repr(pickle.loads(pickle.dumps(with_delta))) == repr(with_delta)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_r6_timeouts_take_timedeltas(wait):
    """What does not come in time is `False`, `None` or `TimeoutError`."""
    store = LocalDict()
    Lease(store, "taken").acquire()
    Semaphore(store, "taken", limit=1).acquire()
    with contextlib.suppress(TimeoutError):
        assert not wait(store, timedelta(milliseconds=20))


@pytest.mark.parametrize(("given", "error"), NONSENSE, ids=repr)
@pytest.mark.parametrize("take", [*SETTINGS.values(), *WAITS.values()])
def test_r6_nonsense_is_refused_in_words(tmp_path, take, given, error):
    with pytest.raises(error, match="seconds or a timedelta"):
        take(str(tmp_path), given)


@pytest.mark.parametrize("length", [0, -1, timedelta(0), timedelta(days=-1)])
@pytest.mark.parametrize("make", SETTINGS.values(), ids=SETTINGS)
def test_r6_settings_are_more_than_nothing(tmp_path, make, length):
    with pytest.raises(ValueError, match="positive"):
        make(str(tmp_path), length)


def test_r6_a_result_is_old_after_the_timedelta(store, runs):
    f = persist(store, ttl=timedelta(hours=1))(lambda x: runs.append(x))
    f(1), f(1)
    assert runs == [1]
    for folder, _, files in os.walk(store.base_dir):
        for name in files:
            os.utime(os.path.join(folder, name), (1, 1))
    f(1)
    assert runs == [1, 1]
