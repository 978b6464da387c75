"""How workers have ended is told where their dead letters are read."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster

from persidict import FileDirDict
from persidict_dask import DeadLetters, QuarantinedCallError, RetryPolicy, install
from persidict_dask.coordination._places import Place
from persidict_dask.retries import _exits
from tests.coordination.faults.fleet import until


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def store(tmp_path):
    return FileDirDict(base_dir=str(tmp_path / "state"), durability="relaxed")


def ends(how):
    if how == "status":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("named", ["state", "stores"])
def test_a_letter_tells_how_the_workers_ended(client, store, named):
    policy = RetryPolicy(state=store, poison_after=2)
    told = {"retry": policy} if named == "state" else {"stores": {"it": store}}
    installed = install(client, **told)
    how = "status" if named == "state" else "signal"
    error = client.submit(policy(ends), how, pure=False).exception()
    assert type(error) is QuarantinedCallError
    wanted = "status 3" if named == "state" else "signal 9 (SIGKILL)"
    until(lambda: {each.exit for each in DeadLetters(store)[error.key].lost} == {wanted})
    assert repr(DeadLetters(store)[error.key]).count(f"exit {wanted}") == 2
    client.wait_for_workers(2)
    installed.uninstall()
    assert client.run_on_scheduler(nanny_plugins) == []


def nanny_plugins(dask_scheduler=None):
    return list(dask_scheduler.nanny_plugins)


def test_a_worker_that_ended_before_the_attempt_began_tells_nothing_of_it(store):
    place = Place(store)
    _exits._write([place], "tcp://127.0.0.1:1", 3)
    host = os.uname().nodename
    assert _exits.exit_of(place, host, "tcp://127.0.0.1:1", time.time() - 60) == "status 3"
    assert _exits.exit_of(place, host, "tcp://127.0.0.1:1", time.time() + 60) == "unknown"
    assert _exits.exit_of(place, host, "tcp://127.0.0.1:2", 0) == "unknown"
    assert _exits.exit_of(place, host, "", 0) == "unknown"


def test_old_ends_are_forgotten_once_in_an_hour(store, monkeypatch):
    place, clock = Place(store), SimpleNamespace()
    monkeypatch.setattr(_exits, "time", clock)
    for number, (days, seconds, left) in enumerate([(0, 0, 1), (2, 3590, 2), (4, 3610, 1)]):
        clock.time = lambda days=days: 86400.0 * days
        clock.monotonic = lambda seconds=seconds: 1e6 + seconds
        _exits._write([place], f"tcp://127.0.0.1:{number}", 3)
        assert len(place.records) == left


def test_a_store_that_fails_does_not_cost_the_nanny_anything(store, monkeypatch):
    place = Place(store)
    monkeypatch.setattr(type(place.records), "__setitem__", broken)
    _exits._write([place], "tcp://127.0.0.1:1", 3)


def broken(*_):
    raise OSError("disk")
