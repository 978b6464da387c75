"""Dicts of several formats in one place."""

import pickle

import pytest

from persidict import FileDirDict, LocalDict, OverlappingMultiDict
from tests.ids import stable


@pytest.fixture
def multi(tmp_path):
    return OverlappingMultiDict(
        dict_type=FileDirDict,
        shared_subdicts_params={"base_dir": tmp_path, "digest_len": 0},
        pkl={},
        json={"digest_len": 4},
        md={"base_class_for_values": str},
    )


def test_each_keyword_is_a_dict_of_that_format(multi, tmp_path):
    assert [type(d) for d in (multi.pkl, multi.json, multi.md)] == [FileDirDict] * 3
    assert [d.serialization_format for d in (multi.pkl, multi.json, multi.md)] == [
        "pkl",
        "json",
        "md",
    ]
    assert {d.base_dir for d in (multi.pkl, multi.json, multi.md)} == {str(tmp_path)}


def test_individual_parameters_override_shared_ones_but_not_the_format(tmp_path):
    multi = OverlappingMultiDict(
        dict_type=FileDirDict,
        shared_subdicts_params={"base_dir": tmp_path, "digest_len": 0},
        json={"digest_len": 4, "serialization_format": "pkl"},
    )
    assert (multi.json.digest_len, multi.json.serialization_format) == (4, "json")


def test_the_parameters_are_attributes(multi, tmp_path):
    assert multi.dict_type is FileDirDict
    assert multi.shared_subdicts_params == {"base_dir": tmp_path, "digest_len": 0}
    assert multi.individual_subdicts_params["json"] == {"digest_len": 4}
    assert multi.subdicts_names == ["pkl", "json", "md"]
    assert type(multi.subdicts_names) is list


@pytest.mark.parametrize(
    "kwargs",
    [
        {"dict_type": dict},
        {"dict_type": "LocalDict"},
        {"dict_type": LocalDict()},
        {"dict_type": None},
        {"shared_subdicts_params": None},
        {"shared_subdicts_params": [("append_only", True)]},
        {"pkl": None},
        {"pkl": "text"},
        {"json": {}, "pkl": [1]},
    ],
    ids=stable,
)
def test_wrong_arguments_are_type_errors(kwargs):
    with pytest.raises(TypeError):
        OverlappingMultiDict(**({"dict_type": LocalDict, "shared_subdicts_params": {}} | kwargs))


@pytest.mark.parametrize(
    "misuse",
    [
        lambda multi: multi["a"],
        lambda multi: multi.__setitem__("a", 1),
        lambda multi: multi.__delitem__("a"),
    ],
)
def test_items_are_in_the_dicts_and_the_error_points_there(multi, misuse):
    with pytest.raises(TypeError, match="json"):
        misuse(multi)


def test_it_is_no_dict_and_not_picklable(multi):
    from persidict import PersiDict

    assert not isinstance(multi, PersiDict)
    with pytest.raises(TypeError):
        pickle.dumps(multi)
    with pytest.raises(TypeError):
        multi.__setstate__({})


def test_the_dicts_share_a_folder_and_not_their_items(multi, tmp_path):
    multi.pkl["a"], multi.json["a"], multi.md["a"] = 1, 2, "x"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.md", "a.pkl", "a_btax.json"]
    multi.json.clear()
    assert (multi.pkl["a"], multi.md["a"], len(multi.json)) == (1, "x", 0)


def test_dicts_in_memory_have_separate_data_unless_a_backend_is_shared():
    separate = OverlappingMultiDict(dict_type=LocalDict, shared_subdicts_params={}, pkl={}, json={})
    backends = [d.get_params()["backend"] for d in (separate.pkl, separate.json)]
    assert backends[0] != backends[1]
    shared = OverlappingMultiDict(
        dict_type=LocalDict, shared_subdicts_params={"backend": backends[0]}, pkl={}, json={}
    )
    separate.pkl["a"] = 1
    assert (shared.pkl["a"], len(shared.json)) == (1, 0)


def test_its_repr_shows_how_it_was_made(multi):
    assert repr(multi).startswith("OverlappingMultiDict(dict_type=")
    assert all(name in repr(multi) for name in multi.subdicts_names)


def test_it_may_have_no_dicts_at_all():
    assert OverlappingMultiDict(dict_type=LocalDict, shared_subdicts_params={}).subdicts_names == []
