"""`StoreRef`: a store by class and parameters, the same wherever it arrives."""

from __future__ import annotations

import copy
import pickle
import threading

import cloudpickle
import pytest
from dask.base import tokenize

from persidict import (
    AppendOnlyDictCached,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    OverlappingMultiDict,
    WriteOnceDict,
)
from persidict_dask import StoreRef, digest, open_store, persist


def folder(base, name="a", **params):
    return FileDirDict(base_dir=str(base / name), **params)


KINDS = {
    "folder": folder,
    "json": lambda base: folder(base, serialization_format="json", digest_len=0),
    "typed": lambda base: folder(base, base_class_for_values=int),
    "compressed": lambda base: folder(base, compression="zlib"),
    "append-only": lambda base: folder(base, append_only=True),
    "sub-dictionary": lambda base: folder(base).get_subdict("deep"),
    "write-once": lambda base: open_store(base / "a", write_once=True),
    "checking": lambda base: WriteOnceDict(
        wrapped_dict=folder(base, append_only=True), p_consistency_checks=0.5
    ),
    "empty": lambda base: EmptyDict(),
    "append-only cached": lambda base: AppendOnlyDictCached(
        main_dict=folder(base, append_only=True), data_cache=folder(base, "b", append_only=True)
    ),
    "mutable cached": lambda base: MutableDictCached(
        main_dict=folder(base), data_cache=folder(base, "b"), etag_cache=folder(base, "c")
    ),
    "three levels": lambda base: WriteOnceDict(
        wrapped_dict=AppendOnlyDictCached(
            main_dict=folder(base, append_only=True),
            data_cache=folder(base, "b", append_only=True),
        )
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def parts_of(store):
    """Class and parameters, through all wrappers."""
    params = store.get_params().items()
    return type(store), {k: parts_of(v) if hasattr(v, "get_params") else v for k, v in params}


def test_a_reference_opens_an_equal_store(tmp_path, kind):
    store = kind(tmp_path)
    other = pickle.loads(pickle.dumps(StoreRef.of(store))).open()
    assert parts_of(other) == parts_of(store)
    other["a"] = 1
    assert store.get("a") == other.get("a")


def test_references_to_equal_stores_are_equal(tmp_path, kind):
    """And so are their hashes, tokens and content digests, also after a journey."""
    refs = [StoreRef.of(kind(tmp_path)) for _ in range(2)]
    refs += [pickle.loads(pickle.dumps(refs[0])), cloudpickle.loads(cloudpickle.dumps(refs[0]))]
    refs += [copy.copy(refs[0]), copy.deepcopy(refs[0])]
    assert len(set(refs)) == 1
    assert len(set(map(tokenize, refs))) == 1
    assert len(set(map(digest, refs))) == 1
    assert len({repr(ref) for ref in refs}) == 1


def test_references_to_different_stores_differ(tmp_path):
    stores = [make(tmp_path) for make in KINDS.values()]
    stores += [folder(tmp_path, "z"), LocalDict(), LocalDict(), LocalDict(append_only=True)]
    refs = [StoreRef.of(store) for store in stores]
    assert len(set(refs)) == len(set(map(tokenize, refs))) == len(refs)


def test_a_process_opens_equal_references_once(tmp_path, kind):
    ref = StoreRef.of(kind(tmp_path))
    assert ref.open() is pickle.loads(pickle.dumps(ref)).open()


def test_threads_open_a_reference_once(tmp_path):
    ref = StoreRef.of(folder(tmp_path))
    start, opened = threading.Barrier(8), []

    def work():
        start.wait()
        opened.append(ref.open())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(store) for store in opened}) == 1


def test_a_store_that_did_not_open_is_tried_again(tmp_path):
    ref = StoreRef.of(folder(tmp_path))
    (tmp_path / "a").rmdir()
    (tmp_path / "a").touch()
    with pytest.raises(Exception, match=str(tmp_path)):
        ref.open()
    (tmp_path / "a").unlink()
    ref.open()["x"] = 1


@pytest.mark.parametrize("wrong", [None, 5, "path", {}, FileDirDict])
def test_only_dictionaries_have_references(wrong):
    with pytest.raises(TypeError):
        StoreRef.of(wrong)


def test_several_formats_under_one_roof_are_no_single_store(tmp_path):
    many = OverlappingMultiDict(
        dict_type=FileDirDict, shared_subdicts_params={"base_dir": str(tmp_path)}, json={}
    )
    with pytest.raises(TypeError):
        StoreRef.of(many)
    assert StoreRef.of(many.json).open() is not None


class Described(FileDirDict):
    """A dictionary with a parameter that cannot be compared."""

    def __init__(self, *, tags=(), **params):
        super().__init__(**params)
        self.tags = tags

    def get_params(self):
        return {**super().get_params(), "tags": self.tags}


def test_parameters_without_a_hash_are_refused_at_once(tmp_path):
    Described.__init__.__kwdefaults__["tags"] = ()
    assert StoreRef.of(Described(base_dir=str(tmp_path), tags=("a",))).open().tags == ("a",)
    with pytest.raises(TypeError, match="hash"):
        StoreRef.of(Described(base_dir=str(tmp_path), tags=["a"]))


def test_dictionaries_in_memory_are_found_in_their_process():
    store = LocalDict()
    sub = store.get_subdict("deep")
    ref, below = pickle.loads(pickle.dumps((StoreRef.of(store), StoreRef.of(sub))))
    below.open()["a"] = 1
    assert ref.open()["deep", "a"] == sub["a"] == 1
    assert StoreRef.of(LocalDict(**store.get_params())) == StoreRef.of(store)


def test_a_reference_keeps_what_it_names_in_memory():
    """The dictionary itself may be gone: its content is not, and no other takes its place."""
    refs = []
    for number in range(20):
        store = LocalDict()
        store["a"] = number
        refs.append(StoreRef.of(store))
        del store
    assert [ref.open()["a"] for ref in refs] == list(range(20))


def test_a_wrapper_around_memory_is_found_too():
    store = WriteOnceDict(wrapped_dict=LocalDict(append_only=True))
    store["a"] = 1
    assert pickle.loads(pickle.dumps(StoreRef.of(store))).open()["a"] == 1


REFUSED = """
import pickle, sys
ref = pickle.loads(bytes.fromhex(sys.argv[1]))
assert hash(ref) == hash(ref)
try:
    ref.open()
except RuntimeError as error:
    print(error)
"""


@pytest.mark.parametrize("wrapped", [False, True])
def test_dictionaries_in_memory_are_refused_elsewhere(python, wrapped):
    """Clearly, and only when they are opened."""
    store = LocalDict(append_only=True)
    ref = StoreRef.of(WriteOnceDict(wrapped_dict=store) if wrapped else store)
    message = python(REFUSED, pickle.dumps(ref).hex())
    assert "only in the process that made it" in message
    assert "folder" in message


def test_unpickling_a_reference_opens_nothing(tmp_path, kind, monkeypatch):
    data = pickle.dumps(StoreRef.of(kind(tmp_path)))

    def opened(*args, **kwargs):
        raise AssertionError("opened")

    for cls in (FileDirDict, LocalDict, WriteOnceDict, MutableDictCached, AppendOnlyDictCached):
        monkeypatch.setattr(cls, "__init__", opened)
    ref = pickle.loads(data)
    hash(ref), tokenize(ref), repr(ref)


def test_a_reference_is_an_argument_of_a_persisted_function(tmp_path, runs):
    """It counts by the store it names, not by that store's content."""
    data = folder(tmp_path)
    data["a"] = 1

    @persist(tmp_path / "results")
    def total(ref):
        runs.append(1)
        return sum(ref.open().values())

    assert total(StoreRef.of(data)) == total(StoreRef.of(folder(tmp_path))) == 1
    assert total(StoreRef.of(folder(tmp_path, "b"))) == 0
    assert len(runs) == 2
