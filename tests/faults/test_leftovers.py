"""What killed processes leave behind goes when it is surely stale, and stays until then."""

import os
import time

import pytest

from persidict import FileDirDict
from persidict.owners import new_token
from tests.faults.dead import dead_token

ELSEWHERE = "ffffffffffff-1-1-0"  # a process of another host
FOREIGN_TEMP = ["k3j2h1g0", ELSEWHERE]  # as persidict 0.309 names them, and another host's
DAY = 24 * 3600


@pytest.fixture
def d(tmp_path):
    made = FileDirDict(base_dir=tmp_path, durability="relaxed", digest_len=0)
    made["folder", "a"] = 1
    return made


def temp(d, token, age=0):
    path = os.path.join(d.base_dir, "folder", ".__tmp__" + token)
    with open(path, "w"):
        pass
    os.utime(path, (time.time() - age,) * 2)
    return path


def lock(d, token, age=0):
    path = os.path.join(d.base_dir, "folder", ".__lock__0123456789abcdef")
    os.symlink(token, path)
    os.utime(path, (time.time() - age,) * 2, follow_symlinks=False)
    return path


LISTINGS = {
    "len": len,
    "keys": lambda d: list(d.keys()),
    "items": lambda d: dict(d.items()),
    "timestamps": lambda d: list(d.keys_and_timestamps()),
    "sub-dictionary": lambda d: len(d.get_subdict("folder")),
    "clear": lambda d: d.clear(),
}


@pytest.mark.parametrize("make", [temp, lock])
@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_removes_what_a_dead_process_left(d, make, listing):
    path = make(d, dead_token())
    listing(d)
    assert not os.path.lexists(path)


@pytest.mark.parametrize("make", [temp, lock])
def test_what_a_process_that_lives_works_with_stays_at_any_age(d, make):
    path = make(d, new_token(), age=30 * DAY)
    assert len(d) == 1
    d.clear()
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("make", "token"), [(lock, ELSEWHERE), *((temp, token) for token in FOREIGN_TEMP)]
)
def test_what_nobody_here_can_vouch_for_stays_for_a_day(d, make, token):
    path = make(d, token, age=0.9 * DAY)
    assert len(d) == 1
    assert os.path.lexists(path)
    os.utime(path, (time.time() - 1.1 * DAY,) * 2, follow_symlinks=False)
    assert len(d) == 1
    assert not os.path.lexists(path)


def test_others_files_stay_at_any_age(d):
    for name in (".hidden", ".__other__", "notes.txt", ".__tmp", "__tmp__x"):
        with open(os.path.join(d.base_dir, name), "w"):
            pass
        os.utime(os.path.join(d.base_dir, name), (0, 0))
    before = set(os.listdir(d.base_dir))
    d.clear()
    assert set(os.listdir(d.base_dir)) == before - {"folder"}


@pytest.mark.parametrize("make", [temp, lock])
def test_a_listing_works_where_nothing_may_be_removed(d, make, monkeypatch, pauses):
    def refuse(*_args, **_kwargs):
        raise PermissionError("read only")

    make(d, dead_token())
    monkeypatch.setattr(os, "unlink", refuse)
    assert dict(d) == {("folder", "a"): 1}
