"""Two clusters in one process: tasks get the stores and policies of the cluster that runs them."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from distributed import Client, LocalCluster, worker_client

from persidict import FileDirDict
from persidict_dask import RetryPolicy, _store_retry, install, persist, stats, worker_store
from persidict_dask._defaults import default_policy
from persidict_dask._flights import in_thread


def cluster(**settings):
    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": False} | settings
    return LocalCluster(dashboard_address=None, **settings)


@pytest.fixture(scope="module")
def clients():
    with cluster() as a, cluster() as b, Client(a) as first, Client(b) as second:
        yield first, second


@pytest.fixture
def two(clients, tmp_path):
    """Clients with stores and policies of their own; `second` is the last that was told."""
    first, second = clients
    installed = [
        install(first, stores={"state": str(tmp_path / "a")}, retry=RetryPolicy(attempts=2)),
        install(second, stores={"state": str(tmp_path / "b")}, retry=RetryPolicy(attempts=5)),
    ]
    yield first, second
    for each in installed:
        each.uninstall()


def seen(_=None):
    """What a task has: the end of its store's folder, and the attempts of its policies."""
    io = _store_retry._told.latest()
    policy = default_policy()
    return (
        worker_store("state").base_dir[-1],
        policy and policy.attempts,
        io and io.attempts,
    )


A, B = ("a", 2, 2), ("b", 5, 5)


async def seen_by_coroutine():
    await asyncio.sleep(0)
    mine = seen()
    child = await asyncio.create_task(asyncio.sleep(0, seen()))
    return [mine, child, await asyncio.to_thread(seen), await in_thread(seen)]


def seen_inside_worker_client():
    with worker_client() as client:
        return [seen(), client.submit(seen, pure=False).result()]


def seen_beside_another_client(address):
    with Client(address, set_as_default=False):
        return seen()


class Actor:
    def seen(self):
        return seen()

    async def seen_async(self):
        await asyncio.sleep(0)
        return seen()


def test_d5_tasks_get_what_their_cluster_has(two):
    first, second = two
    for client, expected in ((first, A), (second, B), (first, A)):
        assert client.submit(seen, pure=False).result() == expected
        assert client.submit(seen_by_coroutine, pure=False).result() == [expected] * 4
        assert client.submit(seen_inside_worker_client, pure=False).result() == [expected] * 2


def test_d5_another_client_in_a_task_changes_nothing(two):
    first, second = two
    address = second.scheduler.address
    assert first.submit(seen_beside_another_client, address, pure=False).result() == A


def test_d5_persisted_functions_follow_the_policy_of_their_cluster(two, tmp_path):
    log = tmp_path / "log"

    @persist(str(tmp_path / "cache"), ignore="log")
    def failing(x, log):
        with log.open("a") as lines:
            lines.write(x)
        raise OSError("down")

    for client, x in zip(two, "ab", strict=True):
        with pytest.raises(OSError):
            client.submit(failing, x, log, pure=False).result()
    assert log.read_text() == "aa" + "bbbbb"


def in_a_thread():
    found = []

    def look():
        try:
            found.append(seen())
        except LookupError as error:
            found.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def test_d5_an_ambiguous_name_is_an_error_where_no_task_runs(two):
    first, second = two
    for where in (seen, lambda: ThreadPoolExecutor(1).submit(seen).result()):
        with pytest.raises(LookupError, match=r"'state' is ambiguous.*client=") as caught:
            where()
        assert not isinstance(caught.value, KeyError)
    error = first.submit(in_a_thread, pure=False).result()
    assert isinstance(error, LookupError)
    assert worker_store("state", client=first).base_dir.endswith("a")
    assert worker_store("state", client=second).base_dir.endswith("b")
    with pytest.raises(KeyError, match="install"):
        worker_store("other", client=first)


def test_d5_a_task_may_name_its_own_client(two):
    def named():
        with worker_client() as client:
            return worker_store("state", client=client).base_dir[-1]

    assert [client.submit(named, pure=False).result() for client in two] == ["a", "b"]


def test_d5_callbacks_are_code_of_no_task(two):
    first, _ = two
    called, found = threading.Event(), []

    def callback(future):
        found.append(in_a_thread())
        called.set()

    first.submit(abs, -1, pure=False).add_done_callback(callback)
    assert called.wait(30)
    assert isinstance(found[0], LookupError)


def test_d5_uninstalling_one_leaves_the_other(clients, tmp_path):
    first, second = clients
    one = install(first, stores={"state": str(tmp_path / "a")}, retry=RetryPolicy(attempts=2))
    other = install(second, stores={"state": str(tmp_path / "b")}, retry=RetryPolicy(attempts=5))
    other.uninstall()
    assert first.submit(seen, pure=False).result() == seen() == A
    with pytest.raises(KeyError, match="install"):
        second.submit(seen, pure=False).result()
    assert second.submit(lambda: default_policy() is None, pure=False).result()
    one.uninstall()


def test_d5_the_same_store_under_one_name_is_no_matter(clients, tmp_path):
    store = FileDirDict(base_dir=str(tmp_path / "a"))
    installed = [install(client, stores={"state": store}) for client in clients]
    assert worker_store("state").base_dir == store.base_dir
    for each in installed:
        each.uninstall()


def test_d5_a_cluster_that_is_closed_makes_no_name_ambiguous(tmp_path):
    with cluster() as made, Client(made) as client:
        install(client, stores={"state": str(tmp_path / "a")})
    assert worker_store("state").base_dir.endswith("a")
    with cluster() as made, Client(made) as client:
        installed = install(client, stores={"state": str(tmp_path / "b")})
        assert worker_store("state").base_dir.endswith("b")
        installed.uninstall()


def test_d5_clusters_of_processes_in_one_program(tmp_path):
    """The workers know one cluster each; this process is a client of both."""
    with (
        cluster(processes=True) as a,
        cluster(processes=True) as b,
        Client(a) as first,
        Client(b) as second,
    ):
        installed = [
            install(client, stores={"state": str(tmp_path / name)}, retry=RetryPolicy(attempts=n))
            for client, name, n in ((first, "a", 2), (second, "b", 5))
        ]
        assert first.submit(seen).result() == first.submit(in_a_thread).result() == A
        assert second.submit(seen).result() == second.submit(in_a_thread).result() == B
        for client, expected in ((first, A), (second, B)):
            with client.as_current():  # by which actors find their cluster
                actor = client.submit(Actor, actor=True, pure=False).result()
                assert actor.seen().result(60) == actor.seen_async().result(60) == expected
        with pytest.raises(LookupError, match="ambiguous"):
            worker_store("state")
        assert stats(first).is_cluster
        for each in installed:
            each.uninstall()


def test_d5_large_values_are_read_and_written_in_the_context_of_the_task():
    """Stores use threads of their own, in which nobody knows the worker otherwise."""
    from contextvars import ContextVar

    from persidict._read_ahead import read_ahead

    where: ContextVar[str] = ContextVar("where")
    where.set("here")
    wanted = [(None, 1)] * 5
    found = read_ahead(lambda _: where.get("nowhere"), wanted, threads=2, most_bytes=10)
    assert [*found] == ["here"] * 5
