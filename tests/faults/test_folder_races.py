"""A folder under others who clear it, and calls whose answers are lost."""

import enum
import errno
import os
import threading

import pytest

from persidict import FileDirDict, SafeStrTuple, _temporary


class Colour(str, enum.Enum):  # noqa: UP042  # whose str() is not its value
    RED = "red"


def test_nested_items_can_be_written_while_others_clear(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    errors, stop = [], threading.Event()

    def clear():
        while not stop.is_set():
            d.clear()

    def write(name):
        try:
            for n in range(100):
                d[name, "b", "c", str(n)] = n
        except OSError as error:
            errors.append(error)

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    writing = [threading.Thread(target=write, args=(name,)) for name in "xy"]
    for thread in (*clearing, *writing):
        thread.start()
    for thread in writing:
        thread.join()
    stop.set()
    for thread in clearing:
        thread.join()
    assert errors == []


def test_others_who_clear_whenever_a_folder_is_synced_do_not_stop_a_writer(tmp_path, monkeypatch):
    """Syncing takes its time; a new folder must hold something by then, or it is gone."""
    sync, cleared = os.fsync, []

    def clear_and_sync(fd):
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            FileDirDict(base_dir=tmp_path).clear()
            cleared.append(fd)
        sync(fd)

    d = FileDirDict(base_dir=tmp_path)
    monkeypatch.setattr(os, "fsync", clear_and_sync)
    d.get_subdict("x")["b", "c"] = 1
    assert cleared
    monkeypatch.undo()
    d["x", "b", "c"] = 2
    assert dict(d) == {("x", "b", "c"): 2}


def test_our_own_link_whose_answer_was_lost_is_no_conflict(tmp_path, monkeypatch):
    d = FileDirDict(base_dir=tmp_path, append_only=True)
    link = os.link

    def lose_the_answer(source, target):
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", lose_the_answer)
    d["a"] = 1
    assert d["a"] == 1
    monkeypatch.setattr(os, "link", link)
    assert d.setdefault("a", 2) == 1


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOENT, errno.EIO], ids=errno.errorcode.get)
def test_our_own_removal_whose_answer_was_lost_is_done(tmp_path, monkeypatch, pauses, number):
    d, unlink = FileDirDict(base_dir=tmp_path), os.unlink

    def lose_the_answer(path):
        unlink(path)
        if path.endswith(".pkl"):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "unlink", lose_the_answer)
    d["a"] = 1
    assert d.pop("a") == 1
    d["a"] = 2
    assert d.discard("a")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES], ids=errno.errorcode.get)
def test_a_removal_that_fails_is_none(tmp_path, monkeypatch, pauses, number):
    d, unlink, lstat = FileDirDict(base_dir=tmp_path), os.unlink, os.lstat

    def refuse(path):
        if path.endswith(".pkl"):
            raise OSError(number, os.strerror(number))
        unlink(path)

    def hide(path):
        raise OSError(number, os.strerror(number))

    d["a"] = 1
    monkeypatch.setattr(os, "unlink", refuse)
    for look in (lstat, hide):
        monkeypatch.setattr(os, "lstat", look)
        with pytest.raises(OSError, match=os.strerror(number)):
            d.pop("a")
    monkeypatch.undo()
    assert d["a"] == 1


def test_a_temporary_file_whose_answer_was_lost_does_not_stay(tmp_path, monkeypatch):
    d, open_ = FileDirDict(base_dir=tmp_path, digest_len=0), os.open

    def lose_the_answer(path, flags, *args):
        fd = open_(path, flags, *args)
        if flags & os.O_CREAT:
            os.close(fd)
            raise OSError(errno.EIO, "lost")
        return fd

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lose_the_answer)
        with pytest.raises(OSError, match="lost"):
            d["a"] = 1
    d["b"] = 1
    assert os.listdir(tmp_path) == ["b.pkl"]


def test_a_temporary_file_that_could_not_be_removed_goes_with_the_next_write(tmp_path, monkeypatch):
    d, unlink = FileDirDict(base_dir=tmp_path), os.unlink

    def refuse(path):
        monkeypatch.setattr(os, "unlink", unlink)
        raise OSError(errno.EIO, "not now")

    monkeypatch.setattr(os, "unlink", refuse)
    assert d.setdefault("a", 1) == 1
    assert len(os.listdir(tmp_path)) == 2
    d["a"] = 2
    assert os.listdir(tmp_path) == ["a_btax.pkl"]


def test_what_was_never_made_in_a_folder_that_is_read_only_is_not_remembered(tmp_path, monkeypatch):
    d, known = FileDirDict(base_dir=tmp_path), dict(_temporary._remembered)

    def refuse(*_):
        raise OSError(errno.EROFS, "read-only")

    d["a"], open_ = 1, os.open

    def reading(path, flags, *args):
        return (refuse if flags & os.O_CREAT else open_)(path, flags, *args)

    monkeypatch.setattr(os, "open", reading)
    for name in ("symlink", "mkdir", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    for change in (lambda: d.discard("a"), lambda: d.__setitem__("a", 2)):
        with pytest.raises(OSError, match="read-only"):
            change()
    assert _temporary._remembered == known


def test_new_folders_are_named_durably(tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def spy(fd):
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    monkeypatch.setattr(os, "fsync", spy)
    FileDirDict(base_dir=tmp_path, digest_len=0)["x", "y", "z"] = 1
    assert {str(tmp_path), str(tmp_path / "x"), str(tmp_path / "x" / "y")} <= set(synced)


def test_clear_removes_everything_that_is_listed(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    d["signed"] = 1
    (tmp_path / "bare.pkl").write_bytes(b"")
    assert len(d) == 2
    d.clear()
    assert len(d) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_itself_does_not_stop_iteration(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1
    (tmp_path / "x.pkl").symlink_to(tmp_path / "x.pkl")
    assert dict(d) == {("a",): 1}


@pytest.mark.parametrize("key", [Colour.RED, ("a", Colour.RED)])
def test_a_string_that_shows_itself_as_another_is_stored_under_what_it_is(tmp_path, key):
    d = FileDirDict(base_dir=tmp_path)
    d[key] = 1
    assert SafeStrTuple(Colour.RED) == "red"
    assert [key[-1] for key in d] == ["red"]
