"""A full disk: the error surfaces, the old value stays whole, no temporary file stays."""

import errno
import os
import random
import resource
import signal
import subprocess

import pytest

from persidict import FileDirDict, LocalDict, MutableDictCached

BIG = random.Random(1).randbytes(500_000)


@pytest.fixture
def limited_files(tmp_path):
    """A folder in which no file can grow beyond 100,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def failing_writes(tmp_path, monkeypatch):
    """A folder on a disk that takes 50,000 more bytes."""
    original, left = os.write, [50_000]

    def write(fd, data):
        taken = min(len(data), left[0])
        if not os.path.realpath(f"/proc/self/fd/{fd}").startswith(str(tmp_path)):
            return original(fd, data)
        if not taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= taken
        return original(fd, bytes(data[:taken]))

    monkeypatch.setattr(os, "write", write)
    return tmp_path


def mounted(path):
    """Mount a file system of 128 KiB, which only root may; tell whether it worked."""
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(path)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small_disk(tmp_path, request):
    """A folder on a small file system of its own; without root, on one that is as good as full."""
    if mounted(tmp_path):
        yield tmp_path
        subprocess.run(["umount", str(tmp_path)], check=True)
    else:
        yield request.getfixturevalue("failing_writes")


@pytest.fixture(params=["limited_files", "failing_writes", "small_disk"])
def disk(request):
    """Each kind of full disk in turn."""
    return request.getfixturevalue(request.param)


WRITES = {
    "[]=": lambda d: d.__setitem__("a", BIG),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: BIG),
    "setdefault": lambda d: d.setdefault("b", BIG),
    "update": lambda d: d.update(b=BIG),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_error_surfaces_at_once_and_the_old_value_stays_whole(disk, write, pauses):
    d = FileDirDict(base_dir=disk, compression=None)
    d["a"] = "old"
    etag = d.etag("a")
    with pytest.raises(OSError) as caught:
        write(d)
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert (dict(d.items()), d.etag("a")) == ({d.random_key(): "old"}, etag)
    assert [name for name in os.listdir(disk) if not name.endswith(".pkl")] == []
    assert pauses == []


def test_a_disk_with_room_again_takes_the_value(small_disk, monkeypatch):
    d = FileDirDict(base_dir=small_disk, compression=None)
    d["filler"] = b"x" * 30_000
    with pytest.raises(OSError, match="space"):
        d["a"] = BIG
    monkeypatch.undo()
    d.clear()
    d["a"] = BIG[:60_000]
    assert d["a"] == BIG[:60_000]


@pytest.mark.filterwarnings("ignore:an item is not cached")
def test_a_full_disk_under_a_cache_is_no_error(disk):
    data = FileDirDict(base_dir=disk, compression=None)
    etags = LocalDict(serialization_format="etag", base_class_for_values=str)
    cached = MutableDictCached(main_dict=LocalDict(), data_cache=data, etag_cache=etags)
    cached["a"] = "old"
    cached["a"] = BIG
    assert cached["a"] == cached["a"] == BIG
