"""Timeouts: seconds from 0 on or None; everything else is an error that says so."""

from __future__ import annotations

import asyncio

import pytest

from persidict import FileDirDict
from persidict_dask import Barrier, Lease, RateLimiter, Semaphore, SharedValue, WorkQueue


def filled(d):
    queue = WorkQueue(d, "x")
    queue.put("item")
    return queue


WAITS = {
    "lease": lambda d, t: Lease(d, "x").acquire(timeout=t),
    "lease, async": lambda d, t: asyncio.run(Lease(d, "x").acquire_async(timeout=t)),
    "semaphore": lambda d, t: Semaphore(d, "x", limit=2).acquire(timeout=t),
    "semaphore, async": lambda d, t: asyncio.run(
        Semaphore(d, "x", limit=2).acquire_async(timeout=t)
    ),
    "barrier": lambda d, t: Barrier(d, "x", parties=1).wait(timeout=t),
    "barrier, async": lambda d, t: asyncio.run(Barrier(d, "x", parties=1).wait_async(timeout=t)),
    "queue": lambda d, t: filled(d).claim(timeout=t),
    "queue, async": lambda d, t: asyncio.run(filled(d).claim_async(timeout=t)),
    "rate": lambda d, t: RateLimiter(d, "x", rate=1).acquire(timeout=t),
    "rate, async": lambda d, t: asyncio.run(RateLimiter(d, "x", rate=1).acquire_async(timeout=t)),
    "value": lambda d, t: SharedValue(d, "x", 1).wait_for(bool, timeout=t),
    "value, async": lambda d, t: asyncio.run(SharedValue(d, "x", 1).wait_for_async(bool, t)),
}


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=str(tmp_path), durability="relaxed")


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("timeout", [-1, -0.001, float("-inf"), float("nan")])
def test_d11_a_timeout_that_is_none(d, what, timeout):
    """`-1` means for ever in the standard library, and a moment ago in other places."""
    with pytest.raises(ValueError, match=r"from 0 on, not .*None waits"):
        WAITS[what](d, timeout)
    assert len(d) == 0


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("timeout", ["1", True, [1]])
def test_d11_a_timeout_of_another_kind(d, what, timeout):
    with pytest.raises(TypeError, match="a number of seconds or None"):
        WAITS[what](d, timeout)


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("timeout", [0, 0.0, 5, float("inf"), None])
def test_d11_timeouts_that_are_some(d, what, timeout):
    WAITS[what](d, timeout)
