"""The same in coroutines: without threads that wait, and with cancellation at any moment."""

from __future__ import annotations

import asyncio

import pytest

from persidict_dask import (
    Barrier,
    DeadlockError,
    Lease,
    RateLimiter,
    Semaphore,
    SharedValue,
    WorkQueue,
)


def test_coroutines_take_turns(plain):
    inside, most = [], []

    async def work():
        async with Lease(plain, "x") as lease:
            inside.append(lease.token)
            most.append(len(inside))
            await asyncio.sleep(0)
            inside.pop()

    async def main():
        await asyncio.gather(*(work() for _ in range(40)))

    asyncio.run(main())
    assert most == [1] * 40


def test_hundreds_can_wait(plain):
    """More than there are threads: the one who holds it gets through."""

    async def main():
        lease = Lease(plain, "x")
        await lease.acquire_async()
        waiting = [asyncio.create_task(Lease(plain, "x").acquire_async(0.3)) for _ in range(200)]
        assert await asyncio.gather(*waiting) == [False] * 200
        await lease.release_async()

    asyncio.run(main())


@pytest.mark.parametrize("yields", range(12))
def test_whoever_is_cancelled_leaves_nothing_held(plain, yields):
    async def main():
        lease = Lease(plain, "x")
        task = asyncio.create_task(lease.acquire_async())
        for _ in range(yields):
            await asyncio.sleep(0.0001)
        task.cancel()
        [got] = await asyncio.gather(task, return_exceptions=True)
        if got is True:
            await lease.release_async()
        else:
            assert isinstance(got, asyncio.CancelledError)
        assert await Lease(plain, "x").acquire_async(timeout=20)

    asyncio.run(main())


def test_a_cancelled_waiter_leaves_nothing_held(plain):
    async def main():
        async with Lease(plain, "x"):
            tasks = [asyncio.create_task(Lease(plain, "x").acquire_async()) for _ in range(5)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert await Lease(plain, "x").acquire_async(timeout=20)

    asyncio.run(main())


def test_a_coroutine_cannot_wait_for_itself(plain):
    async def main():
        async with Lease(plain, "x") as lease:
            for again in (lease, Lease(plain, "x")):
                with pytest.raises(DeadlockError):
                    await again.acquire_async()

    asyncio.run(main())


def test_a_loss_is_raised(plain, far, no_heart):
    from persidict_dask import LeaseLost

    async def main():
        with pytest.raises(LeaseLost):
            async with Lease(plain, "x", ttl=0.05):
                assert await Lease(plain, "x").acquire_async(timeout=20)

    asyncio.run(main())


def test_the_others(plain):
    async def main():
        barrier = Barrier(plain, "b", parties=3)
        assert sorted(await asyncio.gather(*(barrier.wait_async(20) for _ in range(3)))) == [
            0,
            1,
            2,
        ]
        with pytest.raises(TimeoutError):
            await barrier.wait_async(0.01)
        async with Semaphore(plain, "s", limit=2) as semaphore:
            assert semaphore.held
        await RateLimiter(plain, "r", rate=1000).acquire_async()
        shared = SharedValue(plain, "v", 0)
        waiting = asyncio.create_task(shared.wait_for_async(lambda n: n == 1, timeout=20))
        shared.set(1)
        assert await waiting == 1
        queue = WorkQueue(plain, "q")
        assert await queue.claim_async() is None
        queue.put("x")
        assert (await queue.claim_async(timeout=20)).done()

    asyncio.run(main())


def test_a_barrier_that_is_cancelled_does_not_count(plain):
    async def main():
        barrier = Barrier(plain, "b", parties=2)
        task = asyncio.create_task(barrier.wait_async())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(TimeoutError):
            await barrier.wait_async(0.05)

    asyncio.run(main())
