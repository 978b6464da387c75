"""Folders on file systems that remember names, make inodes up, or have no links."""

import errno
import logging
import os
import time
from unittest.mock import Mock

import pytest

from persidict import (
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    NEVER_RETRIEVE,
    FileDirDict,
    _file_system,
    _files,
)

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, durability="relaxed", digest_len=0)


# -- names that are remembered -------------------------------------------------------------------

LOOKS = {
    "in": lambda d: "a" in d,
    "get": lambda d: d.get("a"),
    "[]": lambda d: d["a"] if d.get("a", 0) else None,
    "get_item_if": lambda d: d.get_item_if("a", **ANY).new_value,
    "get_with_etag": lambda d: d.get_with_etag("a").new_value,
    "never retrieve": lambda d: (
        d.get_item_if("a", retrieve_value=NEVER_RETRIEVE, **ANY).actual_etag
    ),
    "setdefault": lambda d: d.setdefault("a", "mine"),
    "setdefault_if": lambda d: d.setdefault_if("a", default_value="mine", **ANY).new_value,
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: v).new_value,
    "discard": lambda d: d.discard("a"),
    "pop": lambda d: d.pop("a", None),
    "etag": lambda d: d.etag("a") if "a" in d else None,
    "timestamp": lambda d: d.timestamp("a") if "a" in d else None,
    "below": lambda d: d.get_subdict("f").get("b"),
}
each_look = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)


def test_the_client_does_remember(network, tmp_path):
    path = str(tmp_path / "x")
    assert not os.path.exists(path)
    with network.elsewhere():
        open(path, "w").close()
    assert not os.path.exists(path)
    os.scandir(tmp_path).close()
    assert os.path.exists(path)
    with network.elsewhere():
        os.unlink(path)
    assert os.path.exists(path)
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDONLY)
    assert not os.path.exists(path)


@each_look
def test_what_was_absent_and_is_made_elsewhere_is_seen(network, d, look):
    d["f", "other"] = 1
    assert "a" not in d
    assert ("f", "b") not in d
    with network.elsewhere():
        d["a"] = "theirs"
        d["f", "b"] = "theirs"
    assert look(d) not in (None, False, "mine", ITEM_NOT_AVAILABLE)


@each_look
def test_what_was_there_and_is_removed_elsewhere_is_not_seen(network, d, look):
    d["a"] = d["f", "b"] = "ours"
    assert "a" in d
    with network.elsewhere():
        del d["a"], d["f", "b"]
    assert look(d) in (None, False, "mine", ITEM_NOT_AVAILABLE)


def test_folders_that_were_absent_and_are_made_elsewhere_are_seen(network, d):
    assert d.get(("f", "g", "h", "k")) is None
    assert len(d.get_subdict(("x", "y"))) == 0
    with network.elsewhere():
        d["f", "g", "h", "k"] = d["f", "k"] = 1
    assert d["f", "g", "h", "k"] == 1
    with network.elsewhere():
        d["x", "y", "k"] = 1
    assert len(d.get_subdict(("x", "y"))) == 1


def test_versions_that_are_made_elsewhere_are_seen(network, d):
    d["a"] = 1
    before = d.etag("a"), d.timestamp("a")
    with network.elsewhere():
        d["a"] = 22
        now = d.etag("a"), d.timestamp("a")
    assert (d.etag("a"), d.timestamp("a")) == now != before
    result = d.get_item_if("a", condition=ETAG_HAS_CHANGED, expected_etag=before[0])
    assert (result.condition_was_satisfied, result.new_value) == (True, 22)


def test_a_write_compares_with_what_is_there_and_not_with_what_was(network, d):
    d["a"] = 1
    etag = d.etag("a")
    with network.elsewhere():
        d["a"] = 2
    result = d.set_item_if("a", value=3, condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert not result.condition_was_satisfied
    result = d.discard_item_if("a", condition=ETAG_IS_THE_SAME, expected_etag=etag)
    assert not result.condition_was_satisfied
    assert d["a"] == 2


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "apfs", "vfat"])
def test_a_local_file_system_is_asked_once(d, pretend, monkeypatch, kind):
    pretend(kind)
    d["a"] = 1
    assert "b" not in d
    calls = []
    for name in ("stat", "open", "scandir"):
        original = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, _name=name, _o=original, **k: calls.append(_name) or _o(*a, **k)
        )
    assert "b" not in d
    assert "a" in d
    assert d.get("b") is None
    d.etag("a")
    assert calls == ["stat", "stat", "open", "stat"]


def test_a_file_that_may_be_looked_at_but_not_read_is_there(network, d, monkeypatch, pauses):
    d["a"] = 1
    original = os.open

    def refused(path, *args, **kwargs):
        if str(path).endswith("a.pkl"):
            raise PermissionError(errno.EACCES, "denied", path)
        return original(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refused)
    assert "a" in d


# -- inodes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "is_real"),
    [
        ("ext4", "", True),
        ("nfs4", "rw,vers=4.2", True),
        ("", "", True),
        ("fuse.bindfs", "", True),
        ("cifs", "rw,serverino", True),
        ("cifs", "rw,noserverino", False),
        ("vfat", "", False),
        ("exfat", "", False),
        ("fuseblk", "", False),
        ("fuse", "", False),
        ("fuse.sshfs", "", False),
        ("fuse.rclone", "", False),
    ],
)
def test_made_up_inodes_are_no_part_of_etags(d, pretend, kind, options, is_real):
    pretend(kind, options)
    d["a"] = 1
    found = os.stat(os.path.join(d.base_dir, "a.pkl"))
    parts = [found.st_mtime_ns, found.st_size, found.st_ino][: 3 if is_real else 2]
    assert d.etag("a") == d.get_with_etag("a").actual_etag == ":".join(map(str, parts))
    assert d.file_system.real_inodes is is_real


def test_versions_differ_without_inodes(d, pretend):
    pretend("exfat")
    etags = []
    for n in range(100, 130):
        d["a"] = n
        etags.append(d.etag("a"))
        del d["a"]
        d.setdefault("a", n)
        etags.append(d.etag("a"))
    assert len(set(etags)) == len(etags)


def test_a_file_is_read_as_the_version_that_it_is_called(d, pretend, monkeypatch):
    """FUSE tells of a descriptor what is true of its name, and the file is replaced in between."""
    pretend("fuse.sshfs")
    d["a"] = "old"
    path, opened, original = os.path.join(d.base_dir, "a.pkl"), [], (os.open, os.fstat)

    def open_and_be_replaced(name, *args, **kwargs):
        fd = original[0](name, *args, **kwargs)
        if name == path and not args[0] & os.O_CREAT:
            opened.append(fd)
            if len(opened) == 2:
                d["a"] = "new"
        return fd

    def fstat(fd):
        return os.stat(path) if fd in opened else original[1](fd)

    monkeypatch.setattr(os, "open", open_and_be_replaced)
    monkeypatch.setattr(os, "fstat", fstat)
    found = d.get_with_etag("a")
    assert (found.new_value, found.actual_etag) == ("new", d.etag("a"))


def test_a_file_that_looks_new_while_it_is_read_is_the_version_that_it_was(
    d, pretend, monkeypatch, pauses
):
    """As rclone has it, until the file is closed."""
    pretend("fuse.rclone")
    d["a"] = "value"
    etag, original, reading = d.etag("a"), (os.read, os.fstat, os.close), set()

    def fstat(fd):
        found = original[1](fd)
        return os.stat_result((*found[:8], 0, *found[9:])) if fd in reading else found

    monkeypatch.setattr(os, "read", lambda fd, n: reading.add(fd) or original[0](fd, n))
    monkeypatch.setattr(os, "close", lambda fd: reading.discard(fd) or original[2](fd))
    monkeypatch.setattr(os, "fstat", fstat)
    result = d.get_with_etag("a")
    assert (result.new_value, result.actual_etag, pauses) == ("value", etag, [])


# -- links ---------------------------------------------------------------------------------------


def refusing(monkeypatch, *names, number):
    calls = []

    def refuse(*args, **_kwargs):
        calls.append(args)
        raise OSError(number, os.strerror(number))

    for name in names:
        monkeypatch.setattr(os, name, refuse)
    return calls


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EPERM, errno.EINVAL])
def test_where_links_fail_whatever_the_error_others_are_used(
    d, pretend, monkeypatch, number, pauses
):
    pretend("fuse.rclone")
    calls = refusing(monkeypatch, "link", number=number)
    assert [d.setdefault(key, 1) for key in "abca"] == [1, 1, 1, 1]
    assert len(calls) <= 1 + 4 + 2 + 2
    assert len(pauses) <= 3
    assert sorted(os.listdir(d.base_dir)) == ["a.pkl", "b.pkl", "c.pkl"]
    assert d.file_system.hard_links is False


def test_a_failure_of_links_that_passes_is_not_kept_in_mind(d, pretend, monkeypatch, pauses):
    pretend("ext4")
    with monkeypatch.context() as patch:
        refusing(patch, "link", number=errno.EPERM)
        d["a"], d.clone(append_only=True)["b"] = 1, 1
    assert d.file_system.hard_links is False
    original, left = os.link, [1]

    def link(*args):
        if left:
            raise OSError(errno.EIO, left.pop())
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", link)
        with pytest.raises(OSError, match="1"):  # it says nothing of links, since they work
            d.setdefault("c", 1)
    assert d.file_system.hard_links is True


def test_a_link_that_fails_where_links_work_is_an_error(d, monkeypatch, pauses):
    original, broken = os.link, os.path.join(d.base_dir, "a.pkl")

    def link(source, target):
        if target == broken:
            raise OSError(errno.EIO, "injected")
        return original(source, target)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="injected"):
        d.setdefault("a", 1)
    assert d.setdefault("b", 1) == 1
    assert os.listdir(d.base_dir) == ["b.pkl"]


@pytest.mark.parametrize(
    ("kind", "is_link"), [("ext4", True), ("nfs", True), ("fuse.sshfs", False)]
)
def test_locks_are_no_links_where_it_is_remembered_where_they_led(d, pretend, kind, is_link):
    pretend(kind)
    d["a"] = 1
    seen = []

    original = os.replace

    def replace(*paths):
        seen.extend(os.path.islink(e.path) for e in os.scandir(d.base_dir) if "__lock__" in e.name)
        return original(*paths)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace)
        d["a"] = 2
    assert seen == [is_link]


# -- what is known is shown ----------------------------------------------------------------------


def test_a_dictionary_tells_its_file_system_and_leaves_nothing(d):
    d["a"] = 1
    found = d.file_system
    assert (found.hard_links, found.symbolic_links, found.real_inodes) == (True, True, True)
    assert os.listdir(d.base_dir) == ["a.pkl"]
    assert d.file_system == found


def test_links_are_tried_once_for_a_file_system(d, pretend, monkeypatch):
    pretend("ext4")
    assert d.file_system.hard_links
    refusing(monkeypatch, "link", "symlink", "open", number=errno.EIO)
    assert d.clone(base_dir=os.path.join(d.base_dir, "below")).file_system.hard_links


def test_a_folder_that_cannot_be_written_says_nothing_of_links(d, pretend, monkeypatch):
    d["a"] = 1
    pretend("ext4")
    original = os.open

    def read_only(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "read-only")
        return original(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    assert (d["a"], len(d), "b" in d) == (1, 1, False)
    assert (d.file_system.hard_links, d.file_system.symbolic_links) == (None, None)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("fuse.sshfs", "fuse.sshfs: names are remembered, made-up inodes"),
        ("nfs4", "nfs4: names are remembered"),
        ("exfat", "exfat: made-up inodes"),
    ],
)
def test_what_is_unusual_is_shown_and_logged_once(d, pretend, caplog, kind, said):
    pretend(kind)
    with caplog.at_level(logging.INFO, logger="persidict"):
        assert said in repr(d)
        d["a"] = 1
        assert d.get("b") is None
    [record] = caplog.records
    assert said in record.getMessage()
    assert d.base_dir in record.getMessage()


@pytest.mark.parametrize("kind", ["ext4", ""])
def test_an_ordinary_folder_is_shown_by_its_parameters_alone(d, pretend, caplog, kind):
    pretend(kind)
    with caplog.at_level(logging.INFO, logger="persidict"):
        assert repr(d).endswith(", serialization_format='pkl')")
    assert caplog.records == []


@pytest.fixture
def unknown(tmp_path, monkeypatch):
    """A folder whose file system has not been looked at."""
    for name in ("_known", "_works"):
        monkeypatch.setattr(_file_system, name, {})
    monkeypatch.setattr(_file_system, "ordinary", set())
    _file_system.file_system_at.cache_clear()
    return tmp_path / "d"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO], ids=errno.errorcode.get)
def test_a_look_at_a_file_system_that_fails_is_not_kept_in_mind(unknown, monkeypatch, number):
    """Else etags, and the kind of locks, would be others in this process than everywhere."""
    with monkeypatch.context() as patch:
        refusing(patch, "open", number=number)
        with pytest.raises(OSError, match=os.strerror(number)):
            _file_system.file_system_at(str(unknown))
    assert _file_system.file_system_at(str(unknown)).kind


def test_a_folder_that_vanishes_while_it_is_looked_at_is_like_the_one_above(unknown, monkeypatch):
    unknown.mkdir()
    found, open_ = os.stat(unknown), os.open

    def vanish(path, *args):
        if path == str(unknown) and unknown.exists():
            unknown.rmdir()
        return open_(path, *args)

    monkeypatch.setattr(os, "open", vanish)
    assert _file_system.file_system_at(str(unknown)).kind
    unknown.mkdir()
    _file_system._known.clear()
    assert _file_system.file_system_of(found, str(unknown / "a")).kind


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_disk_of_a_system_that_names_no_kinds_is_local(tmp_path, monkeypatch, platform):
    """Other disks there may be anything."""
    monkeypatch.delattr(os, "O_PATH")
    monkeypatch.setattr(_file_system.sys, "platform", platform)
    assert _file_system._mount_of(str(tmp_path)) == ("", "")
    (_, kind) = _file_system._SYSTEM_DISKS[platform]
    monkeypatch.setitem(_file_system._SYSTEM_DISKS, platform, (str(tmp_path), kind))
    assert _file_system._mount_of(str(tmp_path)) == (kind, "")
    assert kind in _file_system._EXACT.split()


# -- versions that look the same ------------------------------------------------------------------

STEP = 2_000_000_000


@pytest.fixture
def clock(pretend, monkeypatch):
    """FAT: no inodes, and times in steps of two seconds, by a clock that is set by hand."""
    utime, now = os.utime, [500 * STEP]
    pretend("vfat")
    monkeypatch.setattr(
        os, "utime", lambda file, ns: utime(file, ns=tuple(n // STEP * STEP for n in ns))
    )
    clocks = Mock(wraps=time, time_ns=lambda: now[0])
    monkeypatch.setattr(_files, "time", clocks)
    return now


def test_what_came_in_between_and_looks_the_same_is_not_taken_for_ones_own(d, clock, monkeypatch):
    d["a"] = 0
    clock[0] += STEP
    replace = os.replace

    def interrupted(source, target):
        monkeypatch.setattr(os, "replace", replace)
        d.transform_item("a", transformer=lambda value: value + 1)
        clock[0] += STEP
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    d.transform_item("a", transformer=lambda value: value + 10)
    assert d["a"] == 11


def test_what_was_there_and_looks_the_same_is_not_taken_for_ones_own(d, clock, monkeypatch):
    d["a"] = 0
    utime = os.utime

    def refuse(file, ns):
        if isinstance(file, str):
            raise OSError(errno.EIO, "not now")
        utime(file, ns=ns)

    monkeypatch.setattr(os, "utime", refuse)
    with pytest.raises(OSError, match="not now"):
        d["a"] = 1
    assert d["a"] == 0


def test_an_answer_that_got_lost_is_found_without_inodes(d, clock, monkeypatch):
    replace = os.replace

    def lose(source, target):
        replace(source, target)
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(os, "replace", lose)
    assert d.transform_item("a", transformer=lambda _: 1).new_value == 1
    assert d["a"] == 1
