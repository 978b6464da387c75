"""What each operation does to the files of a folder."""

import os
import stat

import pytest

from persidict import ANY_ETAG, ITEM_NOT_AVAILABLE, FileDirDict


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, digest_len=0)


def folders(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_dir())


def test_timestamp_is_the_time_of_the_file(d, tmp_path):
    d["a"] = 1
    os.utime(tmp_path / "a.pkl", ns=(0, 1_500_000_000_123_456_789))
    assert d.timestamp("a") == os.stat(tmp_path / "a.pkl").st_mtime == 1_500_000_000.1234567


def test_etag_is_made_of_time_size_and_inode(d, tmp_path):
    d["a", "b"] = 1
    found = os.stat(tmp_path / "a" / "b.pkl")
    assert d.etag(("a", "b")) == f"{found.st_mtime_ns}:{found.st_size}:{found.st_ino}"


def test_the_etag_of_a_write_is_that_of_the_file(d, tmp_path):
    what = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
    assert d.setdefault_if("a", default_value=1, **what).resulting_etag == d.etag("a")
    assert d.set_item_if("a", value=2, **what).resulting_etag == d.etag("a")
    assert d.transform_item("a", transformer=lambda v: 3).resulting_etag == d.etag("a")


def test_writing_creates_missing_folders(d, tmp_path):
    d["x", "y", "z"] = 1
    assert (tmp_path / "x" / "y" / "z.pkl").is_file()


def test_a_folder_that_was_removed_is_made_again(d, tmp_path):
    d["x", "y"] = 1
    (tmp_path / "x" / "y.pkl").unlink()
    (tmp_path / "x").rmdir()
    assert ("x", "y") not in d
    d["x", "y"] = 2
    assert d["x", "y"] == 2


def test_a_base_folder_that_was_removed_is_an_empty_dict_until_it_is_written(tmp_path):
    d = FileDirDict(base_dir=tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    assert (len(d), list(d), d.get("a"), d.random_key(), d.discard("a")) == (
        0,
        [],
        None,
        None,
        False,
    )
    d["a"] = 1
    assert dict(d.items()) == {d.random_key(): 1}


def test_overwriting_replaces_the_file(d, tmp_path):
    d["a"] = "old"
    with open(tmp_path / "a.pkl", "rb") as reader:
        inode = os.fstat(reader.fileno()).st_ino
        d["a"] = "new"
        before = reader.read()
    assert os.stat(tmp_path / "a.pkl").st_ino != inode
    assert before != (tmp_path / "a.pkl").read_bytes()


def test_clearing_removes_items_and_the_folders_that_become_empty(d, tmp_path):
    for key in [("a",), ("x", "y", "1"), ("x", "y", "2"), ("x", "z", "3"), ("w", "4")]:
        d[key] = 1
    (tmp_path / "w" / "foreign.txt").write_text("")
    d.clear()
    assert folders(tmp_path) == ["w"]
    assert tmp_path.is_dir()
    assert len(d) == 0


def test_clearing_never_removes_the_base_folder(tmp_path):
    d = FileDirDict(base_dir=tmp_path / "d")
    d["a"] = 1
    d.clear()
    d.clear()
    assert (tmp_path / "d").is_dir()


def test_clearing_ignores_folders_that_vanish_or_are_filled_again(d, tmp_path, monkeypatch):
    d["x", "a"] = d["y", "b"] = 1

    def busy(path, **kwargs):
        raise (FileNotFoundError if str(path).endswith("x") else OSError(39, "not empty"))

    monkeypatch.setattr(os, "rmdir", busy)
    d.clear()
    assert len(d) == 0


@pytest.mark.parametrize("name", ["unlink", "remove"])
def test_clearing_ignores_files_that_vanish(d, monkeypatch, name):
    d["a"] = d["b"] = 1
    original = getattr(os, name)

    def late(path, **kwargs):
        original(path, **kwargs)
        raise FileNotFoundError(2, "gone", path)

    monkeypatch.setattr(os, name, late)
    d.clear()
    assert len(d) == 0


def test_deleting_leaves_other_formats_alone(d, tmp_path):
    d["a"] = 1
    (tmp_path / "a.json").write_text("1")
    del d["a"]
    assert os.listdir(tmp_path) == ["a.json"]


def test_unreadable_folders_are_skipped_when_a_random_key_is_sought(
    d, tmp_path, monkeypatch, pauses
):
    d["a"] = d["locked", "b"] = 1
    original = os.scandir

    def guarded(path=".", *args):
        if str(path).rstrip("/").endswith("locked"):
            raise PermissionError(13, "denied", path)
        return original(path, *args)

    monkeypatch.setattr(os, "scandir", guarded)
    assert {d.random_key()[0] for _ in range(20)} == {"a"}


@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0, 0o666)]
)
def test_the_umask_decides_the_mode_of_files_and_folders(d, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        d["sub", "a"] = 1
        d.setdefault(("sub", "b"), 1)
        d.set_item_if(("sub", "c"), value=1, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(os.stat(p).st_mode) for p in (tmp_path / "sub").iterdir()}
    assert modes == {mode}
    assert stat.S_IMODE(os.stat(tmp_path / "sub").st_mode) == 0o777 & ~umask


def test_a_linked_folder_or_file_is_read_like_any(tmp_path):
    real = FileDirDict(base_dir=tmp_path / "real", digest_len=0)
    real["a"] = 1
    os.symlink(tmp_path / "real", tmp_path / "link")
    linked = FileDirDict(base_dir=tmp_path / "link", digest_len=0)
    linked["b"] = 2
    assert (dict(linked.items()), linked.base_dir) == (dict(real.items()), str(tmp_path / "link"))


def test_listing_asks_for_the_status_of_no_file(d, monkeypatch):
    d["a"] = d["x", "b"] = 1

    def refused(path, **kwargs):
        raise AssertionError(path)

    monkeypatch.setattr(os, "stat", refused)
    assert sorted(key.strings for key in d) == [("a",), ("x", "b")]
    assert (len(d), bool(d), d.random_key() is None) == (2, True, False)
    assert list(d.values()) == [1, 1]  # each file is opened and asked through its descriptor


def test_a_link_back_to_the_folder_is_not_walked_for_ever(d, tmp_path):
    d["a"] = 1
    os.symlink(tmp_path, tmp_path / "loop")
    assert (list(d), len(d)) == (["a"], 1)


def test_two_handles_see_each_other_at_once(tmp_path):
    one, two = (FileDirDict(base_dir=tmp_path) for _ in range(2))
    one["a"] = 1
    assert (two["a"], len(two), two.etag("a")) == (1, 1, one.etag("a"))
    two["a"] = 2
    assert one["a"] == 2
    del one["a"]
    assert "a" not in two


def test_another_process_sees_what_was_written(d, tmp_path, python):
    d["a", "b"] = [1, "é"]
    code = """
import sys; from persidict import FileDirDict
d = FileDirDict(base_dir=sys.argv[1], digest_len=0)
d["c"] = d["a", "b"]; print(d.etag(("a", "b")))
"""
    assert python(code, tmp_path) == d.etag(("a", "b"))
    assert d["c"] == [1, "é"]
