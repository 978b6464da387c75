"""What goes through to the disk, in which order, and what does not."""

import os

import pytest

from persidict import ETAG_IS_THE_SAME, FileDirDict


@pytest.fixture
def calls(monkeypatch):
    """The names of what was synced, and the calls that publish, in order."""
    made = []

    def fsync(fd, original=os.fsync):
        made.append(("fsync", os.readlink(f"/proc/self/fd/{fd}")))
        original(fd)

    def spy(name):
        original = getattr(os, name)

        def wrapped(*args, **kwargs):
            made.append((name, str(args[-1])))
            return original(*args, **kwargs)

        return wrapped

    monkeypatch.setattr(os, "fsync", fsync)
    for name in ("replace", "link"):
        monkeypatch.setattr(os, name, spy(name))
    return made


def kinds(calls, folder):
    return [
        "folder" if path == str(folder) else "file" if name == "fsync" else name
        for name, path in calls
    ]


def test_a_file_is_on_the_disk_before_it_is_seen_and_its_name_before_the_call_returns(
    tmp_path, calls
):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1
    assert kinds(calls, tmp_path) == ["file", "replace", "folder"]
    calls.clear()
    d.setdefault("b", 1)
    assert kinds(calls, tmp_path) == ["file", "link", "folder"]


def test_a_removal_is_on_the_disk_too(tmp_path, calls):
    d = FileDirDict(base_dir=tmp_path)
    d["a"], d["b"], d["c"] = 1, 2, 3
    calls.clear()
    del d["a"]
    assert kinds(calls, tmp_path) == ["folder"]
    d.discard_item_if("b", condition=ETAG_IS_THE_SAME, expected_etag=d.etag("b"))
    assert kinds(calls, tmp_path) == ["folder"] * 2
    assert not d.discard("b")
    assert kinds(calls, tmp_path) == ["folder"] * 2
    d.clear()
    assert kinds(calls, tmp_path) == ["folder"] * 3


def test_relaxed_never_syncs(tmp_path, calls):
    d = FileDirDict(base_dir=tmp_path, durability="relaxed")
    d["a"] = 1
    d.setdefault(("new", "folder"), 1)
    d.transform_item("a", transformer=lambda value: value + 1)
    d.get_subdict("new")["other"] = 2
    del d["a"]
    d.clear()
    assert not [path for name, path in calls if name == "fsync"]


@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize("exact", [True, False])
def test_a_dict_has_its_parameters(tmp_path, durability, exact):
    d = FileDirDict(base_dir=tmp_path, durability=durability, exact=exact, lock_timeout=3)
    assert (d.durability, d.exact, d.lock_timeout) == (durability, exact, 3)
    assert d.is_exact == d.get_subdict("x").is_exact == exact
    again = type(d)(**d.get_params())
    assert again == d
    assert again.get_params() == d.get_params()


def test_the_usual_parameters_are_not_reported(tmp_path):
    assert set(FileDirDict(base_dir=tmp_path).get_params()) == {
        "append_only", "base_class_for_values", "base_dir", "digest_len", "serialization_format"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"durability": "strong"}, ValueError),
        ({"durability": None}, ValueError),
        ({"lock_timeout": -1}, ValueError),
        ({"lock_timeout": float("nan")}, ValueError),
        ({"lock_timeout": "10"}, TypeError),
        ({"lock_timeout": True}, TypeError),
    ],
)
def test_bad_parameters_are_refused(tmp_path, bad, error):
    with pytest.raises(error, match=next(iter(bad))):
        FileDirDict(base_dir=tmp_path / "new", **bad)
    assert not (tmp_path / "new").exists()


def test_without_exactness_there_are_no_locks(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a lock")

    monkeypatch.setattr(os, "symlink", refuse)
    d = FileDirDict(base_dir=tmp_path, exact=False)
    d["a"] = 1
    d.transform_item("a", transformer=lambda value: value + 1)
    assert d.pop("a") == 2
