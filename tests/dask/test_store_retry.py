"""A policy of a cluster for what its stores do: attempts, kinds of errors, and who has told it."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from tenacity import wait_fixed, wait_none

from persidict import FileDirDict, io_retry
from persidict_dask import _store_retry
from persidict_dask._flights import in_thread
from persidict_dask._heartbeat import Heart
from persidict_dask._savings import stats_of
from persidict_dask.retries import CircuitBreaker, RetryBudget, RetryPolicy

QUICK = RetryPolicy(attempts=4, wait=wait_none())


@pytest.fixture(autouse=True)
def _nothing_is_left_set():
    yield
    for who, _ in _store_retry._told.everything():
        _store_retry.apply(who, None)
    assert io_retry.runner is None


class Failing:
    """The renames below a folder fail so many times, in this process."""

    def __init__(self, folder, times, number=errno.EIO):
        self.folder = str(folder)
        self.left = times
        self.number = number
        self.calls = 0

    def __enter__(self):
        self.original, os.replace = os.replace, self.replace
        return self

    def __exit__(self, *error):
        os.replace = self.original

    def replace(self, source, target):
        if not str(target).startswith(self.folder):
            return self.original(source, target)
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise OSError(self.number, os.strerror(self.number))
        return self.original(source, target)


def written(d, times, number=errno.EIO):
    """Write an item while renames fail; return how often one was tried."""
    with Failing(d.base_dir, times, number) as failing:
        d["k"] = "new"
    assert d["k"] == "new"
    return failing.calls


# -- what a policy says -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EREMOTEIO])
def test_writes_follow_the_policy(store, number):
    _store_retry.apply("w", QUICK)
    assert written(store, 3, number) == 4
    with Failing(store.base_dir, 9, number) as failing, pytest.raises(OSError) as caught:
        store["k"] = "newer"
    assert failing.calls == 4
    assert caught.value.errno == number
    assert "after 4 attempts" in "".join(caught.value.__notes__)
    assert store["k"] == "new"


def test_what_is_not_named_or_is_fatal_is_not_tried_again(store):
    for policy in (
        replace(QUICK, retry_on=ConnectionError),
        replace(QUICK, fatal=OSError),
        replace(QUICK, attempts=1),
    ):
        _store_retry.apply("w", policy)
        with Failing(store.base_dir, 1) as failing, pytest.raises(OSError):
            store["k"] = 1
        assert failing.calls == 1


def test_no_attempt_starts_after_the_deadline(store, pauses):
    _store_retry.apply("w", replace(QUICK, wait=wait_fixed(60), deadline=59))
    with Failing(store.base_dir, 1) as failing, pytest.raises(OSError):
        store["k"] = 1
    assert failing.calls == 1
    _store_retry.apply("w", replace(QUICK, wait=wait_fixed(60), deadline=600))
    assert written(store, 1) == 2
    assert pauses == [60]


def test_a_policy_does_not_ask_stores_for_the_sake_of_stores(store, tmp_path):
    """Its budget, breaker and attempts lie in a store that fails as well."""
    beside = str(tmp_path / "beside")
    policy = replace(
        QUICK,
        state=beside,
        budget=RetryBudget(beside, ratio=0.01, floor_per_s=0.01),
        breaker=CircuitBreaker(beside, "b", failures=1),
    )
    _store_retry.apply("w", policy)
    with Failing(tmp_path, 3) as failing:
        store["k"] = 1
    assert failing.calls == 4
    assert not os.path.exists(beside)


def test_attempts_are_counted_as_those_of_stores(store):
    before = stats_of(_store_retry.STORES)
    _store_retry.apply("w", QUICK)
    with Failing(store.base_dir, 2):
        store["k"] = 1
    after = stats_of(_store_retry.STORES)
    assert (after.attempts - before.attempts, after.retries - before.retries) == (3, 2)


# -- where nothing may wait -------------------------------------------------------------------


def test_nothing_waits_on_an_event_loop(store, pauses):
    _store_retry.apply("w", replace(QUICK, wait=wait_fixed(60)))

    async def write():
        with Failing(store.base_dir, 1) as failing, pytest.raises(OSError):
            store["k"] = 1
        assert (failing.calls, pauses) == (1, [])
        with Failing(store.base_dir, 1) as failing:
            await in_thread(store.__setitem__, "k", 2)
        assert (failing.calls, pauses) == (2, [60])

    asyncio.run(write())
    assert store["k"] == 2


def test_what_is_said_again_and_again_does_not_wait(store, pauses):
    """A renewal that waits for one that has failed would come too late."""
    _store_retry.apply("w", replace(QUICK, wait=wait_fixed(60)))
    done, failed = threading.Event(), []

    def renew():
        try:
            store["k"] = 1
        except OSError as error:
            failed.append(error)
        done.set()
        return False

    with Failing(store.base_dir, 1) as failing:
        Heart().add(renew, 0.01)
        assert done.wait(30)
    assert (failing.calls, len(failed)) == (1, 1)


# -- who has told it --------------------------------------------------------------------------


def test_the_last_one_told_counts_until_it_is_gone(store):
    _store_retry.apply("worker 1", QUICK)
    _store_retry.apply("worker 2", replace(QUICK, attempts=2))
    with Failing(store.base_dir, 3), pytest.raises(OSError):
        store["k"] = 1
    _store_retry.apply("worker 1", replace(QUICK, attempts=3))
    assert written(store, 2) == 3
    _store_retry.apply("worker 1", None)
    assert written(store, 1) == 2
    with Failing(store.base_dir, 2), pytest.raises(OSError):
        store["k"] = 1
    _store_retry.apply("worker 2", None)
    assert io_retry.runner is None
    _store_retry.apply("worker 2", None)  # is no matter


def test_telling_it_again_changes_nothing(store):
    for _ in range(3):
        _store_retry.apply("w", QUICK)
    assert written(store, 3) == 4
    _store_retry.apply("w", None)
    assert io_retry.runner is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_keeps_it_and_can_change_it(store):
    _store_retry.apply("w", QUICK)
    with _store_retry._lock:  # as if another thread was at it
        child = os.fork()
        if child == 0:
            try:
                kept = written(store, 3) == 4
                _store_retry.apply("w", None)
                os._exit(0 if kept and io_retry.runner is None else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert written(store, 3) == 4


# -- on a cluster -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster_client():
    """A client of two worker processes with one thread each."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


def applied(policy, dask_worker):
    _store_retry.apply(dask_worker.id, policy)


def failing_writes(folder, key, times, number):
    """What a task does: write to a folder that fails; return how often it was tried."""
    d = FileDirDict(base_dir=folder, digest_len=0)
    with Failing(folder, times, number) as failing:
        d[key] = os.getpid()
    return failing.calls


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_tasks_on_all_workers_follow_it(cluster_client, tmp_path, number):
    tries = 3 * (4 if number == errno.ESTALE else 1)  # what passes is tried at once as well
    cluster_client.run(applied, QUICK)
    workers = list(cluster_client.scheduler_info()["workers"])
    running = [
        cluster_client.submit(
            failing_writes, str(tmp_path), f"k{i}", tries, number, workers=[worker], pure=False
        )
        for i, worker in enumerate(workers)
    ]
    assert cluster_client.gather(running) == [tries + 1] * 2
    assert len(set(FileDirDict(base_dir=tmp_path, digest_len=0).values())) == 2
    cluster_client.run(applied, None)
    for worker in workers:
        failed = cluster_client.submit(
            failing_writes, str(tmp_path), "k", tries, number, workers=[worker], pure=False
        )
        assert isinstance(failed.exception(), OSError)


def write_when_there(folder, gate):
    """Write to a folder that fails until the gate is there: another task makes it."""
    d = FileDirDict(base_dir=folder, digest_len=0)
    with Failing(folder, 10**6) as failing:
        fail = failing.replace

        def replace_if_there(source, target):
            failing.left *= not os.path.exists(gate)
            return fail(source, target)

        os.replace = replace_if_there
        d["k"] = 1
    return failing.calls


def test_a_task_that_waits_for_its_store_lets_others_run(cluster_client, tmp_path):
    """On a worker with a single thread."""
    patient = RetryPolicy(attempts=10**6, wait=wait_fixed(0.05))
    cluster_client.run(applied, patient)
    worker = list(cluster_client.scheduler_info()["workers"])[:1]
    folder, gate = str(tmp_path / "d"), str(tmp_path / "gate")
    waiting = cluster_client.submit(write_when_there, folder, gate, workers=worker)
    other = cluster_client.submit(Path(gate).touch, workers=worker, pure=False)
    other.result(timeout=60)
    assert waiting.result(timeout=60) > 1
    cluster_client.run(applied, None)
