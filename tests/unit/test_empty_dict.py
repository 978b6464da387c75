"""The dict that accepts everything and keeps nothing, row by row."""

import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    ConditionalOperationResult,
    EmptyDict,
    LocalDict,
    MutationPolicyError,
)
from tests.ids import stable

ODD_KEYS = ["a", ("a", "b"), 123, None, "", (), "a/b", 1.5]


@pytest.fixture
def d():
    return EmptyDict()


@pytest.mark.parametrize("key", ODD_KEYS, ids=stable)
def test_nothing_is_in_it(d, key):
    assert key not in d


@pytest.mark.parametrize("key", ODD_KEYS, ids=stable)
@pytest.mark.parametrize(
    "call",
    [
        lambda d, k: d[k],
        lambda d, k: d.timestamp(k),
        lambda d, k: d.etag(k),
        lambda d, k: d.__delitem__(k),
        lambda d, k: d.pop(k),
    ],
)
def test_every_item_is_absent_and_the_key_is_reported_as_it_was_given(d, call, key):
    with pytest.raises(KeyError) as caught:
        call(d, key)
    assert caught.value.args == (key,)


def test_what_is_assigned_is_discarded(d):
    d["a"] = 1
    d.update(b=2)
    assert "a" not in d
    assert len(d) == 0


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [("a/b", 1, ValueError), (1.5, 1, TypeError), ((), 1, ValueError), ("a", "text", TypeError)]
    + [("a", LocalDict(), TypeError), (1.5, DELETE_CURRENT, TypeError)],
    ids=stable,
)
def test_assignments_are_validated(key, value, error):
    with pytest.raises(error):
        EmptyDict(base_class_for_values=int)[key] = value


@pytest.mark.parametrize("key", ODD_KEYS, ids=stable)
def test_keep_current_skips_even_the_validation(d, key):
    d[key] = KEEP_CURRENT


def test_delete_current_is_a_no_op_unless_append_only(d):
    d["a"] = DELETE_CURRENT
    with pytest.raises(MutationPolicyError, match="append-only"):
        EmptyDict(append_only=True)["a"] = DELETE_CURRENT


@pytest.mark.parametrize("key", ODD_KEYS, ids=stable)
@pytest.mark.parametrize("default", [1, None, [2], "text"], ids=stable)
def test_defaults_come_back_without_validation(key, default):
    d = EmptyDict(base_class_for_values=int)
    assert d.get(key, default) is default
    assert d.setdefault(key, default) is default
    assert d.pop(key, default) is default


@pytest.mark.parametrize("key", ODD_KEYS, ids=stable)
def test_there_is_nothing_to_discard(d, key):
    assert d.discard(key) is False
    assert d.delete_if_exists(key) is False


@pytest.mark.parametrize("append_only", [True, False])
def test_clearing_is_a_no_op(append_only):
    EmptyDict(append_only=append_only).clear()


def test_it_looks_empty_from_everywhere(d):
    assert (len(d), bool(d), list(d), list(d.values()), list(d.items())) == (0, False, [], [], [])
    assert list(d.keys_and_timestamps()) == list(d.items_and_timestamps()) == []
    assert (d.random_key(), d.subdicts(), str(d)) == (None, {}, repr(d))
    assert d.oldest_keys() == d.newest_keys(max_n=3) == d.oldest_values() == d.newest_values() == []


def test_nothing_can_be_popped(d):
    with pytest.raises(KeyError):
        d.popitem()
    with pytest.raises(TypeError):
        d.pop("a", 1, 2)


OPERATIONS = {
    "get_item_if": lambda d, key="a", **q: d.get_item_if(key, **q),
    "set_item_if": lambda d, key="a", **q: d.set_item_if(key, value=1, **q),
    "set_item_if-keep": lambda d, key="a", **q: d.set_item_if(key, value=KEEP_CURRENT, **q),
    "set_item_if-delete": lambda d, key="a", **q: d.set_item_if(key, value=DELETE_CURRENT, **q),
    "setdefault_if": lambda d, key="a", **q: d.setdefault_if(key, default_value=1, **q),
    "discard_item_if": lambda d, key="a", **q: d.discard_item_if(key, **q),
    "discard_if": lambda d, key="a", **q: d.discard_if(key, **q),
}
each_operation = pytest.mark.parametrize("call", OPERATIONS.values(), ids=OPERATIONS)
ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}


@each_operation
@pytest.mark.parametrize(
    ("condition", "expected", "satisfied"),
    [
        (ANY_ETAG, ITEM_NOT_AVAILABLE, True),
        (ANY_ETAG, "etag", True),
        (ETAG_IS_THE_SAME, ITEM_NOT_AVAILABLE, True),
        (ETAG_IS_THE_SAME, "etag", False),
        (ETAG_HAS_CHANGED, ITEM_NOT_AVAILABLE, False),
        (ETAG_HAS_CHANGED, "etag", True),
    ],
)
def test_conditional_operations_always_find_an_absent_item(d, call, condition, expected, satisfied):
    result = call(d, condition=condition, expected_etag=expected)
    absent = (ITEM_NOT_AVAILABLE,) * 3
    assert result == ConditionalOperationResult(satisfied, *absent)
    assert result.value_was_mutated is False
    assert len(d) == 0


@each_operation
@pytest.mark.parametrize("key", [(), ("",), ("ok", 1.5), True, b"x", None])
def test_conditional_operations_refuse_illegal_keys(d, call, key):
    with pytest.raises((TypeError, ValueError)):
        call(d, key, **ANY)


@pytest.mark.parametrize("name", ["get_item_if", "set_item_if", "setdefault_if"])
@pytest.mark.parametrize("wrong", [True, "always", None])
def test_conditional_operations_check_how_to_retrieve(d, name, wrong):
    with pytest.raises(TypeError, match=r"^retrieve_value must be"):
        OPERATIONS[name](d, retrieve_value=wrong, **ANY)


@each_operation
def test_conditional_operations_check_the_condition(d, call):
    with pytest.raises(ValueError):
        call(d, condition="any", expected_etag=ITEM_NOT_AVAILABLE)


def test_conditional_writes_check_the_value():
    d = EmptyDict(base_class_for_values=int)
    for value in ("text", LocalDict()):
        with pytest.raises(TypeError):
            d.set_item_if("a", value=value, **ANY)


@pytest.mark.parametrize("joker", [KEEP_CURRENT, DELETE_CURRENT])
def test_a_joker_is_no_default(d, joker):
    with pytest.raises(TypeError):
        d.setdefault_if("a", default_value=joker, **ANY)


def test_value_and_etag_are_absent(d):
    result = d.get_with_etag("a")
    assert (result.condition_was_satisfied, result.new_value) == (True, ITEM_NOT_AVAILABLE)
    assert d.get_item_if("a", retrieve_value=ALWAYS_RETRIEVE, **ANY) == result


def test_it_can_stand_in_for_any_dict(d):
    d |= {"a": 1}
    assert d == {}
    assert d == LocalDict()
    assert d != {"a": 1}
