"""On a cluster: stores on all workers, handles in tasks and actors, waits that free the worker."""

from __future__ import annotations

import asyncio
import os
import time
from itertools import chain

import pytest
from distributed import Client, LocalCluster, wait

from persidict import FileDirDict, LocalDict
from persidict_dask import (
    Barrier,
    Counter,
    DeadlockError,
    Lease,
    Semaphore,
    SharedValue,
    WorkQueue,
    install,
    worker_store,
)


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread each."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=str(tmp_path / "state"), durability="relaxed")


def opened(_=None):
    return os.getpid(), id(worker_store("state")), worker_store("state").base_dir


def test_stores_are_on_all_workers_and_here(client, d):
    install(client, stores={"state": d})
    for told in client.run(opened).values():
        assert told[2] == d.base_dir
    assert worker_store("state").base_dir == d.base_dir
    tasks = client.gather(client.map(opened, range(20)))
    assert len({pid for pid, _, _ in tasks}) == len({(pid, at) for pid, at, _ in tasks})


def test_a_store_by_url(client, tmp_path):
    install(client, stores={"state": str(tmp_path / "by url")})
    assert client.submit(opened, pure=False).result()[2] == str(tmp_path / "by url")
    assert not (tmp_path / "by url").exists() or worker_store("state") is not None


def test_later_workers_and_restarts(client, d):
    install(client, stores={"state": d})
    client.cluster.scale(3)
    client.wait_for_workers(3)
    assert {told[2] for told in client.run(opened).values()} == {d.base_dir}
    client.restart()
    assert {told[2] for told in client.run(opened).values()} == {d.base_dir}
    client.cluster.scale(2)
    wait_for(lambda: len(client.scheduler_info()["workers"]) == 2)


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_installing_again_replaces(client, d, tmp_path):
    install(client, stores={"state": d})
    other = FileDirDict(base_dir=str(tmp_path / "other"))
    installed = install(client, stores={"state": other})
    assert {told[2] for told in client.run(opened).values()} == {other.base_dir}
    assert "state" in repr(installed)


def test_the_scheduler_opens_nothing(client, tmp_path):
    def known(dask_scheduler):
        from persidict_dask._stores import _process

        return [ref for ref in _process.opened if "unopened" in repr(ref)]

    install(client, stores={"state": str(tmp_path / "unopened")})
    client.run(opened)
    assert client.run_on_scheduler(known) == []


def test_a_store_that_is_not_there(client, d):
    install(client, stores={"state": d})
    with pytest.raises(KeyError, match=r"no store 'other'.*state"):
        worker_store("other")


@pytest.mark.parametrize("stores", [{"x": 5}, {5: "/tmp/x"}, {"x": None}])
def test_what_is_no_store(client, stores):
    with pytest.raises(TypeError):
        install(client, stores=stores)


def test_uninstalling(client, d):
    def names():
        from persidict_dask._install import _told

        return [name for _, refs in _told.everything() for name in refs]

    install(client, stores={"gone": d}).uninstall()
    with pytest.raises(KeyError):
        worker_store("gone")
    assert "gone" not in [*chain.from_iterable(client.run(names).values())]


def test_asynchronous_clients(tmp_path):
    async def main():
        async with (
            LocalCluster(
                n_workers=1, processes=False, asynchronous=True, dashboard_address=None
            ) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            installed = await install(client, stores={"state": str(tmp_path)})
            assert await client.submit(opened)
            await installed.uninstall()

    asyncio.run(main())


def counted(counter, n):
    return [counter.increment() for _ in range(n)]


def test_handles_travel(client, d):
    sums = client.gather(client.map(counted, [Counter(d, "c")] * 6, [5] * 6, pure=False))
    assert sorted([*chain.from_iterable(sums)]) == list(range(1, 31))


def test_a_handle_made_in_a_task_comes_back(client, d):
    lease = client.submit(lambda path: Lease(path, "x"), d.base_dir).result()
    with lease:
        assert not Lease(d, "x").acquire(timeout=0)


def passed(barrier):
    return barrier.wait(timeout=60)


def test_more_may_wait_than_there_are_threads(client, d):
    """Six tasks on two threads: each that waits lets another one come."""
    futures = client.map(passed, [Barrier(d, "b", parties=6)] * 6, pure=False)
    assert sorted(client.gather(futures)) == [0, 1, 2, 3, 4, 5]


def guarded(lease, log, n):
    with lease:
        log.update(lambda old: [*old, f"in {n}"])
        log.update(lambda old: [*old, f"out {n}"])
        return lease.token


def test_tasks_take_turns(client, d):
    log = SharedValue(d, "log", [])
    futures = client.map(guarded, [Lease(d, "x")] * 10, [log] * 10, range(10), pure=False)
    assert sorted(client.gather(futures)) == list(range(1, 11))
    lines = log.get()
    assert [line.split()[0] for line in lines] == ["in", "out"] * 10


def both(d, first, second, have, barrier):
    with Lease(d, first):
        barrier.wait(60)
        try:
            with Lease(d, second):
                return "got"
        except DeadlockError:
            return "refused"


def test_tasks_of_one_thread_that_cross_each_other(client, d):
    """One process, one thread: a circle is an error for one of the two, and never for ever."""
    worker = next(iter(client.scheduler_info()["workers"]))
    barrier = Barrier(d, "b", parties=2)
    futures = [
        client.submit(both, d.base_dir, *names, None, barrier, workers=[worker], pure=False)
        for names in (("a", "b"), ("b", "a"))
    ]
    assert sorted(client.gather(futures)) == ["got", "refused"]


def nested(semaphore, lease, n):
    with semaphore, lease:
        return n


def test_nested_waits_on_one_thread(client, d):
    worker = next(iter(client.scheduler_info()["workers"]))
    futures = client.map(
        nested,
        [Semaphore(d, "s", limit=2)] * 12,
        [Lease(d, "x")] * 12,
        range(12),
        workers=[worker],
        pure=False,
    )
    assert client.gather(futures) == list(range(12))


class Leader:
    def __init__(self, lease):
        self.lease = lease

    def lead(self):
        return self.lease.acquire(timeout=10) and self.lease.token

    def stop(self):
        self.lease.release()


def test_actors_hold_leases(client, d):
    actor = client.submit(Leader, Lease(d, "x"), actor=True).result()
    assert actor.lead().result() == 1
    assert not Lease(d, "x").acquire(timeout=0)
    actor.stop().result()
    assert Lease(d, "x").acquire(timeout=0)


def drained(queue):
    return [claim.key for claim in queue.drain() if claim.done(claim.item * 2)]


def test_a_queue_is_drained_by_tasks(client, d):
    queue = WorkQueue(d, "q")
    keys = {queue.put(n): n for n in range(30)}
    done = client.gather(client.map(drained, [queue] * 4, pure=False))
    assert sorted([*chain.from_iterable(done)]) == sorted(keys)
    assert dict(queue.done) == {key: n * 2 for key, n in keys.items()}


def hold(lease, started):
    lease.acquire()
    started.set(os.getpid())
    time.sleep(600)


def test_the_lease_of_a_killed_worker_is_free(client, d):
    """Dask's own lock stays taken for half a minute."""
    started = SharedValue(d, "started")
    future = client.submit(hold, Lease(d, "x", ttl=3600), started, retries=0, pure=False)
    pid = started.wait_for(lambda pid: pid is not None, timeout=30)
    future.cancel(force=True)
    os.kill(pid, 9)
    assert Lease(d, "x").acquire(timeout=20)
    wait_for(lambda: len(client.scheduler_info()["workers"]) == 2)
    wait(client.map(lambda n: n, range(2), pure=False), timeout=30)


def test_memory_on_a_cluster_of_threads():
    d = LocalDict()
    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        sums = client.gather(client.map(counted, [Counter(d, "c")] * 4, [5] * 4, pure=False))
    assert sorted([*chain.from_iterable(sums)]) == list(range(1, 21))
