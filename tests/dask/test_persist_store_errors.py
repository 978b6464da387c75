"""A store that fails: the value comes back, with one warning; or the error, for those who want."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import threading
import time
import uuid
import warnings

import pytest

from persidict import FileDirDict
from persidict.exceptions import BackendError
from persidict_dask import persist


def mounted(path, *options):
    """Mount a small file system, which only root may; tell whether it worked."""
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(path)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class Refusing(FileDirDict):
    """A folder in which nothing can be written, also for root."""

    error = errno.EROFS

    def _write(self, key, value, guard):
        raise OSError(self.error, os.strerror(self.error))


class Forbidden(Refusing):
    error = errno.EACCES


class Unreadable(FileDirDict):
    """A folder in which nothing can be read."""

    def _read(self, key, unless):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class Unreachable(FileDirDict):
    """A store that fails with an error of its own kind."""

    def _read(self, *args):
        raise BackendError("no answer", backend="x", operation="read")

    _write = _read


def full_disk(path):
    if not mounted(path, "-o", "size=16k"):
        pytest.skip("only root mounts file systems")
    with pytest.raises(OSError), open(path / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    return str(path)


def read_only(path):
    """A folder that was filled, and mounted again without the permission to write."""
    if not mounted(path):
        pytest.skip("only root mounts file systems")
    subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
    return str(path)


def below_a_file(path):
    (path / "file").touch()
    return str(path / "file" / "below")


PLACES = {
    "full disk": full_disk,
    "read-only": read_only,
    "below a read-only folder": lambda path: f"{read_only(path)}/below/it",
    "below a file": below_a_file,
    "refusing": lambda path: Refusing(base_dir=str(path)),
    "forbidden": lambda path: Forbidden(base_dir=str(path)),
    "unreadable": lambda path: Unreadable(base_dir=str(path)),
    "unreachable": lambda path: Unreachable(base_dir=str(path)),
}


@pytest.fixture(params=PLACES)
def failing(request, tmp_path):
    """A place for results that fails."""
    folder = tmp_path / "folder"
    folder.mkdir()
    yield PLACES[request.param](folder)
    subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("persidict._retry.pause", lambda index: None)


def new_name():
    return f"f{uuid.uuid4().hex}"


def recorded(call):
    """What a call returns, and the warnings that came with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return call(), [str(w.message) for w in caught if "its store fails" in str(w.message)]


def test_r4_the_value_comes_back_with_one_warning(failing, runs):
    """However often it is called, and with whatever arguments."""
    name = new_name()
    f = persist(failing, name=name)(lambda x: runs.append(x) or x + 1)
    values, told = recorded(lambda: [f(1), f(1), f(2)])
    assert values == [2, 2, 3]
    assert runs == [1, 1, 2]
    assert len(told) == 1
    assert name in told[0]
    assert f.stats().store_errors >= 1
    assert f.stats().errors == 0


def test_r4_the_error_comes_to_those_who_want_it(failing):
    f = persist(failing, name=new_name(), on_store_error="raise")(lambda x: x + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((OSError, BackendError)):
            f(1)


def test_r4_threads_get_their_values_with_one_warning(failing):
    f = persist(failing, name=new_name())(lambda x: x + 1)

    def work():
        values = []
        threads = [threading.Thread(target=lambda x=x: values.append(f(x % 2))) for x in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(values)

    values, told = recorded(work)
    assert values == [1, 1, 1, 2, 2, 2]
    assert len(told) == 1


def test_r4_coroutines_get_their_values_with_one_warning(failing):
    @persist(failing, name=new_name())
    async def f(x):
        await asyncio.sleep(0)
        return x + 1

    async def all_of_them():
        return await asyncio.gather(*(f(x % 2) for x in range(4)))

    values, told = recorded(lambda: asyncio.run(all_of_them()))
    assert values == [1, 2, 1, 2]
    assert len(told) == 1


def test_r4_what_is_stored_is_still_a_hit(tmp_path, runs):
    """A folder that became read-only after the first result."""
    name = new_name()

    def double(x):
        runs.append(x)
        return 2 * x

    persist(FileDirDict(base_dir=str(tmp_path)), name=name, version="1")(double)(1)
    f = persist(Refusing(base_dir=str(tmp_path)), name=name, version="1")(double)
    assert f(1) == 2
    assert recorded(lambda: f(2))[0] == 4
    assert f(1) == 2
    assert runs == [1, 2]


@pytest.mark.parametrize("setting", [{"ttl": 1}, {"validate": lambda value: value != "old"}])
def test_r4_what_cannot_be_removed_is_not_returned(tmp_path, setting):
    """A result that is too old, or unfit, in a folder that refuses."""
    name = new_name()
    old = persist(FileDirDict(base_dir=str(tmp_path)), name=name, version="1")(lambda x: "old")
    old(1)
    for path in tmp_path.rglob("*.pkl"):
        os.utime(path, (1, 1))

    class Undeletable(Refusing):
        def _remove(self, key, guard):
            raise OSError(errno.EROFS, "read-only")

    place = Undeletable(base_dir=str(tmp_path))
    f = persist(place, name=name, version="1", **setting)(lambda x: "new")
    assert recorded(lambda: [f(1), f(1)])[0] == ["new", "new"]


def test_r4_a_refresh_says_each_time_that_the_old_result_is_still_there(tmp_path):
    f = persist(Refusing(base_dir=str(tmp_path)), name=new_name())(lambda x: x)
    values, told = recorded(lambda: [f.refresh(1), f.refresh(1)])
    assert values == [1, 1]
    assert len(told) == 2


def test_r4_errors_of_the_user_are_no_trouble_with_the_store(store):
    """From the function itself, and from `validate`."""

    def check(value):
        raise OSError("of the user")

    f = persist(store, name=new_name(), validate=check)(lambda x: x)
    g = persist(store, name=new_name())(lambda x: check(x))
    with pytest.raises(OSError, match="of the user"):
        g(1)
    store[f.key_of(1)] = 1
    with pytest.raises(OSError, match="of the user"):
        f(1)
    assert f.stats().store_errors == g.stats().store_errors == 0


def test_r4_a_store_that_takes_long_to_fail_is_left_alone_for_a_while(tmp_path, monkeypatch):
    """So that calls do not wait for it each time; later it is asked again."""
    asked, now = [], [1000.0]
    monkeypatch.setattr("persidict_dask._trouble.time.monotonic", lambda: now[0])

    class Slow(FileDirDict):
        def _read(self, key, unless):
            asked.append(key)
            now[0] += 5
            raise TimeoutError

    f = persist(Slow(base_dir=str(tmp_path)), name=new_name(), single_flight=False)(lambda x: x)
    assert recorded(lambda: [f(x) for x in range(10)])[0] == [*range(10)]
    assert len(asked) == 1
    now[0] += 60
    recorded(lambda: f(11))
    assert len(asked) == 2


def test_r4_a_bucket_that_forbids_everything(tmp_path):
    botocore = pytest.importorskip("botocore.exceptions")
    refusal = botocore.ClientError({"Error": {"Code": "AccessDenied"}}, "PutObject")

    class Denied(FileDirDict):
        def _read(self, *args):
            raise refusal

        _write = _read

    f = persist(Denied(base_dir=str(tmp_path)), name=new_name())(lambda x: x)
    values, told = recorded(lambda: [f(1), f(1)])
    assert (values, len(told)) == ([1, 1], 1)
    assert "AccessDenied" in told[0]


def test_r4_a_server_that_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    url = "s3://bucket/x?endpoint_url=http://127.0.0.1:9&region=x"
    f = persist(url, name=new_name())(lambda x: x)
    begin = time.monotonic()
    values, told = recorded(lambda: [f(x) for x in range(20)])
    assert (values, len(told)) == ([*range(20)], 1)
    assert time.monotonic() - begin < 120


def test_an_extra_that_is_missing_is_said_before_anything_runs(runs, monkeypatch):
    """Instead of after the run, whose result would be lost, and in no other words."""
    monkeypatch.setattr("persidict.extras.is_installed", lambda library: False)
    f = persist("s3://bucket/x", name=new_name())(runs.append)

    @persist("s3://bucket/x", name=new_name())
    async def g(x):
        runs.append(x)

    calls = [f, f.refresh, f.is_cached, lambda x: asyncio.run(g(x))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in [*calls, lambda x: asyncio.run(g.refresh(x))]:
            with pytest.raises(ModuleNotFoundError, match=r"persidict\[aws\]"):
                call(1)
    assert not runs


SCRIPT = """
    import warnings
    from distributed import Client, LocalCluster
    from persidict_dask import persist, install, stats

    @persist("PLACE")
    def f(x):
        return x + 1

    if __name__ == "__main__":
        with LocalCluster(n_workers=2, dashboard_address=None) as c, Client(c) as client:
            install(client, dashboard=False)
            print(client.gather(client.map(f, [1, 2, 3])), client.gather(f.map(client, [1, 2, 9])),
                  f.submit(client, 4).result(), stats(client)["__main__.f"].store_errors > 0)
"""


@pytest.mark.parametrize("place", ["full disk", "read-only", "below a file"])
def test_r4_values_come_back_from_a_cluster(new_project, tmp_path, place):
    folder = tmp_path / "folder"
    folder.mkdir()
    project = new_project()
    try:
        project.write("script.py", SCRIPT.replace("PLACE", PLACES[place](folder)))
        assert project.run("script.py") == "[2, 3, 4] [2, 3, 10] 5 True"
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)
