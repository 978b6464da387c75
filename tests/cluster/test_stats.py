"""stats(client): right to the last task, whatever happens to the workers."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading

import pytest
from distributed import Client, KilledWorker, SchedulerPlugin, get_client

from persidict import FileDirDict
from persidict_dask import (
    FunctionStats,
    RetryPolicy,
    SharedValue,
    Stats,
    _stats,
    install,
    persist,
    stats,
)
from persidict_dask._defaults import default_policy
from tests.cluster.conftest import cluster, counting, pids, run, wait_for, workers


def test_the_tasks_of_two_workers(client, installed):
    name = "lib.f"
    assert len(set(run(client, name, workers=workers(client)))) == 2
    expected = FunctionStats(misses=8, attempts=16, retries=8, seconds_waiting=2.0, bytes=28)
    found = stats(client)
    assert found[name] == found.total == expected
    assert (found.attempts, found.retries, found.seconds_waiting) == (16, 8, 2.0)
    assert found.is_cluster
    assert found.workers == 2
    assert stats() == found


def test_every_task_is_counted_when_its_result_is_there(client, installed):
    for n in range(1, 21):
        run(client, "lib.each", 1)
        assert stats(client)["lib.each"].attempts == 2 * n


class Watch(SchedulerPlugin):
    """Notes what was counted whenever the scheduler learns of the end of a task."""

    name = "watch"

    async def start(self, scheduler):
        self.scheduler, self.seen = scheduler, []

    def transition(self, key, start, finish, *args, **kwargs):
        if start == "processing" and finish == "memory":
            self.seen.append(self.scheduler.plugins["persidict"].ears.stats()["lib.w"].misses)


def test_the_scheduler_hears_the_counts_before_the_end_of_the_task(client, installed):
    client.register_plugin(Watch(), name="watch")
    run(client, "lib.w", 12, workers=workers(client)[:1])
    seen = client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.plugins["watch"].seen)
    client.unregister_scheduler_plugin("watch")
    assert all(count >= n for n, count in enumerate(seen, 1))
    assert seen[-1] == 12


def test_a_killed_worker_takes_nothing_with_it(client, installed):
    run(client, "lib.k", workers=workers(client))
    os.kill(next(iter(pids(client).values())), signal.SIGKILL)
    wait_for(lambda: stats(client).workers_lost == 1)
    assert stats(client)["lib.k"].misses == 8
    wait_for(lambda: len(workers(client)) == 2)
    run(client, "lib.k")
    found = stats(client)
    assert (found["lib.k"].misses, found["lib.k"].seconds_waiting) == (16, 4.0)
    assert (found.workers_lost, found.workers_retired) == (1, 0)


def hold(name, started):
    _stats.count(name, attempts=1)
    started.set(os.getpid())
    threading.Event().wait()


def test_a_long_task_is_counted_while_it_runs(client, installed, tmp_path):
    started = SharedValue(FileDirDict(base_dir=str(tmp_path)), "started")
    future = client.submit(hold, "lib.long", started, pure=False)
    pid = started.wait_for(bool, timeout=30)
    wait_for(lambda: stats(client).get("lib.long", FunctionStats()).attempts == 1)
    future.cancel(force=True)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: stats(client).workers_lost == 1)
    assert stats(client)["lib.long"].attempts == 1
    wait_for(lambda: len(workers(client)) == 2)


def test_a_task_that_kills_is_given_up(client, installed):
    def allowed(n, dask_scheduler):
        dask_scheduler.allowed_failures, before = n, dask_scheduler.allowed_failures
        return before

    before = client.run_on_scheduler(allowed, 1)
    with pytest.raises(KilledWorker):
        client.submit(os._exit, 1, pure=False).result()
    client.run_on_scheduler(allowed, before)
    found = stats(client)
    assert (found.workers_lost, found.tasks_suspicious, found.tasks_killed) == (2, 2, 1)
    wait_for(lambda: len(workers(client)) == 2)


def test_workers_that_come_later_and_those_that_retire(client, installed):
    run(client, "lib.l")
    before = set(workers(client))
    client.cluster.scale(3)
    client.wait_for_workers(3)
    [late] = set(workers(client)) - before
    run(client, "lib.l", 3, workers=[late])
    assert stats(client)["lib.l"].misses == 11
    client.cluster.scale(2)
    wait_for(lambda: len(workers(client)) == 2)
    found = stats(client)
    assert found["lib.l"].misses == 11
    assert (found.workers, found.workers_lost, found.workers_retired) == (2, 0, 1)


def logged(folder, n):
    counting("lib.r", n)
    tempfile.mkstemp(dir=folder)


def test_a_restart_of_the_cluster(client, installed, tmp_path):
    """Dask may run a task a second time when its workers restart: so the runs are counted too."""
    install(client, retry=RetryPolicy(attempts=7))
    client.gather(client.map(logged, [str(tmp_path)] * 8, range(8), pure=False))
    assert stats(client)["lib.r"].misses == len([*tmp_path.iterdir()])
    client.restart()
    assert {policy.attempts for policy in client.run(default_policy).values()} == {7}
    assert stats(client)["lib.r"].misses == len([*tmp_path.iterdir()])
    client.gather(client.map(logged, [str(tmp_path)] * 8, range(8), pure=False))
    found = stats(client)
    assert found["lib.r"].misses == len([*tmp_path.iterdir()]) >= 16
    assert (found.workers_lost, found.workers_retired) == (0, 2)


def test_installing_again_keeps_the_figures_and_uninstalling_loses_them(client, installed):
    run(client, "lib.i")
    client.cluster.scale(0)  # those who have counted that are gone
    wait_for(lambda: stats(client).workers == 0)
    again = install(client)
    client.cluster.scale(2)
    run(client, "lib.i")
    assert stats(client)["lib.i"].misses == 16
    for gone in (again, installed, again):
        gone.uninstall()
        with pytest.raises(RuntimeError, match="install"):
            stats(client)
        assert not stats().is_cluster


def test_this_process_is_in_the_figures_and_can_be_asked_alone(client, installed, tmp_path):
    @persist(str(tmp_path), name="lib.p")
    def double(n):
        return n * 2

    assert client.gather(client.map(double, range(8), pure=False)) == [*range(0, 16, 2)]
    assert client.gather(double.map(client, range(8))) == [*range(0, 16, 2)]
    assert double(3) == 6
    found = stats(client)
    assert (found["lib.p"].misses, found["lib.p"].hits) == (8, 9)
    told = found["lib.p"]
    typical = (told.seconds_computing + told.seconds_noted) / (8 + told.notes)
    saved = max(0, 9 * typical - told.seconds_loading)
    assert told.seconds_saved == pytest.approx(saved)
    installed.uninstall()
    mine = stats()
    assert (mine.misses, mine.hits, mine.is_cluster, mine.workers) == (0, 9, False, 0)


def test_a_task_may_ask(client, installed):
    def asking():
        _stats.count("lib.asked", hits=1)
        return stats(get_client()).hits, stats().hits, stats().is_cluster

    assert client.submit(asking).result() == (1, 1, True)


def standing(state, at, retries):
    """What a worker knows of a breaker, a budget, and calls in quarantine."""
    _stats.register_gauge("breaker", "db", lambda: {"state": state, "at": at})
    _stats.register_gauge("budget", "all", lambda: {"retries": retries, "of": {1: 2}})
    _stats.register_gauge("budget", "broken", lambda: {}["x"])
    _stats.note_quarantined(f"f({at})", ("f", str(at)))
    counting("lib.g")


def test_breakers_budgets_and_quarantines_of_all_workers(client, installed):
    first, second = workers(client)
    client.submit(standing, "open", 7, 3, workers=[first]).result()
    client.submit(standing, "closed", 6, 4, workers=[second]).result()
    found = stats(client)
    assert found.breakers == {"db": "open"}
    assert found.budgets == {"all": {"retries": 7}}
    assert found.quarantined == {("f", "6"): "f(6)", ("f", "7"): "f(7)"}
    assert [*found.quarantined] == [("f", "6"), ("f", "7")]
    _stats.note_quarantined("f(7)", ("f", "7"))
    _stats.note_released(("f", "7"))
    assert [*stats(client).quarantined] == [("f", "6")]
    os.kill(pids(client)[first], signal.SIGKILL)
    wait_for(lambda: stats(client).workers_lost == 1)
    found = stats(client)
    assert found.breakers == {"db": "closed"}  # as those see it who are there
    assert found.budgets == {"all": {"retries": 4}}
    wait_for(lambda: len(workers(client)) == 2)
    client.run(forget_gauges)


def forget_gauges():
    _stats._gauges.clear()


def gauge_only():
    _stats.register_gauge("breaker", "quiet", lambda: {"state": "open"})


def test_a_gauge_that_moves_while_nothing_is_counted(client, installed):
    client.submit(gauge_only, pure=False).result()
    wait_for(lambda: stats(client).breakers.get("quiet") == "open")
    client.run(forget_gauges)
    wait_for(lambda: not stats(client).breakers)


def test_the_scheduler_keeps_no_events(client, installed):
    def kept(dask_scheduler):
        return len(dask_scheduler.get_events("persidict"))

    run(client, "lib.e")
    assert client.run_on_scheduler(kept) == 0


ELSEWHERE = """
import sys
from distributed import Client
from persidict_dask import install, stats
if __name__ == "__main__":
    with Client(sys.argv[1]) as client:
        before = stats(client)["lib.c"].misses
        install(client)
        print(before, stats(client)["lib.c"].misses, stats(client).workers)
"""


def test_another_client_sees_the_same(client, installed, python):
    run(client, "lib.c")
    assert python(ELSEWHERE, client.scheduler.address) == "8 8 2"
    run(client, "lib.c")
    assert stats(client)["lib.c"].misses == 16


def test_two_workers_of_one_process_do_not_count_twice():
    with cluster(processes=False) as made, Client(made) as client:
        install(client)
        run(client, "lib.t", workers=workers(client))
        assert stats(client)["lib.t"].misses == 8
        assert on_scheduler(client)["lib.t"].misses == 8
        client.retire_workers(workers(client)[:1])
        run(client, "lib.t")
        assert stats(client)["lib.t"].misses == 16
        assert on_scheduler(client)["lib.t"].misses == 16


def on_scheduler(client):
    def told(dask_scheduler):
        return dask_scheduler.plugins["persidict"].ears.stats()

    return client.run_on_scheduler(told)


def test_asynchronous_clients():
    async def main():
        async with (
            cluster(processes=False, asynchronous=True) as made,
            Client(made, asynchronous=True) as client,
        ):
            with pytest.raises(RuntimeError, match="install"):
                await stats(client)
            installed = await install(client)
            await client.gather(client.map(counting, ["lib.a"] * 8, range(8), pure=False))
            assert (await stats(client))["lib.a"].misses == (await stats()).misses == 8
            await installed.uninstall()
            assert not (await stats()).is_cluster

    asyncio.run(main())


def test_without_a_cluster(python):
    code = "import persidict_dask as p, sys; print(p.stats(), 'distributed' in sys.modules)"
    assert "this process only" in python(code)
    assert python(code).endswith("False")
    assert isinstance(_stats.process_stats(), dict)
    assert len(Stats()) == Stats().hits == 0
