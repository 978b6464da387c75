"""Persisted coroutine functions: taken for such by everybody, on one event loop and on clusters."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import pickle
import threading

import cloudpickle
import pytest

from persidict import FileDirDict
from persidict_dask import persist

MODULE = """
import asyncio
from counting import ran
from persidict_dask import persist

@persist("{cache}")
async def doubled(x):
    ran("doubled")
    await asyncio.sleep(0)
    return 2 * x
"""


class Gate:
    """Lets a coroutine wait in the middle; no part of a key."""

    def __init__(self):
        self.runs = []
        self.started, self.go_on = asyncio.Event(), asyncio.Event()

    def __persist_token__(self):
        return "gate"


def held(store, **options):
    gate = Gate()

    @persist(store, **options)
    async def slow(x):
        """Takes its time."""
        gate.runs.append(x)
        gate.started.set()
        await gate.go_on.wait()
        return [x]

    return slow, gate


def test_it_is_a_coroutine_function_for_everybody(store):
    slow, _ = held(store)
    assert inspect.iscoroutinefunction(slow)
    assert asyncio.iscoroutinefunction(slow)
    assert inspect.iscoroutinefunction(functools.partial(slow, 1))
    assert inspect.iscoroutinefunction(cloudpickle.loads(cloudpickle.dumps(slow)))
    assert not inspect.isfunction(slow)
    assert list(inspect.signature(slow).parameters) == ["x"]
    assert slow.__doc__ == "Takes its time."
    assert inspect.iscoroutinefunction(slow.__wrapped__)


def test_hits_and_misses(store):
    async def main():
        slow, gate = held(store)
        gate.go_on.set()
        assert await slow(1) == [1]
        assert await slow(x=1) == [1]
        assert gate.runs == [1]
        assert slow.store[slow.key_of(1)] == [1]
        assert await slow.refresh(1) == [1]
        assert gate.runs == [1, 1]
        assert slow.is_cached(1)
        assert slow.forget(1)
        assert not slow.is_cached(1)
        assert slow.stats().misses == 2

    asyncio.run(main())


def test_methods(store):
    class Model:
        def __init__(self, weight):
            self.weight = weight

        @persist(store)
        async def predict(self, x):
            return self.weight * x

    async def main():
        assert await Model(2).predict(3) == 6
        assert Model(2).predict.is_cached(3)
        assert not Model(3).predict.is_cached(3)
        assert inspect.iscoroutinefunction(Model(2).predict)

    asyncio.run(main())


def test_calls_on_one_loop_share_a_run(store):
    async def main():
        slow, gate = held(store)
        calls = [asyncio.create_task(slow(1)) for _ in range(20)]
        await gate.started.wait()
        gate.go_on.set()
        assert await asyncio.gather(*calls) == [[1]] * 20
        assert gate.runs == [1]

    asyncio.run(main())


def test_a_cancelled_waiter_disturbs_nobody(store):
    async def main():
        slow, gate = held(store)
        runner = asyncio.create_task(slow(1))
        await gate.started.wait()
        waiters = [asyncio.create_task(slow(1)) for _ in range(3)]
        while not all(is_joining(task) for task in waiters):
            await asyncio.sleep(0.001)
        waiters[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[0]
        gate.go_on.set()
        assert await asyncio.gather(runner, *waiters[1:]) == [[1]] * 3
        assert gate.runs == [1]

    asyncio.run(main())


def is_joining(task):
    return any(frame.f_code.co_name == "_carried_out" for frame in chain(task.get_coro()))


def chain(coroutine):
    while inspect.iscoroutine(coroutine):
        if coroutine.cr_frame is not None:
            yield coroutine.cr_frame
        coroutine = coroutine.cr_await


def test_a_cancelled_runner_makes_way_for_the_next(store, tmp_path):
    async def main():
        slow, gate = held(store)
        runner = asyncio.create_task(slow(1))
        await gate.started.wait()
        other = asyncio.create_task(slow(1))
        runner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await runner
        gate.go_on.set()
        assert await other == [1]
        assert gate.runs == [1, 1]
        assert list(tmp_path.rglob("*.claim")) == []

    asyncio.run(main())


@pytest.mark.parametrize("after", range(1, 40))
def test_a_cancellation_at_any_moment_leaves_no_claim(store, tmp_path, after):
    async def main():
        slow, gate = held(store)
        gate.go_on.set()
        call = asyncio.create_task(slow(1))
        for _ in range(after):
            await asyncio.sleep(0)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        assert await slow(1) == [1]

    asyncio.run(main())
    assert list(tmp_path.rglob("*.claim")) == []


def test_the_loop_goes_on_while_the_store_is_slow(tmp_path):
    waiting, answer = threading.Event(), threading.Event()

    class Slow(FileDirDict):
        def __getitem__(self, key):
            waiting.set()
            assert answer.wait(60)
            return super().__getitem__(key)

    async def main():
        slow, gate = held(Slow(base_dir=str(tmp_path)))
        gate.go_on.set()
        call = asyncio.create_task(slow(1))
        while not waiting.is_set():
            await asyncio.sleep(0.001)
        answer.set()  # from this very loop
        assert await call == [1]

    asyncio.run(main())


def test_threads_of_the_loop_may_all_wait_for_coroutines(store):
    @persist(store)
    async def squared(x):
        return x * x

    async def main():
        loop = asyncio.get_running_loop()

        def bridge(x):
            return asyncio.run_coroutine_threadsafe(squared(x), loop).result(60)

        return await asyncio.gather(*[asyncio.to_thread(bridge, x) for x in range(60)])

    assert asyncio.run(main()) == [x * x for x in range(60)]


def test_a_coroutine_that_is_thrown_away_leaves_no_claim(store, tmp_path):
    slow, gate = held(store)
    loop = asyncio.new_event_loop()
    call = loop.create_task(slow(1))
    loop.run_until_complete(gate.started.wait())
    assert len(list(tmp_path.rglob("*.claim"))) == 1
    coroutine = call.get_coro()
    call._log_destroy_pending = False
    coroutine.close()
    loop.close()
    assert list(tmp_path.rglob("*.claim")) == []
    gate.started, gate.go_on = asyncio.Event(), asyncio.Event()
    gate.go_on.set()
    assert asyncio.run(slow(1)) == [1]


def test_errors_are_those_of_the_function(store):
    @persist(store)
    async def failing(kind):
        raise kind("mine")

    async def main(kind):
        with pytest.raises(kind) as caught:
            await failing(kind)
        assert caught.value.__context__ is None
        assert failing.stats().errors > 0

    for kind in (ValueError, asyncio.CancelledError, asyncio.TimeoutError):
        asyncio.run(main(kind))


def test_disabled_is_plain(store):
    async def main():
        slow, gate = held(store, enabled=False)
        gate.go_on.set()
        assert [await slow(1), await slow(1)] == [[1], [1]]
        assert gate.runs == [1, 1]
        assert len(store) == 0

    asyncio.run(main())


def test_it_travels(project):
    project.write("coroutines.py", MODULE)
    import coroutines

    again = pickle.loads(pickle.dumps(coroutines.doubled))
    assert again is coroutines.doubled
    assert asyncio.run(again(4)) == 8


def test_on_a_cluster(client, shared_project):
    shared_project.write("coroutines.py", MODULE)
    import coroutines

    doubled = coroutines.doubled
    assert client.gather(client.map(doubled, [1, 2, 3])) == [2, 4, 6]
    assert client.submit(doubled, 1, pure=False).result() == 2
    assert shared_project.executed() == ["doubled"] * 3
    assert asyncio.run(doubled(3)) == 6
    assert shared_project.executed() == []


def test_verify_is_awaited(store):
    values = iter([1, 2])

    class Values:
        def __persist_token__(self):
            return "values"

        def next(self):
            return next(values)

    source = Values()

    @persist(store, verify=1.0)
    async def drawn():
        return source.next()

    async def main():
        assert await drawn() == 1
        from persidict_dask import ResultMismatchError

        with pytest.raises(ResultMismatchError, match="stored is int 1, computed is int 2"):
            await drawn()

    asyncio.run(main())
