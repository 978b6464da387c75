"""Where items lie on disk, and which files are none."""

import os

import pytest

from persidict import FileDirDict, NonEmptySafeStrTuple
from persidict.file_dir_dict import add_long_path_prefix, drop_long_path_prefix


def files(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())


LAYOUTS = [
    (4, "k_with", "k_with_evik.pkl"),
    (4, ("a", "b", "C.c"), "a_btax/b_slvv/C.c_wlyb.pkl"),
    (0, ("a", "b", "C.c"), "a/b/C.c.pkl"),
    (8, "k", "k_rtslc2zc.pkl"),
    (4, "a_btax", "a_btax.pkl"),
    (4, "_btax", "_btax_r7f5.pkl"),
    (1, ("Key", "key", "KEY"), "Key_r/key_h/KEY_h.pkl"),
    (32, "Key", "Key_rfzvnfkmftj5igzcdy7sj6m3xi======.pkl"),
    (0, ("...", ".hidden", "x.pkl"), ".../.hidden/x.pkl.pkl"),
]


@pytest.mark.parametrize(("digest_len", "key", "file"), LAYOUTS)
def test_each_component_is_signed_and_the_extension_comes_last(tmp_path, digest_len, key, file):
    FileDirDict(base_dir=tmp_path, digest_len=digest_len)[key] = 1
    assert files(tmp_path) == [file]


@pytest.mark.parametrize(("digest_len", "key", "file"), LAYOUTS)
def test_a_file_at_its_place_is_an_item(tmp_path, digest_len, key, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"\x80\x04K\x07.")
    d = FileDirDict(base_dir=tmp_path, digest_len=digest_len)
    assert (d[key], len(d)) == (7, 1)
    listed = {"a_btax": "a"}.get(key, key) if isinstance(key, str) else key
    assert list(d) == [listed]
    assert all(k in d for k in d)


def test_a_key_that_looks_signed_is_the_key_without_signature(tmp_path):
    d = FileDirDict(base_dir=tmp_path)
    d["a_btax"] = 1
    assert list(d) == ["a"]
    assert d["a"] == 1


def test_files_without_a_valid_signature_are_listed_and_not_found(tmp_path):
    (tmp_path / "bare.pkl").write_bytes(b"\x80\x04K\x07.")
    d = FileDirDict(base_dir=tmp_path)
    assert (list(d), len(d)) == (["bare"], 1)
    assert "bare" not in d
    with pytest.raises(KeyError):
        d["bare"]


FOREIGN = [
    ".DS_Store",
    "notes.txt",
    "a_btax.pkl.bak",
    "a_btax.pkl~",
    "#a_btax.pkl#",
    ".a_btax.pkl.swp",
    "a_btax.json",
    "a_btaxpkl",
    "pkl",
    ".__tmp__abcdef",
    ".__tmp__",
    "sub_xyz/.__tmp__k3",
    "sub_xyz/readme",
]


@pytest.fixture
def foreign(tmp_path):
    """A folder dict of one item, among files that belong to others."""
    for name in FOREIGN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not ours")
    (tmp_path / "folder.pkl").mkdir()
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1
    return d


def test_foreign_files_are_no_items(foreign):
    assert (len(foreign), list(foreign), bool(foreign)) == (1, ["a"], True)
    assert list(foreign.items()) == [("a", 1)]
    assert {foreign.random_key() for _ in range(10)} == {NonEmptySafeStrTuple("a")}
    assert foreign.oldest_keys() == ["a"]


def test_foreign_files_survive_clearing(foreign, tmp_path):
    foreign.clear()
    assert len(foreign) == 0
    leftovers = {name for name in FOREIGN if "__tmp__" in name}
    assert set(FOREIGN) - leftovers <= set(files(tmp_path)) <= set(FOREIGN)


def test_only_foreign_files_are_an_empty_dict(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    d = FileDirDict(base_dir=tmp_path)
    assert not d
    assert (len(d), d.random_key(), d == {}) == (0, None, True)


@pytest.mark.parametrize(
    "name", ["my file.pkl", ".pkl", "é.pkl", "a b/c.pkl", "ok/...pkl", "sub/.pkl"]
)
def test_files_with_illegal_names_are_skipped_by_everything(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x80\x04K\x07.")
    d = FileDirDict(base_dir=tmp_path)
    d["fine"] = 1
    assert (len(d), list(d), list(d.values()), d.random_key()) == (1, ["fine"], [1], "fine")
    d.clear()
    assert (tmp_path / name).exists()


def test_names_that_are_no_text_are_skipped(tmp_path):
    with open(os.path.join(os.fsencode(tmp_path), b"\xff.pkl"), "wb"):
        pass
    d = FileDirDict(base_dir=tmp_path)
    assert (len(d), list(d)) == (0, [])


def test_a_folder_with_the_name_of_an_item_is_none(tmp_path):
    d = FileDirDict(base_dir=tmp_path, digest_len=0)
    d["a.pkl", "b"] = 1
    assert "a" not in d
    assert d.get("a") is None
    assert d.discard("a") is False
    assert list(d) == [("a.pkl", "b")]


def test_dicts_of_several_formats_share_a_folder(tmp_path):
    pkl = FileDirDict(base_dir=tmp_path)
    json = FileDirDict(base_dir=tmp_path, serialization_format="json")
    pkl["a"], json["a"], json["b"] = 1, 2, 3
    assert files(tmp_path) == ["a_btax.json", "a_btax.pkl", "b_slvv.json"]
    assert (dict(pkl.items()), len(json)) == ({pkl.random_key(): 1}, 2)
    json.clear()
    assert pkl["a"] == 1
    assert files(tmp_path) == ["a_btax.pkl"]


def test_a_folder_written_with_another_digest_length_is_listed_but_not_found(tmp_path):
    FileDirDict(base_dir=tmp_path, digest_len=4)["a"] = 1
    other = FileDirDict(base_dir=tmp_path, digest_len=8)
    assert list(other) == ["a_btax"]
    assert "a" not in other


def test_the_root_of_the_file_system_is_a_folder_like_any_other(tmp_path):
    key = (*tmp_path.parts[1:], "k")
    d = FileDirDict(
        base_dir="/", digest_len=0, serialization_format="rooted", base_class_for_values=str
    )
    d[key] = "x"
    assert (tmp_path / "k.rooted").read_text() == "x"
    assert (d[key], d.base_dir) == ("x", "/")
    assert list(d.get_subdict(key[:-1])) == ["k"]
    assert d.get_subdict(()).base_dir == "/"
    del d[key]
    assert files(tmp_path) == []


@pytest.mark.parametrize("strings", [("..", "x"), ("a", "..", "..", "x"), ("..", "..", "etc")])
def test_a_path_outside_of_the_folder_is_refused(tmp_path, strings):
    d = FileDirDict(base_dir=tmp_path / "d", digest_len=0)
    key = NonEmptySafeStrTuple(*"abcde"[: len(strings)])
    object.__setattr__(key, "_strings", strings)
    assert key.strings == strings
    for call in (lambda: d[key], lambda: d.__setitem__(key, 1), lambda: d.discard(key)):
        with pytest.raises(ValueError, match="outside base_dir"):
            call()
    assert files(tmp_path) == []


@pytest.mark.parametrize("path", ["/a/b", "a", "", "\\\\server\\share\\x", "C:\\x"])
def test_long_path_prefixes_are_for_windows_only(path):
    assert add_long_path_prefix(path) == drop_long_path_prefix(path) == path
