"""Parameters of a dict: what get_params names, and that they rebuild the dict."""

import copy
import inspect

import pytest

from persidict import (
    AppendOnlyDictCached,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    WriteOnceDict,
)

COMMON = {"append_only", "base_class_for_values", "serialization_format"}


def mutable_cached():
    return MutableDictCached(main_dict=LocalDict(), data_cache=LocalDict(), etag_cache=LocalDict())


def append_only_cached():
    return AppendOnlyDictCached(
        main_dict=LocalDict(append_only=True), data_cache=LocalDict(append_only=True)
    )


def write_once():
    return WriteOnceDict(wrapped_dict=LocalDict(append_only=True), p_consistency_checks=0.5)


ROWS = [
    (EmptyDict, COMMON),
    (FileDirDict, COMMON | {"base_dir", "digest_len"}),
    (LocalDict, COMMON | {"backend", "prune_interval"}),
    (mutable_cached, {"data_cache", "etag_cache", "main_dict"}),
    (append_only_cached, {"data_cache", "main_dict"}),
    (write_once, {"p_consistency_checks", "wrapped_dict"}),
]
each_row = pytest.mark.parametrize(
    ("make", "names"), ROWS, ids=lambda x: getattr(x, "__name__", "")
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@each_row
def test_get_params_names_exactly_these_sorted(make, names):
    assert list(make().get_params()) == sorted(names)


@each_row
def test_each_parameter_is_one_of_the_constructor(make, names):
    d = make()
    assert names <= set(inspect.signature(type(d).__init__).parameters)


@each_row
def test_the_parameters_rebuild_an_equal_dict_over_the_same_storage(make, names):
    d = make()
    d["a"] = 1
    again = type(d)(**d.get_params())
    assert again is not d
    assert again.get_params() == d.get_params()
    assert list(again.items()) == list(d.items())


@each_row
def test_repr_shows_the_parameters_in_order(make, names):
    d = make()
    shown = ", ".join(f"{name}={value!r}" for name, value in d.get_params().items())
    assert repr(d) == f"{type(d).__name__}({shown})"


def test_repr_of_a_folder_dict(tmp_path):
    d = FileDirDict(base_dir=tmp_path / "d")
    assert repr(d).startswith("FileDirDict(append_only=False, base_class_for_values=None, base_dir")
    assert repr(d).endswith(", digest_len=4, serialization_format='pkl')")


@each_row
def test_copy_is_a_new_dict_over_the_same_storage(make, names):
    d = make()
    other = copy.copy(d)
    assert type(other) is type(d)
    assert other is not d
    d["a"] = 1
    assert list(other) == list(d)


def test_a_folder_dict_names_its_absolute_folder(tmp_path):
    d = FileDirDict(base_dir="here", digest_len=7, base_class_for_values=int, append_only=1)
    assert d.get_params() == {
        "append_only": True,
        "base_class_for_values": int,
        "base_dir": str(tmp_path / "here"),
        "digest_len": 7,
        "serialization_format": "pkl",
    }


def test_a_folder_dict_names_its_compression_when_it_is_not_the_default():
    assert FileDirDict(compression="lz4").get_params() == FileDirDict().get_params()
    assert FileDirDict(compression="zlib").get_params()["compression"] == "zlib"
    assert FileDirDict(compression=None).get_params()["compression"] is None


@pytest.mark.parametrize(
    ("given", "effective"),
    [(None, None), (0, None), (-3, None), (5, 5), ("7", 7), (2.9, 2), ("x", 64), ([], 64)],
)
def test_a_memory_dict_names_its_effective_prune_interval(given, effective):
    assert LocalDict(prune_interval=given).get_params()["prune_interval"] == effective


def test_the_default_prune_interval_is_64():
    assert LocalDict().get_params()["prune_interval"] == 64


def test_a_memory_dict_keeps_the_identity_of_its_backend():
    d = LocalDict()
    backend = d.get_params()["backend"]
    assert backend is not None
    assert LocalDict(backend=backend).get_params()["backend"] is backend
    assert copy.copy(d).get_params()["backend"] is backend


@pytest.mark.parametrize("make", [mutable_cached, append_only_cached, write_once])
def test_wrappers_name_the_very_objects_they_wrap(make):
    d = make()
    wrapped = [value for value in d.get_params().values() if value != 0.5]
    attributes = [vars(d).get(n) for n in ("_main_dict", "_data_cache", "_etag_cache")]
    attributes.append(vars(d).get("_wrapped_dict"))
    assert {id(w) for w in wrapped} == {id(a) for a in attributes if a is not None}


def test_no_checks_are_zero_probability():
    d = WriteOnceDict(wrapped_dict=LocalDict(append_only=True), p_consistency_checks=None)
    assert d.get_params()["p_consistency_checks"] == 0.0


def test_a_third_party_dict_has_the_common_parameters(third_party):
    d = third_party(base_class_for_values=int)
    assert d.get_params() == {
        "append_only": False,
        "base_class_for_values": int,
        "serialization_format": "pkl",
    }


def test_changing_the_parameters_does_not_change_the_dict():
    d = LocalDict()
    d.get_params()["serialization_format"] = "json"
    assert d.serialization_format == d.get_params()["serialization_format"] == "pkl"
