"""install(client, retry=...): one policy for the cluster, and for the process that installs it."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
from distributed.core import Status
from distributed.protocol.pickle import dumps, loads

from persidict import FileDirDict
from persidict_dask import RetryPolicy, _defaults, _install, install, worker_store
from persidict_dask._defaults import Connection, default_policy, policies


@pytest.fixture(autouse=True)
def untold(monkeypatch):
    """Nothing is installed in this process before a test."""
    monkeypatch.setattr(_defaults.policies, "_told", {})
    monkeypatch.setattr(_install._told, "_told", {})


def attempts():
    policy = default_policy()
    return None if policy is None else policy.attempts


def everywhere(client):
    return {attempts(), *client.run(attempts).values()}


def pids(client):
    return set(client.run(os.getpid).values())


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def size(client):
    return len(client.scheduler_info(n_workers=-1)["workers"])


@pytest.mark.parametrize("retry", [3, "twice", RetryPolicy, {"attempts": 3}])
def test_what_is_no_policy_is_refused_before_anything_else(retry):
    with pytest.raises(TypeError, match="RetryPolicy"):
        install(None, retry=retry)


def test_a_policy_is_the_default_on_all_workers_and_here(client):
    assert everywhere(client) == {None}
    installed = install(client, retry=RetryPolicy(attempts=7))
    assert everywhere(client) == {7}
    assert set(client.gather(client.map(lambda _: attempts(), range(8), pure=False))) == {7}
    assert installed.retry.attempts == 7
    assert "attempts=7" in repr(installed)
    assert "attempts=7" in installed._repr_html_()
    installed.uninstall()
    assert everywhere(client) == {None}
    installed.uninstall()


def test_the_last_one_counts(client):
    install(client, retry=RetryPolicy(attempts=7))
    last = install(client, retry=RetryPolicy(attempts=8))
    assert everywhere(client) == {8}
    install(client)
    assert everywhere(client) == {None}
    last.uninstall()


def test_late_workers_and_those_in_place_of_killed_ones(client):
    installed = install(client, retry=RetryPolicy(attempts=7))
    client.cluster.scale(3)
    client.wait_for_workers(3)
    assert everywhere(client) == {7}
    client.cluster.scale(2)
    wait_for(lambda: size(client) == 2)
    before = set(client.scheduler_info(n_workers=-1)["workers"])
    os.kill(min(pids(client)), signal.SIGKILL)
    wait_for(lambda: not before <= set(client.scheduler_info(n_workers=-1)["workers"]))
    wait_for(lambda: size(client) == 2)
    assert everywhere(client) == {7}
    installed.uninstall()


class FakeWorker:
    """A worker whose loop runs when it is told to."""

    id = "w"
    batched_stream = None
    status = Status.running

    def __init__(self):
        self.later = []
        self.loop = SimpleNamespace(
            add_callback=lambda call, *args: self.later.append((call, args))
        )

    def turn(self):
        for call, args in self.later:
            call(*args)


def plugin(tmp_path, n):
    refs = {
        "replaced": _install._reference("replaced", FileDirDict(base_dir=str(tmp_path / str(n))))
    }
    return _install._plugin(refs, RetryPolicy(attempts=n))


@pytest.fixture
def no_reporter(monkeypatch):
    silent = SimpleNamespace(start=lambda: None, stop=lambda: None)
    monkeypatch.setattr(_install, "Reporter", lambda worker, *shared: silent)


def test_while_one_replaces_another_there_is_always_one(tmp_path, no_reporter):
    """Dask takes the old plugin down, and then sets the new one up; tasks run all the while."""
    worker = FakeWorker()
    old, new = plugin(tmp_path, 7), plugin(tmp_path, 8)
    old.setup(worker)
    old.teardown(worker)
    assert attempts() == 7
    assert worker_store("replaced").base_dir.endswith("7")
    new.setup(worker)
    worker.turn()
    assert attempts() == 8
    assert worker_store("replaced").base_dir.endswith("8")
    new.teardown(worker)
    worker.turn()
    assert attempts() is None
    with pytest.raises(KeyError):
        worker_store("replaced")


def test_each_of_several_workers_of_a_process_is_forgotten(tmp_path, no_reporter):
    """What Dask has unpickled for one of them has the same class as what it has for another."""
    sent, workers = dumps(plugin(tmp_path, 7)), []
    for name in "ab":
        worker, made = FakeWorker(), loads(sent)
        worker.id = name
        made.setup(worker)
        workers.append((worker, made))
    assert len(policies.everything()) == 2
    for worker, made in workers:
        made.teardown(worker)
        worker.turn()
    assert policies.everything() == _install._told.everything() == []


def test_a_worker_that_closes_is_forgotten_though_its_loop_turns_no_more(tmp_path, no_reporter):
    worker, made = FakeWorker(), plugin(tmp_path, 7)
    made.setup(worker)
    worker.status = Status.closing
    made.teardown(worker)
    assert attempts() is None
    with pytest.raises(KeyError):
        worker_store("replaced")


def test_what_a_worker_says_and_what_a_client_says():
    client = Connection("tcp://a", lambda: SimpleNamespace(status="running"))
    policies.tell(client, RetryPolicy(attempts=8))
    policies.tell("worker", RetryPolicy(attempts=7))
    assert attempts() == 8
    policies.tell(Connection("tcp://a"), None)
    assert attempts() == 7
