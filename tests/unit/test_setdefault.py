"""`setdefault` inserts what is missing and returns what is there."""

import pytest

from persidict import DELETE_CURRENT, KEEP_CURRENT, LocalDict, MutationPolicyError


def test_an_absent_key_gets_the_default_itself_back(any_dict):
    default = [1]
    assert any_dict.setdefault("a", default) is default
    assert any_dict["a"] == [1]


def test_a_present_key_keeps_and_returns_its_value(any_dict):
    any_dict["a"] = 1
    before = any_dict.etag("a")
    assert any_dict.setdefault("a", 2) == 1
    assert (any_dict["a"], any_dict.etag("a")) == (1, before)


def test_the_default_default_is_none(any_dict):
    assert any_dict.setdefault("a") is None
    assert any_dict["a"] is None
    assert any_dict.setdefault("a", default=2) is None


@pytest.mark.parametrize("joker", [KEEP_CURRENT, DELETE_CURRENT])
@pytest.mark.parametrize("present", [True, False])
def test_a_joker_is_no_default(any_dict, joker, present):
    if present:
        any_dict["a"] = 1
    with pytest.raises(TypeError) as caught:
        any_dict.setdefault("a", joker)
    assert not isinstance(caught.value, MutationPolicyError)
    assert len(any_dict) == present


def test_the_default_of_a_present_key_is_not_validated(make):
    d = make(base_class_for_values=int)
    d["a"] = 1
    assert d.setdefault("a", "text") == d.setdefault("a", LocalDict()) == 1


def test_the_default_of_an_absent_key_is_validated(make):
    d = make(base_class_for_values=int)
    for default in ("text", None, LocalDict()):
        with pytest.raises(TypeError):
            d.setdefault("a", default)
    assert len(d) == 0


def test_a_present_key_needs_no_default_that_can_be_stored(d):
    d["a"] = 1
    assert d.setdefault("a", lambda: None) == 1


def test_changing_the_returned_default_does_not_change_the_store(any_dict):
    any_dict.setdefault("a", [1]).append(2)
    assert any_dict["a"] == [1]
    any_dict.setdefault("a", []).append(3)
    assert any_dict["a"] == [1]


def test_append_only_dicts_take_defaults(append_only):
    assert append_only.setdefault("a", 1) == 1
    assert append_only.setdefault("a", 2) == 1
