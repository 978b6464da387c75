"""How dicts treat keys: normalised, checked, and given back as safe string tuples."""

import collections

import numpy as np
import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NonEmptySafeStrTuple,
    SafeStrTuple,
)
from tests.ids import stable

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
ITEM_METHODS = {
    "[]": lambda d, k: d[k],
    "[]=": lambda d, k: d.__setitem__(k, 1),
    "[]=KEEP_CURRENT": lambda d, k: d.__setitem__(k, KEEP_CURRENT),
    "del": lambda d, k: d.__delitem__(k),
    "in": lambda d, k: k in d,
    "get": lambda d, k: d.get(k),
    "setdefault": lambda d, k: d.setdefault(k, 1),
    "pop": lambda d, k: d.pop(k, 1),
    "discard": lambda d, k: d.discard(k),
    "delete_if_exists": lambda d, k: d.delete_if_exists(k),
    "timestamp": lambda d, k: d.timestamp(k),
    "etag": lambda d, k: d.etag(k),
    "get_with_etag": lambda d, k: d.get_with_etag(k),
    "get_item_if": lambda d, k: d.get_item_if(k, retrieve_value=ALWAYS_RETRIEVE, **ANY),
    "set_item_if": lambda d, k: d.set_item_if(k, value=1, **ANY),
    "setdefault_if": lambda d, k: d.setdefault_if(k, default_value=1, **ANY),
    "discard_item_if": lambda d, k: d.discard_item_if(k, **ANY),
    "discard_if": lambda d, k: d.discard_if(k, **ANY),
    "transform_item": lambda d, k: d.transform_item(k, transformer=lambda v: 1),
    "update": lambda d, k: d.update([(k, 1)]),
}
ABSENT = {name: ITEM_METHODS[name] for name in ["[]", "del", "timestamp", "etag"]} | {
    "pop": lambda d, k: d.pop(k)
}


@pytest.mark.parametrize("call", ITEM_METHODS.values(), ids=ITEM_METHODS)
class TestEveryItemMethod:
    @pytest.mark.parametrize("key", [(), [], "", ".", "..", "a/b", ("a", ""), "a" * 254, "é"])
    def test_refuses_illegal_strings_with_a_value_error(self, d, call, key):
        with pytest.raises(ValueError):
            call(d, key)
        assert len(d) == 0

    @pytest.mark.parametrize(
        "key", [True, None, ("a", 1.5), b"a", {"a"}, {"a": 1}, 1.5], ids=stable
    )
    def test_refuses_other_types_with_a_type_error(self, d, call, key):
        with pytest.raises(TypeError):
            call(d, key)
        assert len(d) == 0


@pytest.mark.parametrize("key", [True, ("a", ""), None, ()], ids=stable)
@pytest.mark.parametrize("name", ["in", "get", "[]", "[]=KEEP_CURRENT", "setdefault", "discard"])
def test_illegal_keys_raise_on_every_dict(mutable, key, name):
    with pytest.raises((TypeError, ValueError)):
        ITEM_METHODS[name](mutable, key)


SPELLINGS = [
    ("a", "b"),
    ["a", "b"],
    SafeStrTuple("a", "b"),
    NonEmptySafeStrTuple("a", "b"),
    [["a"], "b"],
    collections.deque(["a", "b"]),
    np.array(["a", "b"]),
]


@pytest.mark.parametrize("key", SPELLINGS, ids=stable)
def test_all_spellings_of_a_key_address_one_item(mutable, key):
    mutable["a", "b"] = 1
    assert key in mutable
    assert mutable[key] == mutable.get(key) == 1
    mutable[key] = 2
    assert mutable["a", "b"] == 2
    assert len(mutable) == 1
    del mutable[key]
    assert ("a", "b") not in mutable


def test_a_string_is_the_key_of_one_component(mutable):
    mutable["a"] = 1
    assert mutable["a",] == mutable[["a"]] == 1


def test_a_key_and_a_longer_key_below_it_may_both_exist(mutable):
    mutable["a"] = 1
    mutable["a", "b"] = 2
    assert (mutable["a"], mutable["a", "b"], len(mutable)) == (1, 2, 2)
    del mutable["a"]
    assert mutable["a", "b"] == 2


def test_keys_are_case_sensitive(mutable):
    mutable["key"], mutable["Key"], mutable["KEY"] = 1, 2, 3
    assert (mutable["key"], mutable["Key"], mutable["KEY"]) == (1, 2, 3)
    assert sorted(key[0] for key in mutable) == ["KEY", "Key", "key"]


@pytest.mark.parametrize("call", ABSENT.values(), ids=ABSENT)
@pytest.mark.parametrize("key", ["a", ("a", "b"), ["a"]], ids=stable)
def test_a_key_error_carries_the_normalised_key(d, call, key):
    with pytest.raises(KeyError) as caught:
        call(d, key)
    (argument,) = caught.value.args
    assert type(argument) is NonEmptySafeStrTuple
    assert argument == key


def test_a_key_error_carries_the_normalised_key_on_every_dict(any_dict):
    with pytest.raises(KeyError) as caught:
        any_dict["a"]
    assert type(caught.value.args[0]) is NonEmptySafeStrTuple


LISTINGS = {
    "iter": list,
    "keys": lambda d: list(d.keys()),
    "items": lambda d: [key for key, _ in d.items()],
    "keys_and_timestamps": lambda d: [key for key, _ in d.keys_and_timestamps()],
    "items_and_timestamps": lambda d: [key for key, _, _ in d.items_and_timestamps()],
    "oldest_keys": lambda d: d.oldest_keys(),
    "newest_keys": lambda d: d.newest_keys(max_n=5),
    "random_key": lambda d: [d.random_key()],
}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
def test_keys_come_back_as_safe_string_tuples(any_dict, listing):
    any_dict["a", "b"] = 1
    (key,) = listing(any_dict)
    assert isinstance(key, SafeStrTuple)
    assert key == ("a", "b")
    assert any_dict[key] == 1


def test_the_longest_file_name_can_be_written_changed_and_removed(d):
    key = "a" * 246  # with signature and extension 255 characters, what file systems allow
    d[key] = 1
    d.transform_item(key, transformer=lambda v: v + 1)
    assert list(d) == [key]
    assert d.pop(key) == 2


def test_a_component_too_long_when_signed_is_a_value_error(d):
    with pytest.raises(ValueError, match=r"at most 248 .* digest_len=4, not 249: 'a{20}'"):
        d["a" * 249] = 1
