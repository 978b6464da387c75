"""What dicts offer beyond the required: clones, default parameters, a table for notebooks."""

import pytest

import persidict
from persidict import ConcurrencyConflictError, EmptyDict, FileDirDict, LocalDict, WriteOnceDict


def test_a_clone_is_a_new_dict_over_the_same_storage(any_dict):
    any_dict["a"] = 1
    assert any_dict.clone() is not any_dict
    assert type(any_dict.clone()) is type(any_dict)


@pytest.mark.parametrize("make", [LocalDict, FileDirDict])
def test_a_clone_shares_the_data_and_may_have_other_settings(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    d = make()
    frozen = d.clone(append_only=True)
    d["a"] = 1
    assert (frozen["a"], frozen.append_only, d.append_only) == (1, True, False)


def test_a_clone_refuses_unknown_settings():
    with pytest.raises(TypeError):
        LocalDict().clone(no_such_parameter=1)


def test_default_parameters_are_those_of_the_constructor_sorted():
    assert list(EmptyDict.get_default_params().items()) == [
        ("append_only", False),
        ("base_class_for_values", None),
        ("serialization_format", "pkl"),
    ]
    assert FileDirDict.get_default_params()["digest_len"] == 4
    assert WriteOnceDict.get_default_params() == {
        "p_consistency_checks": None,
        "wrapped_dict": None,
    }


def test_the_older_name_of_the_conflict():
    assert persidict.TransformConflictError is ConcurrencyConflictError


def test_the_table_for_notebooks_shows_the_parameters_and_is_safe(tmp_path):
    d = FileDirDict(base_dir=tmp_path / "<b>")
    table = d._repr_html_()
    assert "FileDirDict" in table
    assert "digest_len" in table
    assert "<b>" not in table
