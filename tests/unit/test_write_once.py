"""Write-once dicts: the first value stays, repeats are ignored or checked."""

import pytest

from persidict import (
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
    WriteOnceDict,
)
from tests.ids import stable

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}


@pytest.fixture
def d(tmp_path):
    return WriteOnceDict(wrapped_dict=FileDirDict(base_dir=tmp_path, append_only=True))


def test_nothing_given_wraps_the_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrapped = WriteOnceDict().get_params()["wrapped_dict"]
    assert type(wrapped) is FileDirDict
    assert wrapped.append_only is True
    assert wrapped.base_dir == str(tmp_path / "__file_dir_dict__")


@pytest.mark.parametrize("wrapped", [{}, 1, "text", FileDirDict, [1]], ids=stable)
def test_only_dicts_are_wrapped(wrapped):
    with pytest.raises(TypeError):
        WriteOnceDict(wrapped_dict=wrapped)


def test_only_append_only_dicts_are_wrapped():
    with pytest.raises(ValueError):
        WriteOnceDict(wrapped_dict=LocalDict())


@pytest.mark.parametrize("p", [-0.1, 1.1, 2, float("inf"), float("nan"), KEEP_CURRENT])
def test_a_probability_outside_zero_and_one_is_refused(p):
    with pytest.raises(ValueError):
        WriteOnceDict(wrapped_dict=LocalDict(append_only=True), p_consistency_checks=p)


def test_the_probability_can_be_set(d):
    assert d.p_consistency_checks == 0.0
    for p, effective in [(0.5, 0.5), (KEEP_CURRENT, 0.5), (1, 1), (None, 0.0), (0, 0)]:
        d.p_consistency_checks = p
        assert d.p_consistency_checks == effective
    for p in (-1, 1.5):
        with pytest.raises(ValueError):
            d.p_consistency_checks = p


def test_settings_come_from_the_wrapped_dict(tmp_path):
    wrapped = FileDirDict(
        base_dir=tmp_path, append_only=True, serialization_format="json", base_class_for_values=int
    )
    d = WriteOnceDict(wrapped_dict=wrapped)
    assert d.append_only is True
    assert (d.serialization_format, d.base_class_for_values) == ("json", int)


def test_unknown_attributes_are_those_of_the_wrapped_dict(d, tmp_path):
    assert (d.base_dir, d.digest_len) == (str(tmp_path), 4)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        d.nothing_like_it


def test_looking_for_attributes_before_construction_ends():
    with pytest.raises(AttributeError):
        object.__new__(WriteOnceDict).base_dir


def test_the_first_value_stays(d):
    d["a"] = 1
    before = d.etag("a"), d.timestamp("a")
    d["a"] = 2
    d.update(a=3)
    d |= {"a": 4}
    assert d.setdefault("a", 5) == d["a"] == 1
    assert (d.etag("a"), d.timestamp("a")) == before


def test_keep_current_is_a_no_op(d):
    d["a"] = KEEP_CURRENT
    assert len(d) == 0


REFUSED = {
    "delete-joker": (lambda d: d.__setitem__("a", DELETE_CURRENT), "append-only"),
    "del": (lambda d: d.__delitem__("a"), "write-once"),
    "discard": (lambda d: d.discard("a"), None),
    "delete_if_exists": (lambda d: d.delete_if_exists("a"), None),
    "clear": (lambda d: d.clear(), None),
    "pop": (lambda d: d.pop("a"), None),
    "pop-default": (lambda d: d.pop("a", 1), None),
    "popitem": (lambda d: d.popitem(), None),
    "set_item_if": (lambda d: d.set_item_if("a", value=1, **ANY), "write-once"),
    "set_item_if-keep": (lambda d: d.set_item_if("a", value=KEEP_CURRENT, **ANY), "write-once"),
    "set_item_if-unmet": (
        lambda d: d.set_item_if("a", value=1, condition=ETAG_IS_THE_SAME, expected_etag="x"),
        "write-once",
    ),
}


@pytest.mark.parametrize(("call", "policy"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("present", [True, False])
def test_what_would_change_or_remove_is_refused(d, call, policy, present):
    if present:
        d["a"] = 0
    with pytest.raises(MutationPolicyError) as caught:
        call(d)
    assert policy in (None, caught.value.policy)
    assert len(d) == present


def test_transforming_may_keep_and_nothing_else(d):
    d["a"] = 1
    assert d.transform_item("a", transformer=lambda v: KEEP_CURRENT).new_value == 1
    for key in ("a", "b"):
        with pytest.raises(MutationPolicyError):
            d.transform_item(key, transformer=lambda v: 2)
    assert (len(d), d["a"]) == (1, 1)


def test_conditional_reads_and_inserts_are_those_of_an_append_only_dict(d):
    inserted = d.setdefault_if("a", default_value=1, **ANY)
    assert (inserted.value_was_mutated, inserted.resulting_etag) == (True, d.etag("a"))
    assert d.setdefault_if("a", default_value=2, **ANY).new_value == 1
    assert d.get_item_if("a", **ANY).new_value == d.get_with_etag("a").new_value == 1
    assert d.get_with_etag("a").actual_etag == d.etag("a")


def test_a_conditional_delete_is_refused_only_if_there_is_something_and_it_is_met(d):
    assert d.discard_item_if("a", **ANY).new_value is ITEM_NOT_AVAILABLE
    d["a"] = 1
    with pytest.raises(MutationPolicyError):
        d.discard_item_if("a", **ANY)
    unmet = d.discard_if("a", condition=ETAG_IS_THE_SAME, expected_etag="stale")
    assert unmet.condition_was_satisfied is False
    assert d["a"] == 1


def test_reading_is_delegated(d):
    wrapped = d.get_params()["wrapped_dict"]
    wrapped["a", "b"] = 1
    assert (("a", "b") in d, d["a", "b"], len(d), list(d)) == (True, 1, 1, [("a", "b")])
    assert d.timestamp(("a", "b")) == wrapped.timestamp(("a", "b"))
    assert d.etag(("a", "b")) == wrapped.etag(("a", "b"))
    assert d._wrapped_dict is wrapped


def test_a_sub_dict_is_write_once_over_the_sub_dict(d):
    d.p_consistency_checks = 1
    sub = d.get_subdict("p")
    sub["k"] = 1
    with pytest.raises(MutationPolicyError):
        sub["k"] = 2
    assert (type(sub), d["p", "k"]) == (WriteOnceDict, 1)
