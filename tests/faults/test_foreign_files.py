"""What is in a folder besides items: copies of synchronisers, other kinds of files, odd names."""

import logging
import os
import socket

import pytest

from persidict import ANY_ETAG, ITEM_NOT_AVAILABLE, BackendError, FileDirDict, _foreign

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}


@pytest.fixture
def d(tmp_path):
    made = FileDirDict(base_dir=tmp_path, durability="relaxed")
    made["a"] = made["f", "b"] = 1
    return made


# -- files of other programs ---------------------------------------------------------------------

COPIES = [
    "a_btax.sync-conflict-20240131-235959-ABCDEFG.pkl",
    "a_btax_conflict-20160101-123456.pkl",
    "a_btax-DESKTOP-4F2K1.pkl",
    "a_btax(1).pkl",
    "a_btax~20240131-235959.pkl",
    "f_fh5d/a_btax-copy.pkl",
]
FOREIGN = COPIES + [
    "a_btax (conflicted copy 2024-01-31 123456).pkl",
    "a_btax (Ann's conflicted copy 2024-01-31).pkl",
    "a_btax (1).pkl",
    "a_btax 2.pkl",
    "._a_btax.pkl",
    "._.DS_Store",
    ".nfs000000000012ab3400000001",
    ".fuse_hidden0000000c00000001",
    ".syncthing.a_btax.pkl.tmp",
    "~$a_btax.pkl",
    ".stversions/a_btax.pkl",
    ".sync/Archive/a_btax.pkl",
    ".snapshot/hourly.0/a_btax.pkl",
    ".Trash-1000/files/a_btax.pkl",
    "lost+found/a_btax.pkl",
]


def put(d, name):
    path = os.path.join(d.base_dir, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"not ours")
    return path


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_programs_are_no_items_and_stay(d, name):
    path = put(d, name)
    assert (len(d), dict(d.items())) == (2, {("a",): 1, ("f", "b"): 1})
    assert {tuple(key) for key, _ in d.keys_and_timestamps()} == {("a",), ("f", "b")}
    d.clear()
    assert os.path.exists(path)
    assert not d


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_told_of_once(d, name, caplog):
    _foreign._warn_of.cache_clear()
    put(d, name)
    len(d), len(d)
    [record] = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert os.path.basename(name).removesuffix(".pkl") in record.getMessage()


KEYS = [
    "._x",
    "._",
    "a.sync-conflict-20240131-235959-ABCDEFG",
    "a_conflict-20160101-123456",
    "a_btax-copy",
    "a-conflict-b",
    ".hidden",
    "a.b",
    ("._f", "k"),
    (".sync", "k"),
    (".snapshot", "k"),
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("digest_len", [1, 4, 8, 26, 30])
def test_keys_that_look_foreign_are_keys(tmp_path, key, digest_len):
    d = FileDirDict(base_dir=tmp_path, digest_len=digest_len)
    d[key] = 1
    assert list(d) == [key]
    assert (len(d), d[key]) == (1, 1)


@pytest.mark.parametrize("key", [k for k in KEYS if "conflict-2" not in str(k)])
def test_without_digests_only_sure_names_are_foreign(tmp_path, key):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    d[key] = d["a"] = 1
    for name in COPIES[:2]:
        put(d, name.replace("_btax", ""))
    put(d, "._a.pkl")
    with open(tmp_path / "._a.pkl", "wb") as file:
        file.write(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert {tuple(found) for found in d} == {("a",), (key,) if isinstance(key, str) else key}
    assert len(dict(d.items())) == 2


def test_names_in_folders_of_items_are_told_apart_as_well(d):
    put(d, "f_fh5d/._b_tl2d.pkl")
    put(d, "f_fh5d/.stversions/b_tl2d.pkl")
    assert len(d.get_subdict("f")) == 1


# -- folders that may not be read ----------------------------------------------------------------


@pytest.fixture
def locked_folder(d, monkeypatch):
    """Let nobody read the folder of ("f", "b"); root would be let in by its permissions."""
    scandir = os.scandir

    def refuse(path="."):
        if os.path.basename(str(path).rstrip("/")).startswith("f_"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_folder_that_may_not_be_read_is_told_of(d, locked_folder):
    for listing in (len, list, lambda d: list(d.items()), lambda d: d.clear()):
        with pytest.warns(RuntimeWarning, match="left out with all items in it.*f_"):
            listing(d)
    assert d["f", "b"] == 1


def test_a_dictionary_whose_own_folder_may_not_be_read_does_not_look_empty(d, locked_folder):
    below = d.get_subdict("f")
    for listing in (len, list, bool, lambda d: d.clear()):
        with pytest.raises(PermissionError):
            listing(below)


# -- names that are no text ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [b".__tmp__\xff", b".__lock__\xff", b"\xff", b"\xff.pkl"])
@pytest.mark.parametrize("target", [b"\xff-1-1-0", b"ffffffffffff-1-1-\xff", b"x"])
def test_names_and_targets_that_are_no_text_are_passed_over(d, name, target):
    path = os.path.join(os.fsencode(d.base_dir), name)
    os.symlink(target, path)
    os.utime(path, (0, 0), follow_symlinks=False)
    lock = os.path.join(os.fsencode(d.base_dir), b".__lock__00")
    with open(lock, "wb") as file:
        file.write(target)
    os.utime(lock, (0, 0))
    folder = os.path.join(os.fsencode(d.base_dir), b"\xff\xfe")
    os.mkdir(folder)
    os.symlink(target, os.path.join(folder, name))
    assert (len(d), len(list(d.items()))) == (2, 2)
    d.clear()
    assert not d
    assert os.path.lexists(path) or target == b"x"


# -- what has the name of an item and is none ----------------------------------------------------


def fifo(path):
    os.mkfifo(path)


def bound_socket(path):
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as made:  # by a short way: such names are limited
        made.bind(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    os.close(folder)


def device(path):
    os.symlink("/dev/tty", path)


ODD = {"FIFO": fifo, "socket": bound_socket, "device": device}
READS = {
    "get": lambda d: d.get("k"),
    "[]": lambda d: d["k"],
    "in": lambda d: "k" in d,
    "etag": lambda d: d.etag("k"),
    "timestamp": lambda d: d.timestamp("k"),
    "get_item_if": lambda d: d.get_item_if("k", **ANY),
    "discard": lambda d: d.discard("k"),
}
WRITES = {
    "[]=": lambda d: d.__setitem__("k", 1),
    "setdefault": lambda d: d.setdefault("k", 1),
    "set_item_if": lambda d: d.set_item_if("k", value=1, **ANY),
    "transform_item": lambda d: d.transform_item("k", transformer=lambda v: 1),
    "append-only": lambda d: d.clone(append_only=True).__setitem__("k", 1),
}


def place(d, what):
    path = os.path.join(d.base_dir, "k_rtsl.pkl")
    what(path)
    return path


@pytest.mark.timeout(20)
@pytest.mark.parametrize("call", (READS | WRITES).values(), ids=READS | WRITES)
@pytest.mark.parametrize("kind", ODD)
def test_what_is_neither_file_nor_folder_is_an_error_at_once(d, kind, call, pauses):
    path = place(d, ODD[kind])
    with pytest.raises(BackendError, match=rf"k_rtsl\.pkl is a {kind}"):
        call(d)
    assert pauses == []
    assert os.path.lexists(path)


@pytest.mark.parametrize("kind", ODD)
def test_a_listing_shows_no_item_where_there_is_none(d, kind):
    place(d, ODD[kind])
    os.mkdir(os.path.join(d.base_dir, "x.pkl"))
    os.symlink("nowhere", os.path.join(d.base_dir, "y.pkl"))
    assert (len(d), len(dict(d.items()))) == (2, 2)


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
def test_no_item_is_stored_where_there_is_a_folder(d, call, pauses):
    path = place(d, os.mkdir)
    with pytest.raises(BackendError, match=r"k_rtsl\.pkl is a folder"):
        call(d)
    assert pauses == []
    assert [d.get("k"), "k" in d, d.discard("k")] == [None, False, False]
    assert os.listdir(path) == []
    assert not [name for name in os.listdir(d.base_dir) if name.startswith(".")]


def test_no_item_is_inserted_where_a_link_leads_nowhere(d, pauses):
    place(d, lambda path: os.symlink("nowhere", path))
    assert d.get("k") is None
    with pytest.raises(BackendError, match="a symbolic link that leads nowhere"):
        d.setdefault("k", 1)
    with pytest.raises(BackendError, match="a symbolic link that leads nowhere"):
        d.transform_item("k", transformer=lambda v: 1)
    assert pauses == []
