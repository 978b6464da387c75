"""Durable attempts on clusters: workers that die, restart, retire; what Dask itself tries again."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from itertools import pairwise

import dask
import pytest
import tenacity
from distributed import Client, KilledWorker, LocalCluster, Status

from persidict_dask import (
    AttemptLostError,
    DeadLetters,
    QuarantinedCallError,
    RetryPolicy,
    open_store,
)
from tests.coordination.faults.fleet import Puppet, until
from tests.retries.durable import answer, later, policy, sync, told, work
from tests.retries.test_attempts import lane, record, records

WAYS = [sync, later]


def cluster_of(workers):
    return LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0"
    )


@pytest.fixture(scope="module")
def whole():
    """Four processes of one thread each, all of which come back."""
    # a worker that is missing in just this moment after the last death would be given up
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"}),
        cluster_of(4) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(whole):
    """The same, with all workers there."""
    cluster = whole.cluster
    running = sum(nanny.status.name == "running" for nanny in cluster.workers.values())
    cluster.scale(len(cluster.worker_spec) + 4 - running)  # it does not miss those that are closed
    whole.wait_for_workers(4, timeout=60)
    return whole


@pytest.fixture
def store_url(tmp_path):
    """The URL of a store that is empty."""
    return str(tmp_path / "store")


@pytest.fixture
def store(store_url):
    return open_store(store_url)


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


def runs(log):
    return len(told(log, "begins"))


def go(log):
    """Let all runs that wait go on."""
    open(f"{log}.go", "w").close()


@contextmanager
def going_once(holds, log):
    """Let the runs that wait go on as soon as this is true; the worker waits for its threads."""
    waiting = threading.Thread(target=lambda: (until(holds), go(log)))
    waiting.start()
    yield
    waiting.join()


def check_gaps(log, least):
    begins = [line["at"] for line in told(log, "begins")]
    assert min(after - before for before, after in pairwise(begins)) >= least


# --- restarts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fourth", ["fails", "waits"])
def test_five_attempts_over_two_deaths_and_a_restart(client, store_url, store, log, way, fourth):
    """It comes after the fourth attempt, in the pause; or in the middle of it."""
    plan = f"dies fails dies {fourth} fails"
    given = policy(store_url, wait=tenacity.wait_fixed(0.5))
    first = client.submit(way, given, log, plan, pure=False)
    state = "waiting" if fourth == "fails" else "running"
    until(lambda: runs(log) == 4 and lane(store)["state"] == state)
    with going_once(lambda: record(store).get("free"), log):
        client.restart()
    assert first.status == "cancelled"
    with pytest.raises(OSError, match="attempt 5") as caught:
        client.submit(way, given, log, plan, pure=False).result(timeout=60)
    assert caught.value.__notes__[-1].startswith(
        "after 5 attempts, with waits of 0.5, 0.5, 0.5, 0.5 s"
    )
    assert runs(log) == 5
    check_gaps(log, 0.5)
    assert record(store)["deaths"] == 2


@pytest.mark.parametrize("second", ["fails", "waits"])
def test_a_new_cluster(client, store_url, store, log, second):
    """It goes on where a cluster was closed, and with it an attempt that had begun."""
    given, plan = policy(store_url, attempts=3), f"fails {second} returns"
    state = "waiting" if second == "fails" else "running"
    with cluster_of(1) as cluster:
        with Client(cluster) as other:
            first = other.submit(sync, given, log, plan)
            until(lambda: runs(log) == 2 and lane(store)["state"] == state)
        assert first.status == "cancelled"
    assert client.submit(sync, given, log, plan).result(timeout=60) == "attempt 3"
    check_gaps(log, 0.2)
    assert records(store) == []


# --- poison -------------------------------------------------------------------------------------


def refused(given, log, plan):
    return answer(sync, given, log, plan)[0]


def test_a_task_that_kills(client, tmp_path, store_url, store, log):
    """Two workers and no third; nobody else is blamed; refused everywhere until it is released."""
    plan = "exits exits returns"
    given = policy(store_url, poison_after=2, wait=tenacity.wait_fixed(0))
    before = set(client.run(os.getpid).values())
    innocent = client.map(innocent_work, range(200))
    poison = client.submit(sync, given, log, plan, pure=False)
    with pytest.raises(QuarantinedCallError):
        poison.result(timeout=60)
    assert client.gather(innocent) == [*range(200)]
    client.wait_for_workers(4, timeout=60)
    after = set(client.run(os.getpid).values())
    assert before - after == {line["pid"] for line in told(log, "begins")}
    assert len(before - after) == 2

    assert refused(given, log, plan) == "QuarantinedCallError"
    assert {*client.run(refused, given, log, plan).values()} == {"QuarantinedCallError"}
    with Puppet(tmp_path, store_url, "from tests.retries.durable import *") as another:
        told_there = another(f"answer(sync, policy({store_url!r}), {log!r}, {plan!r})")
        assert told_there[0] == "QuarantinedCallError"
    client.restart()
    with pytest.raises(QuarantinedCallError) as caught:
        client.submit(sync, given, log, plan, pure=False).result(timeout=60)
    assert runs(log) == 2

    [key] = DeadLetters(store_url)
    assert key == caught.value.key
    letter = client.submit(DeadLetters(store_url).__getitem__, key).result(timeout=60)
    assert letter == DeadLetters(store_url)[key]
    assert [loss.worker.startswith("tcp://") for loss in letter.lost] == [True, True]
    assert DeadLetters(store_url).release(key)
    done = client.submit(sync, given, log, plan, pure=False)
    assert done.result(timeout=60) == "attempt 3"
    assert records(store) == []


def innocent_work(i):
    return i


def test_killed_worker(client, store_url, store, log):
    """Dask gives up after four deaths; the count goes on when the task is submitted again."""
    plan = "dies dies dies dies returns"
    given = policy(store_url, attempts=9, poison_after=9, wait=tenacity.wait_fixed(0))
    with pytest.raises(KilledWorker):
        client.submit(sync, given, log, plan, pure=False).result(timeout=60)
    assert lane(store)["attempts"] == 4
    assert client.submit(sync, given, log, plan, pure=False).result(timeout=60) == "attempt 5"
    assert records(store) == []


# --- what Dask tries again ----------------------------------------------------------------------


def test_retries_of_dask_are_new_calls(client, store_url, store, log):
    plan = "fails fails fails fails fails fails"
    given = policy(store_url, attempts=2, wait=tenacity.wait_fixed(0))
    with pytest.raises(OSError, match="attempt 6") as caught:
        client.submit(sync, given, log, plan, pure=False, retries=2).result(timeout=60)
    assert caught.value.__notes__[-1].startswith("after 2 attempts")
    assert runs(log) == 6
    assert records(store) == []


@pytest.mark.parametrize("way", WAYS)
def test_reschedule_is_no_failure(client, store_url, store, log, way):
    given = policy(store_url, attempts=2, wait=tenacity.wait_fixed(0))
    plan = "reschedules fails reschedules reschedules returns"
    assert client.submit(way, given, log, plan, pure=False).result(timeout=60) == "attempt 5"
    assert records(store) == []


# --- planned ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_retires(client, store_url, store, log, way):
    """Its attempt does not count, though it was the last; it is made elsewhere at once."""
    given, plan = policy(store_url, attempts=1), "waits returns"
    done = client.submit(way, given, log, plan, pure=False)
    until(lambda: runs(log) == 1)
    with going_once(lambda: runs(log) == 2, log):
        client.retire_workers([lane(store)["worker"]])
    assert done.result(timeout=60) == "attempt 2"
    assert records(store) == []
    pids = [line["pid"] for line in told(log, "begins")]
    assert len({*pids}) == 2


def test_a_cluster_that_is_scaled_down(client, store_url, store, log):
    given, plan = policy(store_url, attempts=2), "fails waits fails"
    done = client.submit(sync, given, log, plan, pure=False)
    until(lambda: runs(log) == 2)
    client.cluster.scale(0)
    until(lambda: [lane["state"] for lane in record(store).get("free", [])] == ["released"])
    go(log)
    client.cluster.scale(1)
    with pytest.raises(OSError, match="attempt 3"):
        done.result(timeout=60)
    assert records(store) == []


def given_back(store):
    lanes = [lane for record in records(store) for lane in record.get("free", [])]
    return [lane["state"] for lane in lanes].count("released")


async def closes(dask_worker):
    for _ in range(100):  # no thread of the loop is free
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    dask_worker.status = Status.closing


def test_a_worker_that_closes_and_whose_plugins_do_not_hear_of_it(client, store_url, store, log):
    """So it is if its nanny is closed as well, which it asks first; then the nanny kills it."""
    given = policy(store_url, attempts=1, poison_after=1)
    done = client.submit(sync, given, log, "waits returns", pure=False)
    until(lambda: runs(log) == 1)
    client.run(closes, workers=[lane(store)["worker"]])
    until(lambda: given_back(store) == 1)
    os.kill(told(log, "begins")[0]["pid"], signal.SIGKILL)
    assert done.result(timeout=60) == "attempt 2"
    assert records(store) == []


@contextmanager
def adapting(cluster, **settings):
    """Let Dask choose the number of workers."""
    adaptive = cluster.adapt(interval="20ms", wait_count=1, **settings)
    try:
        yield
    finally:
        adaptive.stop()


@pytest.mark.parametrize("way", WAYS)
def test_an_adaptive_cluster_that_becomes_smaller(client, store_url, store, tmp_path, way):
    """All workers are busy, and all but one are taken away: no attempt counts, and nobody died."""
    given = policy(store_url, attempts=1, poison_after=1)
    logs = [str(tmp_path / f"log {number}") for number in range(4)]
    done = [client.submit(way, given, log, "waits returns", pure=False) for log in logs]
    until(lambda: [runs(log) for log in logs] == [1] * 4)
    with adapting(client.cluster, minimum=1, maximum=1):
        until(lambda: given_back(store) == 3)
        for log in logs:
            go(log)
        results = sorted(future.result(timeout=60) for future in done)
    assert results == ["attempt 1"] + ["attempt 2"] * 3
    assert records(store) == []
    assert len(DeadLetters(store)) == 0


def test_an_adaptive_cluster_keeps_the_worker_of_a_call_that_waits(client, store_url, store, log):
    """For Dask it is busy, though others may use its place."""
    given = policy(store_url, attempts=2, wait=tenacity.wait_fixed(1))
    done = client.submit(sync, given, log, "fails waits", pure=False)
    until(lambda: records(store) and lane(store)["state"] == "waiting")
    with adapting(client.cluster, minimum=0, maximum=4):
        until(lambda: len(client.scheduler_info()["workers"]) == 1)
        assert [*client.scheduler_info()["workers"]] == [lane(store)["worker"]]
        go(log)
        assert done.result(timeout=60) == "attempt 2"
    assert len({line["pid"] for line in told(log, "begins")}) == 1


def test_a_cluster_that_is_closed_before_its_client(client, store_url, store, log):
    """To its workers it looks like becoming smaller; but the task goes on in no other."""
    given = policy(store_url, attempts=2)
    with cluster_of(1) as cluster, Client(cluster) as other:
        other.submit(sync, given, log, "fails waits fails", pure=False)
        until(lambda: runs(log) == 2)
        cluster.close()
    with pytest.raises(OSError, match="attempt 1"):
        client.submit(sync, given, log, "fails waits fails", pure=False).result(timeout=60)
    assert runs(log) == 2
    assert records(store) == []


@pytest.mark.parametrize("way", WAYS)
def test_workers_that_are_threads(store_url, store, log, way):
    """Nobody is gone: the worker that retires says so itself."""

    async def main():
        async with (
            LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                processes=False,
                asynchronous=True,
                dashboard_address=":0",
            ) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            given = policy(store_url, attempts=1)
            done = client.submit(way, given, log, "waits returns", pure=False)
            while runs(log) == 0:
                await asyncio.sleep(0.005)
            await client.retire_workers([lane(store)["worker"]])
            assert await done == "attempt 2"
            go(log)

    asyncio.run(main())
    assert records(store) == []


# --- what travels -------------------------------------------------------------------------------


def lost():
    error = AttemptLostError("gone")
    error.add_note("after 2 attempts")
    raise error


def test_errors_travel(client):
    with pytest.raises(AttemptLostError, match="gone") as caught:
        client.submit(lost, pure=False).result(timeout=60)
    assert caught.value.__notes__ == ["after 2 attempts"]


def test_the_scheduler_opens_nothing(client, store_url, log):
    def known(dask_scheduler):
        from persidict_dask._stores import _process

        return [ref for ref in _process.opened if store_url in repr(ref)]

    given = RetryPolicy(state=open_store(store_url))
    assert client.submit(sync, given, log, "returns").result(timeout=60) == "attempt 1"
    assert client.submit(given(work), log, "returns returns").result(timeout=60) == "attempt 2"
    assert client.run_on_scheduler(known) == []
