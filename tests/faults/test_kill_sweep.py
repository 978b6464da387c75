"""A process is killed before and after each file system call of an operation, in turn."""

import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from persidict import ETAG_IS_THE_SAME, FileDirDict
from persidict._file_lock import lock_path
from tests.faults.dead import dead_token

CALLS = """open close read write fsync utime stat lstat fstat symlink readlink unlink link replace
rename mkdir rmdir scandir listdir""".split()
OLD, NEW = ["old"] * 200, ["new"] * 200
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, forks")


def killed_at(index, moment, act):
    """Run `act` in a child that is killed at its call number `index`; False if it survives that."""
    child = os.fork()
    if child == 0:
        try:
            arm(index, moment)
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def arm(index, moment):
    made = 0

    def killing(call):
        def wrapped(*args, **kwargs):
            nonlocal made
            made += 1
            mine = made == index
            if mine and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*args, **kwargs)
            finally:
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)

        return wrapped

    for name in CALLS:
        wrapped = killing(getattr(os, name))
        for table in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
            if getattr(os, name) in table:
                table.add(wrapped)
        setattr(os, name, wrapped)


def overwrite(d):
    d["a"] = NEW


def insert_into_new_folders(d):
    d["new", "folder", "a"] = NEW


def set_default(d):
    d.setdefault("b", NEW)


def replace_guarded(d):
    etag = d.etag("a")
    d.set_item_if("a", value=NEW, condition=ETAG_IS_THE_SAME, expected_etag=etag)


def delete(d):
    del d["a"]


def delete_guarded(d):
    d.discard_item_if("a", condition=ETAG_IS_THE_SAME, expected_etag=d.etag("a"))


def transform(d):
    d.transform_item("a", transformer=lambda value: NEW)


def clear(d):
    d.clear()


ACTS = {
    overwrite: {"a": (OLD, NEW)},
    insert_into_new_folders: {("new", "folder", "a"): (None, NEW)},
    set_default: {"b": (None, NEW)},
    replace_guarded: {"a": (OLD, NEW)},
    delete: {"a": (OLD, None)},
    delete_guarded: {"a": (OLD, None)},
    transform: {"a": (OLD, NEW)},
    clear: {"a": (OLD, None)},
}


@pytest.fixture(scope="module")
def small():
    """A process that is quickly forked, unlike one that has imported all tests."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("broken_lock", [False, True], ids=["free", "lock of a dead process"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_after_a_kill_at_any_call_others_go_on_and_nothing_is_left(
    small, tmp_path, act, broken_lock, moment
):
    """Old or new values, at once; no lock in the way; and a listing leaves no trace behind."""
    assert small.submit(sweep, tmp_path, act, broken_lock, moment).result() > 5


def sweep(tmp_path, act, broken_lock, moment):
    """Kill at the first call, the second, and so on; return which was not reached any more."""
    index, was_killed = 0, True
    while was_killed:
        index += 1
        folder = tmp_path / str(index)
        d = FileDirDict(base_dir=folder, lock_timeout=5)
        d["a"] = OLD
        if broken_lock:
            os.symlink(dead_token(), lock_path(d._store.where(d._name(next(d.keys())))))
        was_killed = killed_at(index, moment, lambda d=d: act(d))
        check(d, ACTS[act], finished=not was_killed)
    return index


def check(d, expected, *, finished):
    for key, (old, new) in expected.items():
        assert d.get(key) in ([new] if finished else [old, new])
    assert all(value in (OLD, NEW) for value in d.values())
    assert set(names_in(d)) <= {str(file) for file in files_of(d)}
    for key in expected:  # waits at most as long as it takes to see that the owner is dead
        d[key] = OLD
        assert d.get_with_etag(key).new_value == OLD
        assert d.discard(key)
    d.clear()
    assert os.listdir(d.base_dir) == []


def files_of(d):
    return [d._store.where(d._name(key)) for key in d]


def names_in(d):
    for folder, _, names in os.walk(d.base_dir):
        yield from (os.path.join(folder, name) for name in names)
