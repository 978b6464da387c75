"""Writing a file: whole or not at all, through to the disk, and nothing left behind."""

import os
import stat

import pytest

from persidict import ANY_ETAG, ITEM_NOT_AVAILABLE, FileDirDict

WRITES = {
    "[]=": lambda d: d.__setitem__("a", "new"),
    "setdefault": lambda d: d.setdefault("b", "new"),
    "set_item_if": lambda d: d.set_item_if(
        "a", value="new", condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE
    ),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: "new"),
}
each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


@pytest.fixture
def d(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    d["a"] = "old"
    return d


@pytest.fixture
def log(monkeypatch):
    """The system calls that publish or sync a file, in order."""
    calls = []

    def spy(name, describe):
        original = getattr(os, name)

        def call(*args, **kwargs):
            calls.append((name, *describe(*args)))
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    spy("fsync", lambda fd: ["folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"])
    for name in ("replace", "rename", "link"):
        spy(name, lambda old, new: [os.path.dirname(old), os.path.basename(old)])
    return calls


@each_write
def test_the_file_is_synced_before_it_is_published_and_the_folder_afterwards(d, log, write):
    write(d)
    kinds = [" ".join(call[:2]) if call[0] == "fsync" else "publish" for call in log]
    assert kinds.index("fsync file") < kinds.index("publish") < kinds.index("fsync folder")


@each_write
def test_the_temporary_file_lies_beside_the_target(d, log, write, tmp_path):
    write(d)
    published = [call for call in log if call[0] != "fsync"]
    assert published[0][1] == str(tmp_path)
    assert published[0][2].startswith(".__tmp__")
    assert "." not in published[0][2].removeprefix(".__tmp__")


@each_write
def test_a_write_leaves_items_only(d, write, tmp_path):
    write(d)
    assert set(os.listdir(tmp_path)) <= {"a.pkl", "b.pkl"}


@each_write
def test_a_folder_that_cannot_be_synced_is_no_failure(d, write, monkeypatch):
    original = os.fsync

    def fsync(fd):
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(22, "not supported")
        original(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    write(d)
    assert "new" in d.values()


@each_write
@pytest.mark.parametrize("name", ["fsync", "write", "close"])
def test_a_failing_disk_leaves_the_old_item_and_no_temporary_file(
    d, write, monkeypatch, tmp_path, name
):
    original = getattr(os, name)

    def failing(fd, *args):
        if stat.S_ISREG(os.fstat(fd).st_mode) and fd_is_temporary(fd):
            if name == "close":
                original(fd)
            raise OSError(5, "input/output error")
        return original(fd, *args)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        with pytest.raises(OSError, match="input/output"):
            write(d)
    assert os.listdir(tmp_path) == ["a.pkl"]
    assert dict(d.items()) == {d.random_key(): "old"}


def fd_is_temporary(fd):
    return ".__tmp__" in os.readlink(f"/proc/self/fd/{fd}")


@each_write
def test_a_failing_publication_leaves_the_old_item_and_no_temporary_file(
    d, write, monkeypatch, tmp_path
):
    def failing(*args, **kwargs):
        raise OSError(5, "input/output error")

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "link"):
            patch.setattr(os, name, failing)
        with pytest.raises(OSError, match="input/output"):
            write(d)
    assert os.listdir(tmp_path) == ["a.pkl"]
    assert d["a"] == "old"


@each_write
def test_an_interrupt_while_writing_leaves_no_temporary_file(d, write, monkeypatch, tmp_path):
    def interrupted(fd):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write(d)
    assert os.listdir(tmp_path) == ["a.pkl"]
    assert d["a"] == "old"


def test_a_write_that_moves_only_some_of_the_bytes_goes_on(d, monkeypatch):
    original = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: original(fd, bytes(data[:7])))
    d["a"] = list(range(100))
    assert d["a"] == list(range(100))


def test_a_read_that_moves_only_some_of_the_bytes_goes_on(d, monkeypatch):
    d["a"] = list(range(100))
    original = os.read
    monkeypatch.setattr(os, "read", lambda fd, n: original(fd, min(n, 7)))
    assert d["a"] == list(range(100))


def test_a_value_is_encoded_before_anything_is_touched(d, log, tmp_path):
    for write in (lambda: d.__setitem__("a", lambda: 0), lambda: d.setdefault("n", lambda: 0)):
        with pytest.raises(Exception, match=r"pickle|lambda|local"):
            write()
    assert log == []
    assert os.listdir(tmp_path) == ["a.pkl"]
