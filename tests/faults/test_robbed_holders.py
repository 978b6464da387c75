"""A holder that another host took for dead, while it was only stopped, and that goes on."""

import itertools
import json
import os
import subprocess
import sys

import pytest

from persidict import OutcomeUnknownError
from persidict import _file_lock as file_lock
from tests.faults.sequential import BEGINNING, INNER, OPERATIONS, folder_dict, orders, sweep

ROBBER = """
import json, sys
from persidict import _file_lock, owners
from tests.faults.sequential import OPERATIONS, folder_dict

owners._host = lambda: "ffffffffffff"
_file_lock.LEASE = 0.0  # the other one is silent: it waits for us
for line in sys.stdin:
    folder, name, etag = json.loads(line)
    print(json.dumps(OPERATIONS[name][0](folder_dict(folder), etag)), flush=True)
"""


@pytest.fixture(scope="module")
def another_host():
    """A process that sees ours as one of another host, and has no patience."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    with subprocess.Popen(
        [sys.executable, "-c", ROBBER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
    ) as process:

        def act(folder, name, etag):
            process.stdin.write(json.dumps([str(folder), name, etag]) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield act
        process.stdin.close()


@pytest.mark.parametrize(("outer", "inner"), list(itertools.product(OPERATIONS, INNER)))
def test_no_update_is_lost_wherever_it_was_stopped(
    tmp_path, monkeypatch, another_host, outer, inner
):
    """As if one had come after the other; or an error says that its lock was lost."""
    expected = list(orders((outer, "outer"), (inner, "inner")))
    for moment, result, theirs, left in sweep(
        tmp_path, monkeypatch, outer, lambda d, etag: another_host(d.base_dir, inner, etag)
    ):
        if isinstance(result, OutcomeUnknownError):
            assert (theirs, left) in [order[1:] for order in expected], moment
        else:
            assert (result, theirs, left) in expected, moment


def test_a_lock_is_given_back_by_its_holder_alone(tmp_path):
    """The one that goes on does not remove the lock of those who came after it."""
    lock, theirs = str(tmp_path / "lock"), "ffffffffffff-1-1-1"

    def act(_fence):
        os.unlink(lock)
        os.symlink(theirs, lock)
        return True

    with pytest.raises(OutcomeUnknownError, match="lost to another host"):
        file_lock.locked(lock, 1, act)
    assert file_lock.holder_of(lock) == theirs
    os.unlink(lock)


def test_a_nested_operation_does_not_act_for_a_holder_that_was_robbed(tmp_path, monkeypatch):
    """It was stopped while it took the fence over, and another host has the lock by now."""
    d = folder_dict(tmp_path)
    d["a"], replace, rename = 0, os.replace, os.rename
    lock, theirs = file_lock.lock_path(d._store.where("a_btax.pkl")), "ffffffffffff-1-1-1"
    seen = []

    def stopped(source, target):
        monkeypatch.setattr(os, "rename", rename)
        os.unlink(lock)
        os.symlink(theirs, lock)
        rename(source, target)

    def look(source, target):
        seen.append(file_lock.holder_of(lock))
        replace(source, target)

    def let_go(_seconds):
        if file_lock.holder_of(lock) == theirs:
            os.unlink(lock)

    def interrupted(source, target):
        monkeypatch.setattr(os, "replace", look)
        monkeypatch.setattr(os, "rename", stopped)
        d["a"] = 1
        look(source, target)

    monkeypatch.setattr(file_lock.time, "sleep", let_go)
    monkeypatch.setattr(os, "replace", interrupted)
    d.transform_item("a", transformer=lambda value: value + 10)
    assert theirs not in seen[:1]
    assert d["a"] == 11


def test_what_changed_nothing_may_lose_its_lock(tmp_path):
    lock = str(tmp_path / "lock")
    assert file_lock.locked(lock, 1, lambda _: os.unlink(lock)) is None


def test_a_breaker_that_was_stopped_removes_no_lock_but_that_of_the_dead(tmp_path, monkeypatch):
    """Another one had broken the breaker's lock and the dead one's, and took the lock itself."""
    lock, dead, theirs = str(tmp_path / "lock"), "ffffffffffff-1-1-1", "ffffffffffff-2-1-1"
    os.symlink(dead, lock)
    unlink = os.unlink

    def stopped(path):
        if "/./lock" in path:
            monkeypatch.undo()
            breaker = file_lock.lock_path(lock, dead)
            file_lock.break_lock(breaker, file_lock.holder_of(breaker), 1)
            file_lock.break_lock(lock, dead, 1)
            os.symlink(theirs, lock)
        unlink(path)

    monkeypatch.setattr(os, "unlink", stopped)
    file_lock.break_lock(lock, dead, 1)
    assert file_lock.holder_of(lock) == theirs
    assert os.listdir(tmp_path) == ["lock"]


def test_foreign_text_in_a_lock_removes_nothing(tmp_path, monkeypatch):
    """What a lock says is part of a path only if it is a token."""
    monkeypatch.setattr(file_lock, "LEASE", 0.0)
    precious = tmp_path / "precious"
    precious.write_text("x")
    d = folder_dict(tmp_path / "d")
    d["a"] = BEGINNING
    os.mkdir(tmp_path / "d" / ".__tmp__x")
    os.symlink("x/../../precious", file_lock.lock_path(d._store.where("a_btax.pkl")))
    d["a"] = 1
    assert precious.read_text() == "x"
    assert d["a"] == 1
