"""`d[key] = value`, with jokers and under each policy."""

import os

import pytest

from persidict import DELETE_CURRENT, KEEP_CURRENT, FileDirDict, LocalDict, MutationPolicyError


def test_what_is_stored_comes_back(mutable):
    mutable["a"] = {"x": [1, None, "é"]}
    assert mutable["a"] == {"x": [1, None, "é"]}


def test_the_last_value_wins(mutable):
    mutable["a"] = 1
    mutable["a"] = 2
    assert (mutable["a"], len(mutable)) == (2, 1)


def test_stored_values_share_nothing_with_the_caller(any_dict):
    value = [1]
    any_dict["a"] = value
    value.append(2)
    any_dict["a"].append(3)
    assert any_dict["a"] == [1]


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_false_values_are_values(any_dict, value):
    any_dict["a"] = value
    assert "a" in any_dict
    assert any_dict["a"] == any_dict.get("a", 1) == value
    assert type(any_dict["a"]) is type(value)


def test_keep_current_does_nothing_to_a_present_item(any_dict):
    any_dict["a"] = 1
    before = any_dict.etag("a"), any_dict.timestamp("a")
    any_dict["a"] = KEEP_CURRENT
    assert (any_dict.etag("a"), any_dict.timestamp("a")) == before
    assert any_dict["a"] == 1


def test_keep_current_does_nothing_to_an_absent_item(any_dict):
    any_dict["a"] = KEEP_CURRENT
    assert "a" not in any_dict
    assert len(any_dict) == 0


def test_keep_current_passes_every_policy_and_type(append_only, make):
    append_only["a"] = 1
    append_only["a"] = KEEP_CURRENT
    make(base_class_for_values=int)["a"] = KEEP_CURRENT
    assert append_only["a"] == 1


def test_delete_current_deletes(make):
    d = make(base_class_for_values=int)
    d["a"] = 1
    d["a"] = DELETE_CURRENT
    assert "a" not in d


def test_delete_current_of_an_absent_item_is_no_error(mutable):
    mutable["a"] = DELETE_CURRENT
    assert len(mutable) == 0


@pytest.mark.parametrize("present", [True, False])
def test_delete_current_is_refused_by_an_append_only_dict(append_only, present):
    if present:
        append_only["a"] = 1
    with pytest.raises(MutationPolicyError, match="append-only"):
        append_only["a"] = DELETE_CURRENT
    assert ("a" in append_only) is present


def test_an_append_only_dict_keeps_the_first_value(append_only):
    append_only["a"] = 1
    before = append_only.etag("a"), append_only.timestamp("a")
    for value in (1, 2):
        with pytest.raises(MutationPolicyError, match="append-only"):
            append_only["a"] = value
    assert append_only["a"] == 1
    assert (append_only.etag("a"), append_only.timestamp("a")) == before


def test_inserting_does_not_ask_whether_the_key_is_there(tmp_path, monkeypatch):
    dicts = [FileDirDict(base_dir=tmp_path, append_only=True), LocalDict(append_only=True)]
    for cls in (FileDirDict, LocalDict):
        monkeypatch.setattr(cls, "__contains__", lambda *_: 1 / 0)
    for d in dicts:
        d["a"] = 1
        with pytest.raises(MutationPolicyError):
            d["a"] = 2
        assert d["a"] == 1


def test_a_refused_append_leaves_no_file_behind(tmp_path):
    d = FileDirDict(base_dir=tmp_path, append_only=True)
    d["a"] = 1
    before = os.listdir(tmp_path)
    with pytest.raises(MutationPolicyError):
        d["a"] = 2
    assert os.listdir(tmp_path) == before


def test_a_second_writer_cannot_overwrite_on_an_append_only_folder(tmp_path):
    one, two = (FileDirDict(base_dir=tmp_path, append_only=True) for _ in range(2))
    one["a"] = 1
    with pytest.raises(MutationPolicyError):
        two["a"] = 2
    assert one["a"] == two["a"] == 1
