"""A stored result that cannot be read is computed again: never a wrong value, never an error."""

from __future__ import annotations

import shutil
import sys
import types
import warnings
from pathlib import Path

import pytest

from persidict import AppendOnlyDictCached, FileDirDict, MutableDictCached
from persidict_dask import open_store, persist

RESULT = {"month": 5, "mean": 12.5}


def append_only_cached(base):
    parts = {part: FileDirDict(base_dir=str(base / part), append_only=True)
             for part in ("main_dict", "data_cache")}  # fmt: skip
    return AppendOnlyDictCached(**parts)


def mutable_cached(base):
    names = ("main_dict", "data_cache", "etag_cache")
    return MutableDictCached(**{name: FileDirDict(base_dir=str(base / name)) for name in names})


KINDS = {
    "url": str,
    "folder": lambda base: FileDirDict(base_dir=str(base)),
    "append-only": lambda base: FileDirDict(base_dir=str(base), append_only=True),
    "json": lambda base: open_store(base, serialization_format="json"),
    "json url": lambda base: open_store(base, serialization_format="json", write_once=True),
    "zlib": lambda base: FileDirDict(base_dir=str(base), compression="zlib"),
}
CACHED = {"append-only cached": append_only_cached, "mutable cached": mutable_cached}


@pytest.fixture(params=KINDS)
def damaged(request, tmp_path, runs):
    """A persisted function, and the only file of results of its store."""
    return stored_once(KINDS[request.param](tmp_path), tmp_path, runs)


@pytest.fixture
def in_folder(tmp_path, runs):
    return stored_once(FileDirDict(base_dir=str(tmp_path)), tmp_path, runs)


def stored_once(place, base, runs):
    @persist(place)
    def f(x):
        runs.append(x)
        return RESULT

    f(1)
    [file] = results_in(base)
    runs.clear()
    return f, file


def results_in(base):
    return [path for path in Path(base).rglob("*") if path.suffix in {".pkl", ".json"}]


def called_twice(f, runs):
    """Values, runs and warnings of two calls."""
    runs.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return [f(1), f(1)], len(runs), caught


def heals(f, runs):
    """One warning that names the item, one run, the right value; then a hit again."""
    values, executed, caught = called_twice(f, runs)
    assert (values, executed) == ([RESULT, RESULT], 1)
    [warning] = caught
    assert warning.category is RuntimeWarning
    assert f.key_of(1)[-1] in str(warning.message)


@pytest.mark.parametrize("kind", ["folder", "json"])
def test_a_flipped_bit_in_each_byte_gives_the_right_value(tmp_path, runs, kind):
    """Most are noticed, with one warning and one run; the others decode to the same value."""
    f, file = stored_once(KINDS[kind](tmp_path), tmp_path, runs)
    whole, noticed = file.read_bytes(), 0
    assert len(whole) < 200
    for at in range(len(whole)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80 >> at % 8]) + whole[at + 1 :])
        values, executed, caught = called_twice(f, runs)
        assert values == [RESULT, RESULT] or kind == "json"  # whose texts have no checksum
        assert len(caught) == executed <= 1
        noticed += executed
        f.refresh(1)
    assert noticed > (0.9 if kind == "folder" else 0.3) * len(whole)


@pytest.mark.parametrize("keep", [0, 1, 7, -1])
def test_a_truncated_result_is_computed_again(damaged, runs, keep):
    f, file = damaged
    file.write_bytes(file.read_bytes()[:keep])
    heals(f, runs)


FOREIGN = [b"text of somebody", b"\x00" * 100, b"\x04\x22\x4d\x18", b"{", b"\x80\x05."]


@pytest.mark.parametrize("content", FOREIGN)
def test_a_foreign_file_is_computed_again(damaged, runs, content):
    f, file = damaged
    file.write_bytes(content)
    heals(f, runs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_damaged_is_set_aside(tmp_path, runs, kind):
    """Byte for byte, beside the result, until that is forgotten."""
    f, file = stored_once(KINDS[kind](tmp_path), tmp_path, runs)
    found = file.read_bytes()[:-3] + b"???"
    file.write_bytes(found)
    heals(f, runs)
    [aside] = tmp_path.rglob("*.damaged")
    assert aside.read_bytes() == found
    assert aside.stem == file.stem
    f.forget(1)
    assert list(tmp_path.rglob("*.damaged")) == []


def test_what_cannot_be_set_aside_is_computed_all_the_same(in_folder, runs):
    f, file = in_folder
    file.write_bytes(b"damaged")
    file.with_suffix(".damaged").mkdir()
    heals(f, runs)


def test_a_longer_file_is_computed_again(in_folder, runs):
    f, file = in_folder
    file.write_bytes(file.read_bytes() + b"more")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f(1) == RESULT


def test_a_refresh_heals_without_a_warning(damaged, runs):
    f, file = damaged
    file.write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f.refresh(1) == RESULT
        assert f(1) == RESULT
    assert runs == [1]


def test_forgetting_removes_what_is_damaged(damaged):
    f, file = damaged
    file.write_bytes(b"damaged")
    assert f.forget(1)
    assert not file.exists()


@pytest.mark.parametrize("part", ["main_dict", "data_cache", "everywhere"])
@pytest.mark.parametrize("kind", CACHED)
def test_damage_in_a_cache_or_behind_it_gives_the_right_value(tmp_path, runs, kind, part):
    f = persist(CACHED[kind](tmp_path))(lambda x: runs.append(x) or RESULT)
    f(1)
    for file in results_in(tmp_path if part == "everywhere" else tmp_path / part):
        file.write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [f(1), f(1)] == [RESULT, RESULT]
    assert len(runs) <= 2
    fresh = persist(CACHED[kind](tmp_path))(f.__wrapped__)
    assert fresh(1) == RESULT
    assert len(runs) <= 2


def test_a_value_of_another_class_than_the_store_promises_is_a_miss(tmp_path, runs):
    """Somebody wrote it through a handle that promises nothing."""

    @persist(FileDirDict(base_dir=str(tmp_path), base_class_for_values=dict))
    def f(x):
        runs.append(x)
        return RESULT

    FileDirDict(base_dir=str(tmp_path))[f.key_of(1)] = "foreign"
    with pytest.warns(RuntimeWarning) as caught:
        assert f(1) == RESULT
    assert caught[0].filename == __file__
    assert f(1) == RESULT
    assert runs == [1]


def test_a_result_of_a_class_that_is_gone_is_computed_again(in_folder, runs):
    """A library was updated: the call gives the right value, whatever becomes of the old one."""
    f, _ = in_folder
    module = types.ModuleType("a_library_of_old")
    exec("class Gone:\n    pass", vars(module))
    sys.modules[module.__name__] = module
    try:
        f.store[f.key_of(1)] = module.Gone()
    finally:
        del sys.modules[module.__name__]
    values, executed, caught = called_twice(f, runs)
    assert values == [RESULT, RESULT]
    assert len(caught) == executed


def test_an_attack_of_damage_between_look_and_insert(tmp_path, runs):
    """Another writer leaves garbage while the call computes: the call has its value."""
    store = FileDirDict(base_dir=str(tmp_path))

    @persist(store, name="f", version="1")
    def f(x):
        runs.append(x)
        store[f.key_of(x)] = "soon garbage"
        [file] = results_in(tmp_path)
        file.write_bytes(b"garbage")
        return RESULT

    with pytest.warns(RuntimeWarning, match="computed again") as caught:
        assert f(1) == RESULT
    assert caught[0].filename == __file__
    assert f(1) == RESULT
    assert runs == [1]


def test_damage_that_another_process_has_healed_is_left_alone(in_folder, runs, monkeypatch):
    """Between reading garbage and setting it aside, somebody stored a good result: it stays."""
    f, file = in_folder
    file.write_bytes(b"garbage")

    def heal_meanwhile(*args, **kwargs):
        f.store[f.key_of(1)] = {**RESULT, "by": "another"}

    with monkeypatch.context() as patch:
        patch.setattr(warnings, "warn", heal_meanwhile)
        f(1)
    assert f(1) == {**RESULT, "by": "another"}


def test_other_results_stay_when_one_is_damaged(tmp_path, runs):
    f = persist(tmp_path)(lambda x: runs.append(x) or x)
    for x in (1, 2, 3):
        f(x)
    results_in(tmp_path)[1].write_bytes(b"damaged")
    runs.clear()
    with pytest.warns(RuntimeWarning):
        assert [f(x) for x in (1, 2, 3)] == [1, 2, 3]
    assert len(runs) == 1


def test_a_lost_folder_is_made_again(in_folder, runs):
    """Somebody cleaned up below a running process."""
    f, file = in_folder
    shutil.rmtree(file.parent)
    assert f(1) == f(1) == RESULT
    assert runs == [1]


def test_what_pickle_takes_for_good_is_taken_for_a_result(in_folder, runs):
    """Where damage ends: a file that was stored as an item is an item."""
    f, _ = in_folder
    f.store[f.key_of(1)] = "put by hand"
    assert f(1) == "put by hand"
    assert runs == []


class Refusing:
    """A value that could be loaded, and is not: for what the process lacks at that moment."""

    error: Exception | None = None

    def __reduce__(self):
        return loaded, ()


def loaded():
    if Refusing.error:
        raise Refusing.error
    return RESULT


def test_a_good_result_stays_where_the_process_cannot_import(in_folder, runs, monkeypatch):
    f, file = in_folder
    f.store[f.key_of(1)] = Refusing()
    before = file.read_bytes()
    monkeypatch.setattr(Refusing, "error", ImportError("sys.meta_path is None"))
    values, executed, _ = called_twice(f, runs)
    assert (values, executed) == ([RESULT] * 2, 2)
    assert file.read_bytes() == before
    monkeypatch.setattr(Refusing, "error", None)
    runs.clear()
    assert (f(1), runs) == (RESULT, [])


def test_a_good_result_stays_when_the_stack_ends(in_folder, runs, monkeypatch):
    f, file = in_folder
    f.store[f.key_of(1)] = Refusing()
    before = file.read_bytes()
    monkeypatch.setattr(Refusing, "error", RecursionError("maximum recursion depth exceeded"))
    with pytest.raises(RecursionError):
        f(1)
    assert (file.read_bytes(), runs) == (before, [])
