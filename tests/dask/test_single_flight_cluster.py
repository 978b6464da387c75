"""Single flight on workers: who waits leaves the thread to others, so that nothing gets stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster

MODULE = """
import time
from counting import ran
from persidict_dask import persist

@persist("{cache}")
def inner(x):
    ran("inner")
    time.sleep(0.2)
    return x + 1

@persist("{cache}")
def outer(x, caller):
    ran("outer")
    return inner(x) + caller

@persist("{cache}")
def fibonacci(n):
    ran("fibonacci")
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@persist("{cache}", ignore="act")
def through(x, act):
    return act(x)

@persist("{cache}")
def tower(height, caller):
    ran("tower")
    return 0 if height == 0 else 1 + tower(height - 1, caller % 3)
"""


@pytest.fixture(scope="module")
def narrow(shared_project):
    """One worker process with one thread."""
    shared_project.write("nested.py", MODULE)
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(__import__("sys").path.insert, 0, str(shared_project.folder))
        yield client


def test_fifty_waiters_in_a_single_thread(narrow, shared_project):
    """Each is a task of its own, and all want the same inner call."""
    import nested

    futures = narrow.map(nested.outer, [7] * 50, range(50), pure=False)
    assert narrow.gather(futures) == [8 + caller for caller in range(50)]
    assert shared_project.executed().count("inner") == 1


def test_equal_calls_under_different_names_of_tasks(narrow, shared_project):
    import nested

    futures = [narrow.submit(nested.inner, 70, pure=False) for _ in range(50)]
    assert narrow.gather(futures) == [71] * 50
    assert shared_project.executed() == ["inner"]


def test_recursion_and_waiting_for_the_recursion_of_others(narrow, shared_project):
    import nested

    assert narrow.gather(narrow.map(nested.fibonacci, [12] * 20, pure=False)) == [144] * 20
    assert shared_project.executed() == ["fibonacci"] * 13
    heights = narrow.map(nested.tower, [15] * 30, range(30), pure=False)
    assert narrow.gather(heights) == [15] * 30
    assert shared_project.executed() == ["tower"] * (30 + 3 * 15)


@pytest.fixture
def elsewhere(shared_project):
    """Run `through(x, ...)` in a thread of this process, and hold it in the middle."""
    import nested

    started, go_on = threading.Event(), threading.Event()

    def act(x):
        started.set()
        assert go_on.wait(60)
        return elsewhere.then(x)

    elsewhere = SimpleNamespace(go_on=go_on, then=lambda x: x)
    with ThreadPoolExecutor(1) as pool:

        def start(x):
            elsewhere.result = pool.submit(nested.through, x, act)
            assert started.wait(60)

        elsewhere.start = start
        yield elsewhere
        go_on.set()


def away(dask_worker):
    """How many tasks have given their place away."""
    return len(dask_worker.state.long_running)


def executing(dask_worker):
    return len(dask_worker.state.executing)


def until(client, count, wanted):
    deadline = time.monotonic() + 60
    while list(client.run(count).values()) != [wanted]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_call_that_one_waits_for_needs_its_place(narrow, elsewhere):
    """The worker has a single thread, and the task in it waits."""
    import nested

    elsewhere.then = lambda x: narrow.submit(abs, -x, pure=False).result(timeout=60)
    elsewhere.start(1)
    waiter = narrow.submit(nested.through, 1, None)
    until(narrow, away, 1)
    elsewhere.go_on.set()
    assert waiter.result(timeout=60) == elsewhere.result.result(60) == 1


def test_a_lock_that_is_held_while_one_waits(narrow, elsewhere, shared_project):
    """The task that gets the place of the one that waits may want the lock as well."""
    shared_project.write(
        "locking.py",
        """
        import threading
        from persidict_dask import _waiting
        from nested import through

        LOCK = threading.Lock()
        _waiting._PATIENCE = 0.1

        def with_lock(x, number):
            with LOCK:
                return through(x, None)
        """,
    )
    import locking

    narrow.run(lambda: __import__("locking"))
    elsewhere.start(2)
    futures = narrow.map(locking.with_lock, [2] * 5, range(5), pure=False)
    until(narrow, away, 1)
    until(narrow, executing, 1)
    elsewhere.go_on.set()
    assert [future.result(timeout=60) for future in futures] == [2] * 5


def test_two_clusters_share_a_run(client, narrow, shared_project):
    import nested

    futures = [
        *client.map(nested.inner, [700] * 6, pure=False),
        *narrow.map(nested.inner, [700] * 6, pure=False),
    ]
    assert [future.result() for future in futures] == [701] * 12
    assert shared_project.executed() == ["inner"]


def test_a_worker_that_is_killed_is_taken_over(client, narrow, shared_project):
    """By its own task, which Dask runs again, or by whoever waits elsewhere: once."""
    shared_project.write(
        "dying.py",
        """
        import os
        from pathlib import Path
        from counting import ran
        from persidict_dask import persist

        MARK = Path("{cache}").with_name("died")

        @persist("{cache}", version="1")
        def dies_once(x):
            ran("dies_once")
            if not MARK.exists():
                MARK.touch()
                os._exit(1)
            return x
        """,
    )
    import dying

    for one in (client, narrow):
        one.run(lambda: __import__("dying"))
    futures = [one.submit(dying.dies_once, 1, pure=False) for one in (client, narrow)]
    assert [future.result(timeout=60) for future in futures] == [1, 1]
    assert shared_project.executed() == ["dies_once"] * 2


COROUTINES = """
import asyncio
from pathlib import Path
from persidict_dask import persist

GATE = Path("{cache}").with_name("gate")

@persist("{cache}")
async def held(x):
    GATE.touch()
    while GATE.exists():
        await asyncio.sleep(0.01)
    return x

async def joined(x):
    running = asyncio.create_task(held(x))
    while not GATE.exists():
        await asyncio.sleep(0.01)
    return await held(x) + await running
"""


@pytest.fixture
def gated(narrow, shared_project):
    """A persisted coroutine function whose call goes on when the gate is gone, and a thread."""
    shared_project.write("gated.py", COROUTINES)
    import gated

    narrow.run(lambda: __import__("gated"))
    with ThreadPoolExecutor(1) as gated.thread:
        yield gated
        gated.GATE.unlink(missing_ok=True)


def test_a_coroutine_that_waits_for_another_process_leaves_its_place(narrow, gated):
    running = gated.thread.submit(asyncio.run, gated.held(3))
    until(narrow, lambda: gated.GATE.exists(), True)
    waiter = narrow.submit(gated.held, 3)
    until(narrow, away, 1)
    assert narrow.submit(abs, -5, pure=False).result(timeout=60) == 5
    assert not waiter.done()
    gated.GATE.unlink()
    assert waiter.result(timeout=60) == running.result(60) == 3


def test_a_coroutine_that_waits_for_one_of_its_process_leaves_its_place(narrow, gated):
    waiter = narrow.submit(gated.joined, 4)
    until(narrow, away, 1)
    assert narrow.submit(abs, -6, pure=False).result(timeout=60) == 6
    assert not waiter.done()
    gated.GATE.unlink()
    assert waiter.result(timeout=60) == 8
