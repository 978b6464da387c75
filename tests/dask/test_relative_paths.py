"""Relative paths on workers: those of the driver are meant, or a warning names the folder."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings

import pytest
from distributed import Client, LocalCluster

from persidict_dask import Counter, Lease, RetryPolicy, open_store, persist
from persidict_dask._digest import digest
from persidict_dask._stores import reference
from persidict_dask._where import is_worker_process

MODULE = """
import os
import tenacity
from persidict_dask import CircuitBreaker, Lease, RetryPolicy, open_store, persist

lease = Lease("locks", "report")
policy = RetryPolicy(attempts=2, wait=tenacity.wait_none(), state="attempts")

@persist("cache")
def kept(x):
    return x, os.getcwd()

def by_lease(_):
    with lease:
        return os.getcwd()

def by_policy(_):
    return policy.call(os.getcwd)

def by_function(x):
    return kept(x)[1]

def by_store(_):
    open_store("items")["x"] = 1
    return os.getcwd()

def by_breaker(_):
    CircuitBreaker("states", "b").state
    return os.getcwd()

def absolute(folder):
    with Lease(folder, "report"):
        return os.getcwd()
"""


def moved(folder):
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)


@pytest.fixture(scope="module")
def moved_client(shared_project):
    """A worker in another directory than this process."""
    shared_project.write("relative.py", MODULE)
    with (
        LocalCluster(n_workers=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(moved, str(shared_project.folder / "elsewhere"))
        client.run(sys.path.insert, 0, str(shared_project.folder))
        yield client


FOLDERS = {
    "by_lease": "locks",
    "by_policy": "attempts",
    "by_function": "cache",
    "by_store": "items",
    "by_breaker": "states",
}


def recorded(function, *args):
    """Run a function of the module on a worker; return the warnings there, and its directory."""
    module = __import__("relative")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder = getattr(module, function)(*args)
    return folder, [str(each.message) for each in caught if "relative path" in str(each.message)]


@pytest.mark.parametrize("function", FOLDERS)
def test_d7_a_relative_path_of_a_worker_warns_once(moved_client, shared_project, function):
    folder, told = moved_client.submit(recorded, function, 1, pure=False).result()
    assert folder == str(shared_project.folder / "elsewhere")
    name = FOLDERS[function]
    [text] = told
    assert f"{name!r} is a relative path" in text
    assert f"{os.path.join(folder, name)!r}" in text
    assert "absolute path" in text
    assert moved_client.submit(recorded, function, 2, pure=False).result()[1] == []


def test_d7_an_absolute_path_does_not_warn(moved_client, tmp_path):
    assert moved_client.submit(recorded, "absolute", str(tmp_path), pure=False).result()[1] == []


def where(thing):
    """Return the folders of what has arrived, and the warnings when they are opened."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lease, policy, function = thing
        with lease:
            folders = [lease._place.store.base_dir]
        policy.call(abs, -1)
        folders.append(policy._place.store.base_dir)
        function(1)
        folders.append(repr(function.store.get_params()))
    return folders, [str(each.message) for each in caught if "relative path" in str(each.message)]


def test_d7_what_comes_from_the_driver_keeps_the_folder_of_the_driver(
    moved_client, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sent = (
        Lease("locks", "report"),
        RetryPolicy(state="attempts"),
        persist("cache")(lambda x: x),
    )
    monkeypatch.chdir("/")
    folders, told = moved_client.submit(where, sent, pure=False).result()
    assert told == []
    assert folders[:2] == [str(tmp_path / name) for name in ("locks", "attempts")]
    assert str(tmp_path / "cache") in folders[2]


def test_d7_an_importable_function_that_is_sent_keeps_the_folder_of_the_driver(
    moved_client, shared_project, monkeypatch
):
    monkeypatch.chdir(shared_project.folder)
    import relative

    assert moved_client.submit(relative.kept, 5).result()[0] == 5
    assert relative.kept.is_cached(5)


def test_d7_a_process_of_a_worker_is_known_as_long_as_it_works(shared_project, python):
    """Started by hand, as `dask worker` does it, without a nanny."""
    code = """
import asyncio, sys, os, warnings
from distributed import Worker
from persidict_dask._where import is_worker_process

async def main():
    assert not is_worker_process()
    async with Worker(sys.argv[1], nthreads=1) as worker:
        assert is_worker_process()
    assert not is_worker_process()
asyncio.run(main())
print("done")
"""
    with LocalCluster(n_workers=0, processes=True, dashboard_address=None) as cluster:
        assert python(code, cluster.scheduler_address) == "done"


def test_d7_this_process_is_no_worker_though_its_cluster_is_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for settings in ({}, {"protocol": "tcp://"}):
        with (
            LocalCluster(
                n_workers=1, processes=False, dashboard_address=None, **settings
            ) as cluster,
            Client(cluster) as client,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", RuntimeWarning)
            assert not is_worker_process()
            open_store("here")["x"] = 1
            assert client.submit(lambda: Counter("there", "x").increment() > 0).result()


def test_d7_the_client_hears_of_it(moved_client, shared_project):
    script = shared_project.write(
        "heard.py",
        """
        import os, sys, time, warnings
        from distributed import Client
        from persidict_dask import Lease

        def held():
            return Lease("heard", "x").acquire(timeout=0)

        if __name__ == "__main__":
            with Client(sys.argv[1]) as client, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert client.submit(held).result()
                until = time.monotonic() + 30
                while not [w for w in caught if "relative path" in str(w.message)]:
                    assert time.monotonic() < until
                    time.sleep(0.02)
            print("heard")
        """,
    )
    done = subprocess.run(
        [sys.executable, script, moved_client.scheduler.address],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.strip() == "heard"


def test_d7_how_a_path_was_given_is_no_part_of_what_it_means(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative, absolute = reference("x"), reference(tmp_path / "x")
    assert relative == absolute
    assert hash(relative) == hash(absolute)
    assert digest(relative) == digest(absolute) == digest(pickle.loads(pickle.dumps(relative)))
    policy = RetryPolicy(state="x")
    monkeypatch.chdir("/")
    sent = pickle.loads(pickle.dumps(policy))
    assert sent._place.store.base_dir == policy._place.store.base_dir == str(tmp_path / "x")
    assert digest(sent) == digest(policy)
