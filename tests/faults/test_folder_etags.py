"""Etags of a folder never repeat: whatever the clock does, and whichever inodes are used again."""

import os
import threading
import time

import pytest

from persidict import ETAG_IS_THE_SAME, ITEM_NOT_AVAILABLE, FileDirDict


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, durability="relaxed")


def histories(d):
    """Etags of versions: overwritten, removed, inserted, and written on condition."""
    d["a"] = 100
    for n in range(101, 140):
        yield d.etag("a")
        result = d.set_item_if("a", value=n, condition=ETAG_IS_THE_SAME, expected_etag=d.etag("a"))
        assert result.condition_was_satisfied
        yield result.resulting_etag
        d["a"] = n
        yield d.etag("a")
        del d["a"]
        d.setdefault("a", n)


def test_etags_of_quick_changes_differ(d):
    seen = list(histories(d))
    assert len(set(seen)) == len(seen)


def test_etags_differ_while_the_clock_goes_back(d, monkeypatch):
    clock = iter(range(time.time_ns(), 0, -1_000_000_007))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    seen = list(histories(d))
    assert len(set(seen)) == len(seen)


def test_versions_of_an_item_differ_while_the_clock_stands_still(d, monkeypatch):
    """Without removals in between; those cannot be told apart by a clock that has stopped."""
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_456_789)
    seen = []
    for n in range(100, 200):
        d["a"] = n
        seen.append(d.etag("a"))
    times = [int(etag.split(":")[0]) for etag in seen]
    assert times == sorted(set(times))


def test_etags_differ_where_times_are_kept_in_coarse_steps(d, monkeypatch):
    """A file system that cuts times off, and a clock that runs while somebody waits."""
    step, now = 10_000_000, [1_700_000_000_000_000_000]
    utime = os.utime

    def coarse(path, ns):
        utime(path, ns=(ns[0] // step * step, ns[1] // step * step))

    def wait(seconds):
        now[0] += int(seconds * 1e9)

    coarse_calls = os.supports_fd | {coarse}
    monkeypatch.setattr(os, "supports_fd", coarse_calls)
    monkeypatch.setattr(os, "utime", coarse)
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    monkeypatch.setattr(time, "monotonic_ns", lambda: now[0])
    monkeypatch.setattr(time, "sleep", wait)
    seen = list(histories(d))
    assert len(set(seen)) == len(seen)
    times = [int(etag.split(":")[0]) for etag in seen]
    assert times == sorted(times)
    assert len(set(times)) > len(times) / 2


def test_a_write_that_was_overtaken_gets_a_later_time_all_the_same(d, monkeypatch):
    """Its file was dated before it had the lock; what others wrote since is the earlier version."""
    from persidict import _folder_blobs

    publish = _folder_blobs.FolderBlobs._publish

    def overtaken(self, *args):
        monkeypatch.setattr(_folder_blobs.FolderBlobs, "_publish", publish)
        d["a"] = "theirs"
        times.append(d.timestamp("a"))
        return publish(self, *args)

    times = []
    monkeypatch.setattr(_folder_blobs.FolderBlobs, "_publish", overtaken)
    d["a"] = "mine"
    first, second = times[0], int(d.etag("a").split(":")[0])
    assert d["a"] == "mine"
    assert second > int(first * 1e9) - 1000


def test_the_etag_of_a_write_is_that_of_the_file(d):
    for n in range(20):
        result = d.set_item_if(
            "a",
            value=n,
            condition=ETAG_IS_THE_SAME,
            expected_etag=ITEM_NOT_AVAILABLE if n == 0 else d.etag("a"),
        )
        (file,) = os.scandir(d.base_dir)
        found = file.stat()
        expected = f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"
        assert result.resulting_etag == d.etag("a") == expected


def test_etags_of_many_writers_differ(d):
    """Two threads that overwrite, remove and insert values of one size."""
    seen = [[], []]

    def write(mine):
        for n in range(100, 400):
            result = d.set_item_if(
                "a", value=n, condition=ETAG_IS_THE_SAME, expected_etag=ITEM_NOT_AVAILABLE
            )
            if result.condition_was_satisfied:
                mine.append(result.resulting_etag)
            d.discard("a")

    threads = [threading.Thread(target=write, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    both = seen[0] + seen[1]
    assert len(both) > 100
    assert len(set(both)) == len(both)
