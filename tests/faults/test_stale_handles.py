"""A network file system says "stale" of a file that was replaced: it is opened again."""

import errno
import os

import pytest

from persidict import BackendError, FileDirDict

READS = {
    "[]": lambda d: d["a"],
    "get": lambda d: d.get("a"),
    "in": lambda d: 1 if "a" in d else 0,
    "etag": lambda d: 1 if d.etag("a") else 0,
    "timestamp": lambda d: 1 if d.timestamp("a") else 0,
    "setdefault": lambda d: d.setdefault("a", 2),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: v).new_value,
    "discard": lambda d: int(d.discard("a")),
    "values": lambda d: sum(d.values()),
    "len": len,
    "timestamps": lambda d: len(list(d.keys_and_timestamps())),
}


@pytest.fixture(params=["nfs", "fuse.sshfs"])
def d(request, tmp_path, pretend):
    pretend(request.param)
    made = FileDirDict(base_dir=tmp_path, durability="relaxed", digest_len=0)
    made["a"] = 1
    return made


class StaleListing:
    """A listing of a folder that has become stale when it is read."""

    def __init__(self, entries):
        self._entries = entries

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._entries.close()

    def __iter__(self):
        return self

    def __next__(self):
        raise OSError(errno.ESTALE, "Stale file handle")


def make_stale(monkeypatch, d, name, times):
    """Let a call on the item of `d`, or on its folder, fail so many times."""
    original, left = getattr(os, name), [times]
    paths = (d.base_dir, os.path.join(d.base_dir, "a.pkl"))

    def stale(path, *args, **kwargs):
        where = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
        if not left[0] or where.rstrip("/") not in paths:
            return original(path, *args, **kwargs)
        left[0] -= 1
        if name == "scandir" and left[0] % 2:
            return StaleListing(original(path))
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, name, stale)
    return left


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("name", ["open", "stat", "fstat", "read", "scandir"])
def test_what_is_stale_is_opened_again_many_times(d, monkeypatch, pauses, read, name):
    make_stale(monkeypatch, d, name, 25)
    assert read(d) == 1


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("name", ["open", "stat", "fstat", "read", "scandir"])
def test_what_is_stale_for_ever_is_an_error(d, monkeypatch, pauses, read, name):
    left = make_stale(monkeypatch, d, name, 10**9)
    try:
        found = read(d)
    except BackendError as error:
        found = str(error)
    # not every operation makes each call, or cannot do without it
    assert found == 1 or "a file is stale whenever it is opened" in found
    assert 10**9 - left[0] < 1000
    assert len(pauses) < 1000
