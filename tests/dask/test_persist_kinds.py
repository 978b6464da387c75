"""Every kind of store keeps results, and lets them be refreshed, checked and forgotten."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path
from typing import ClassVar

import pytest

from persidict import (
    AppendOnlyDictCached,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    PersiDict,
    WriteOnceDict,
)
from persidict_dask import open_store, persist


def folder(base, name="a", **params):
    return FileDirDict(base_dir=str(base / name), **params)


class Minimal(PersiDict):
    """A dictionary of somebody else's, of the classic methods only."""

    def __init__(self, data=None):
        super().__init__()
        self.data = {} if data is None else data

    def __contains__(self, key):
        return tuple(key) in self.data

    def __getitem__(self, key):
        return self.data[tuple(key)][0]

    def __setitem__(self, key, value):
        self.data[tuple(key)] = (value, time.time())

    def __delitem__(self, key):
        del self.data[tuple(key)]

    def __len__(self):
        return len(self.data)

    def timestamp(self, key):
        return self.data[tuple(key)][1]

    def etag(self, key):
        return str(id(self.data[tuple(key)]))

    def get_params(self):
        return {"data": self.data}

    def get_subdict(self, prefix_key):
        raise NotImplementedError

    def _generic_iter(self, result_type):
        for key, (value, timestamp) in list(self.data.items()):
            row = {"keys": key, "values": value, "timestamps": timestamp}
            found = tuple(row[name] for name in ("keys", "values", "timestamps")
                          if name in result_type)  # fmt: skip
            yield found if len(found) > 1 else found[0]


KINDS = {
    "url": str,
    "path": lambda base: base / "with space ?#%41",
    "memory url": lambda base: open_store("memory:", write_once=True),
    "folder": folder,
    "append-only folder": lambda base: folder(base, append_only=True),
    "write-once": lambda base: open_store(base, write_once=True),
    "checking write-once": lambda base: WriteOnceDict(
        wrapped_dict=folder(base, append_only=True), p_consistency_checks=1.0
    ),
    "json": lambda base: folder(base, serialization_format="json"),
    "json url": lambda base: open_store(base, serialization_format="json", write_once=True),
    "unsigned": lambda base: folder(base, digest_len=0),
    "uncompressed": lambda base: folder(base, compression=None),
    "typed": lambda base: folder(base, base_class_for_values=list),
    "append-only cached": lambda base: AppendOnlyDictCached(
        main_dict=folder(base, append_only=True), data_cache=folder(base, "b", append_only=True)
    ),
    "write-once over append-only cached": lambda base: WriteOnceDict(
        wrapped_dict=AppendOnlyDictCached(
            main_dict=folder(base, append_only=True),
            data_cache=LocalDict(append_only=True),
        )
    ),
    "mutable cached": lambda base: MutableDictCached(
        main_dict=folder(base),
        data_cache=folder(base, "b"),
        etag_cache=folder(
            base, "b", serialization_format="etag", base_class_for_values=str
        ),
    ),
    "memory": lambda base: LocalDict(),
    "append-only memory": lambda base: LocalDict(append_only=True),
    "sub-dictionary": lambda base: folder(base).get_subdict(("deep", "down")),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    return KINDS[request.param](tmp_path)


@pytest.fixture
def make(place, runs):
    """Persist a function of this number in a store of every kind; another number, other code."""

    def make(number=1, name="f", **settings):
        def f(x):
            runs.append(x)
            return [number, x, len(runs)]

        return persist(place, name=name, **settings)(f)

    return make


def test_results_are_found_and_are_the_items_of_the_store(make, runs):
    f = make()
    assert not f.is_cached(1)
    first = f(1)
    assert f(1) == make()(1) == first == [1, 1, 1]
    assert f.is_cached(1)
    assert f.store[f.key_of(1)] == first
    assert [f.key_of(1)] == list(f.store)
    assert runs == [1]


def test_a_refreshed_result_is_what_everybody_gets(make, runs):
    f = make()
    f(1), f(2)
    assert f.refresh(1) == [1, 1, 3]
    assert f(1) == make()(1) == f.store[f.key_of(1)] == [1, 1, 3]
    assert f(2) == [1, 2, 2]
    assert runs == [1, 2, 1]


def test_refresh_also_fills_what_is_missing(make, runs):
    assert make().refresh(1) == make()(1)
    assert runs == [1]


def test_a_forgotten_result_is_computed_again(make, runs):
    f = make()
    f(1), f(2)
    assert f.forget(1) is True
    assert f.forget(1) is False
    assert (f.is_cached(1), f.is_cached(2)) == (False, True)
    with pytest.raises(KeyError):
        f.provenance(1)
    assert f(1) == [1, 1, 3]
    assert runs == [1, 2, 1]


def test_all_results_of_a_function_are_forgotten_and_no_others(make):
    """Those of older code too; functions whose names begin alike keep theirs."""
    old, f, other, longer = make(1), make(2), make(name="g"), make(name="f.g")
    for function in (old, f, other, longer):
        function(1), function(2)
    assert f.forget_all() == 4
    assert [g.is_cached(x) for g in (old, f) for x in (1, 2)] == [False] * 4
    assert [g.is_cached(x) for g in (other, longer) for x in (1, 2)] == [True] * 4
    assert other.provenance(1)
    with pytest.raises(KeyError):
        f.provenance(1)
    assert f.forget_all() == 0


def edited(place, runs, number):
    """Persist a function of a module as it is after an edit."""
    source = f"def f(x):\n    runs.append(x)\n    return [{number}, x]\n"
    namespace = {"runs": runs, "__name__": "edited"}
    exec(compile(source, "/project/edited.py", "exec"), namespace)
    return persist(place, name="f")(namespace["f"])


def test_results_of_older_code_are_forgotten_alone(place, runs):
    oldest, older, f = (edited(place, runs, number) for number in (1, 2, 3))
    for function in (oldest, older, f):
        function(1)
    assert f.forget_all(older=True) == 2
    assert [g.is_cached(1) for g in (oldest, older, f)] == [False, False, True]
    assert f.provenance(1)
    assert f.forget_all(older=True) == 0


def test_a_new_version_makes_the_earlier_one_older(make):
    first, second = make(version="1"), make(version="2")
    first(1), second(1)
    assert second.forget_all(older=True) == 1
    assert (first.is_cached(1), second.is_cached(1)) == (False, True)


def test_a_stored_value_that_fails_validation_is_replaced(make, runs):
    f = make()
    f(1)
    strict = make(validate=lambda value: value[2] > 1)
    assert strict(1) == strict(1) == f(1) == [1, 1, 2]
    assert runs == [1, 1]


def test_provenance_lies_beside_and_is_no_item(make):
    f = make()
    f(1)
    note = f.provenance(1)
    assert note["function"].endswith("f")
    assert len(f.store) == 1
    assert json.loads(json.dumps(note)) == note


def test_nothing_warns(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = make()
        f(1), f(1), f.refresh(1), f.forget(1), f.forget_all()


# --- other stores --------------------------------------------------------------------------------


def test_a_dictionary_of_somebody_else_keeps_results(runs):
    """It has the classic methods only: no etags to compare with, no notes beside."""
    store = Minimal()

    @persist(store)
    def f(x):
        runs.append(x)
        return [x]

    assert f(1) == f(1) == store[f.key_of(1)] == [1]
    assert f.is_cached(1)
    f.refresh(1)
    assert f.forget(1)
    assert not f.is_cached(1)
    assert runs == [1, 1]


def test_a_store_that_keeps_nothing_computes_always(runs):
    @persist(EmptyDict())
    def f(x):
        runs.append(x)
        return x

    assert f(1) == f(1) == f.refresh(1) == 1
    assert not f.forget(1)
    assert f.forget_all() == 0
    assert runs == [1, 1, 1]


@pytest.mark.parametrize("formats", [("pkl", "json"), ("json", "pkl")])
@pytest.mark.parametrize("memory", [False, True])
def test_formats_in_one_folder_do_not_meet(tmp_path, runs, formats, memory):
    """Neither notes nor results of one format are results of another."""
    backend = LocalDict().get_params()["backend"]

    def opened(name):
        if memory:
            return LocalDict(backend=backend, serialization_format=name)
        return open_store(tmp_path, serialization_format=name)

    def f(x):
        runs.append(x)
        return {"function": "f", "x": x}

    first, second = (persist(opened(name), name="f")(f) for name in formats)
    assert first(1) == second(1) == first(1) == second(1) == {"function": "f", "x": 1}
    assert runs == [1, 1]
    assert second.forget(1)
    assert first.is_cached(1)
    assert [len(function.store) for function in (first, second)] == [1, 0]


class Watched(FileDirDict):
    """A folder that notes every access to an item."""

    seen: ClassVar[list[str]] = []

    def _stat(self, key):
        self.seen.append("stat")
        return super()._stat(key)

    def _read(self, key, *args, **kwargs):
        self.seen.append("read")
        return super()._read(key, *args, **kwargs)

    def _write(self, key, *args):
        self.seen.append("write")
        return super()._write(key, *args)

    def _remove(self, *args):
        self.seen.append("remove")
        return super()._remove(*args)

    def _scan(self, *args, **kwargs):
        self.seen.append("scan")
        return super()._scan(*args, **kwargs)


@pytest.fixture
def watched(tmp_path):
    Watched.seen.clear()
    return Watched(base_dir=str(tmp_path / "watched"))


def test_a_hit_is_one_read_of_one_item(watched):
    f = persist(watched)(lambda x: x)
    f(1)
    Watched.seen.clear()
    f(1)
    assert Watched.seen == ["read"]


def test_asking_for_a_key_touches_nothing(watched):
    f = persist(watched)(lambda x: x)
    f.key_of(1)
    assert Watched.seen == []


def test_asking_whether_a_call_is_cached_reads_nothing(watched):
    f = persist(watched)(lambda x: x)
    f(1)
    Watched.seen.clear()
    assert f.is_cached(1)
    assert "read" not in Watched.seen
    [file] = watched_files(watched, ".pkl")
    file.write_bytes(b"damaged")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f.is_cached(1)


def watched_files(store, suffix):
    return [path for path in Path(store.base_dir).rglob("*") if path.name.endswith(suffix)]
