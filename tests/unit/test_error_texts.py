"""What errors say of items: the key as a user writes it, and which dictionary refused what."""

import copy
import inspect
import pickle
import traceback

import pytest

from persidict import (
    ANY_ETAG,
    ITEM_NOT_AVAILABLE,
    AbsentKeyError,
    AppendOnlyDictCached,
    ConcurrencyConflictError,
    DamagedItemError,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
    NonEmptySafeStrTuple,
    WriteOnceDict,
)
from tests.ids import stable

ABSENT = {
    "[]": lambda d, key: d[key],
    "del": lambda d, key: d.__delitem__(key),
    "timestamp": lambda d, key: d.timestamp(key),
    "etag": lambda d, key: d.etag(key),
    "pop": lambda d, key: d.pop(key),
    "sub-dictionary": lambda d, key: d.get_subdict("p")[key],
}
TEXTS = [
    ("a", "'a'"),
    (("a",), "'a'"),
    (["a", "b"], "('a', 'b')"),
    (2025, "'2025'"),
    (NonEmptySafeStrTuple("a", "b"), "('a', 'b')"),
]


@pytest.mark.parametrize("call", ABSENT.values(), ids=ABSENT)
@pytest.mark.parametrize(("key", "text"), TEXTS, ids=stable)
def test_the_text_of_a_key_error_is_the_key_as_it_is_written(d, call, key, text):
    with pytest.raises(KeyError) as caught:
        call(d, key)
    error = caught.value
    for each in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(each) == text
        assert repr(each) == f"AbsentKeyError({text})"
        assert type(each.args[0]) is NonEmptySafeStrTuple
    assert traceback.format_exception_only(error)[-1].endswith(f"KeyError: {text}\n")


def test_the_key_error_of_every_dict_says_the_key(any_dict):
    if "Minimal" not in repr(any_dict):  # the dict of a third party raises what it likes
        with pytest.raises(AbsentKeyError, match=r"^\('a', 'b'\)$"):
            any_dict["a", "b"]


@pytest.mark.parametrize("key", ["a", ("a", "b"), 123, None])
def test_an_empty_dict_gives_the_key_back(key):
    for call in list(ABSENT.values())[:5]:
        with pytest.raises(KeyError) as caught:
            call(EmptyDict(), key)
        assert caught.value.args == (key,)
        assert str(caught.value) == repr(key)


def test_conflicts_and_damage_say_the_key_in_the_same_way(tmp_path):
    assert str(ConcurrencyConflictError(NonEmptySafeStrTuple("a"), 7)).startswith("'a' was changed")
    d = FileDirDict(tmp_path, digest_len=0)
    (tmp_path / "a.pkl").write_bytes(b"damaged")
    with pytest.raises(DamagedItemError, match=r"^the item 'a' cannot be decoded"):
        d["a"]


ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
REFUSED = {
    "[]=": lambda d: d.__setitem__("a", 2),
    "del": lambda d: d.__delitem__("a"),
    "discard": lambda d: d.discard("a"),
    "pop": lambda d: d.pop("a"),
    "update": lambda d: d.update(a=2),
    "set_item_if": lambda d: d.set_item_if("a", value=2, **ANY),
    "discard_item_if": lambda d: d.discard_item_if("a", **ANY),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda value: 2),
}


def memory():
    return LocalDict(append_only=True)


def cached():
    return AppendOnlyDictCached(main_dict=memory(), data_cache=memory())


@pytest.mark.parametrize("make", [memory, cached])
@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_a_refused_change_tells_item_and_dictionary(make, call):
    d = make()
    d["a"] = 1
    with pytest.raises(MutationPolicyError) as caught:
        call(d)
    assert str(caught.value) == "append-only"
    (note,) = caught.value.__notes__
    assert note.startswith(f"the item 'a' of {d!r}")


@pytest.mark.parametrize("call", [lambda d: d.clear(), lambda d: d.popitem()])
def test_a_refused_change_of_all_items_tells_the_dictionary(tmp_path, call):
    d = FileDirDict(tmp_path, append_only=True)
    with pytest.raises(MutationPolicyError) as caught:
        call(d)
    assert repr(d) in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize("call", [REFUSED["del"], REFUSED["set_item_if"], REFUSED["[]="]])
def test_a_write_once_dict_tells_item_and_dictionary(tmp_path, call):
    wrapped = FileDirDict(tmp_path, append_only=True)
    d = WriteOnceDict(wrapped_dict=wrapped, p_consistency_checks=1)
    d["a"] = 1
    with pytest.raises(MutationPolicyError, match=r"^write-once") as caught:
        call(d)
    assert str(caught.value) == "write-once"
    (note,) = pickle.loads(pickle.dumps(caught.value)).__notes__
    assert "'a'" in note
    assert repr(d) in note


def test_a_key_of_too_many_parts_is_said_to_be_too_long(tmp_path):
    """Each part is short enough, and the path of all of them is not."""
    d, key = FileDirDict(tmp_path), ["part" * 50] * 30
    for use in (lambda: d.get(key), lambda: key in d, lambda: d.update([(key, 1)])):
        with pytest.raises(ValueError, match=r"too long for a path of 6,\d{3} bytes") as caught:
            use()
        assert len(str(caught.value)) < 200


def test_help_shows_where_no_default_is_given():
    assert "default: 'Any' = <no default>" in str(inspect.signature(FileDirDict.pop))


def test_the_type_of_a_value_is_named(tmp_path):
    with pytest.raises(TypeError, match="must be of type int, not str"):
        FileDirDict(tmp_path, base_class_for_values=int)["a"] = "x"
