"""`transform_item`: one attempt per retry, pauses between them, and what ends them."""

import copyreg
import time

import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    DELETE_CURRENT,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    ConcurrencyConflictError,
    EmptyDict,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
    NonEmptySafeStrTuple,
    OperationResult,
)


def test_an_absent_item_is_transformed_from_the_sentinel(mutable):
    seen = []
    result = mutable.transform_item("a", transformer=lambda v: seen.append(v) or 1)
    assert seen == [ITEM_NOT_AVAILABLE]
    assert result == OperationResult(mutable.etag("a"), 1)
    assert mutable["a"] == 1


def test_a_present_item_is_transformed_from_its_value(mutable):
    mutable["a"] = [1]
    result = mutable.transform_item("a", transformer=lambda v: [*v, 2])
    assert result == OperationResult(mutable.etag("a"), [1, 2])
    assert mutable["a"] == [1, 2]


def test_keeping_writes_nothing_and_tells_what_is_there(mutable):
    mutable["a"] = 1
    etag = mutable.etag("a")
    result = mutable.transform_item("a", transformer=lambda v: KEEP_CURRENT)
    assert result == OperationResult(etag, 1)
    assert mutable.etag("a") == etag


def test_keeping_what_is_absent_gives_the_sentinels(mutable):
    result = mutable.transform_item("a", transformer=lambda v: KEEP_CURRENT)
    assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
    assert len(mutable) == 0


@pytest.mark.parametrize("present", [True, False])
def test_deleting_gives_the_sentinels(mutable, present):
    if present:
        mutable["a"] = 1
    result = mutable.transform_item("a", transformer=lambda v: DELETE_CURRENT)
    assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
    assert "a" not in mutable


def test_changing_the_value_in_place_does_not_change_the_store(mutable):
    mutable["a"] = [1]
    mutable.transform_item("a", transformer=lambda v: v.append(2) or KEEP_CURRENT)
    assert mutable["a"] == [1]


def test_an_exception_of_the_transformer_propagates_and_nothing_is_written(mutable, pauses):
    mutable["a"] = 1
    etag = mutable.etag("a")
    with pytest.raises(ZeroDivisionError):
        mutable.transform_item("a", transformer=lambda v: v / 0)
    assert (mutable["a"], mutable.etag("a"), pauses) == (1, etag, [])


def losing(d, wins_at=None):
    """A transformer that is overtaken by another writer, until its `wins_at`-th call."""
    calls = []

    def transformer(current):
        calls.append(current)
        if len(calls) != wins_at:
            d["a"] = f"other {len(calls)}"
        return "mine"

    return transformer, calls


@pytest.mark.parametrize("n_retries", [0, 1, 3, "2", 2.9, True])
def test_attempts_are_retries_and_one(mutable, pauses, n_retries):
    transformer, calls = losing(mutable)
    with pytest.raises(ConcurrencyConflictError) as caught:
        mutable.transform_item("a", transformer=transformer, n_retries=n_retries)
    assert len(calls) == caught.value.attempts == int(n_retries) + 1
    assert caught.value.key == NonEmptySafeStrTuple("a")
    assert mutable["a"] == f"other {len(calls)}"


def test_by_default_there_are_six_retries(mutable, pauses):
    transformer, calls = losing(mutable)
    with pytest.raises(ConcurrencyConflictError):
        mutable.transform_item("a", transformer=transformer)
    assert len(calls) == 7


def test_none_retries_for_ever(mutable, pauses):
    transformer, calls = losing(mutable, wins_at=30)
    result = mutable.transform_item("a", transformer=transformer, n_retries=None)
    assert result.new_value == mutable["a"] == "mine"
    assert (len(calls), len(pauses)) == (30, 29)


def test_each_attempt_sees_the_value_that_won(mutable, pauses):
    transformer, calls = losing(mutable, wins_at=3)
    mutable.transform_item("a", transformer=transformer)
    assert calls == [ITEM_NOT_AVAILABLE, "other 1", "other 2"]


def test_pauses_grow_and_there_is_one_between_two_attempts(d, pauses):
    transformer, _calls = losing(d)
    with pytest.raises(ConcurrencyConflictError):
        d.transform_item("a", transformer=transformer, n_retries=6)
    assert len(pauses) == 6
    for index, pause in enumerate(pauses):
        assert 0.01 * 1.75**index <= pause <= 0.2 * 1.75**index


def test_pauses_are_drawn_at_random(d, pauses):
    for _ in range(5):
        with pytest.raises(ConcurrencyConflictError):
            d.transform_item("a", transformer=losing(d)[0], n_retries=1)
    assert len(set(pauses)) == 5


def test_a_first_success_makes_no_pause(mutable, pauses):
    mutable.transform_item("a", transformer=lambda v: 1)
    mutable.transform_item("a", transformer=lambda v: DELETE_CURRENT)
    assert pauses == []


def test_deletes_are_retried_too(mutable, pauses):
    calls = []

    def transformer(current):
        calls.append(current)
        if len(calls) < 3:
            mutable["a"] = len(calls)
        return DELETE_CURRENT

    mutable["a"] = 0
    mutable.transform_item("a", transformer=transformer)
    assert calls == [0, 1, 2]
    assert "a" not in mutable


def test_an_item_deleted_meanwhile_is_a_conflict_and_then_absent(mutable, pauses):
    calls = []

    def transformer(current):
        calls.append(current)
        mutable.discard("a")
        return "mine"

    mutable["a"] = 1
    mutable.transform_item("a", transformer=transformer)
    assert calls == [1, ITEM_NOT_AVAILABLE]
    assert mutable["a"] == "mine"


@pytest.mark.parametrize(
    ("n_retries", "error"), [("x", TypeError), ([], TypeError), (-1, ValueError)]
)
def test_wrong_retries_are_refused_before_anything_is_read(tmp_path, n_retries, error):
    d = FileDirDict(base_dir=tmp_path)
    d["a"] = 1
    next(tmp_path.iterdir()).write_bytes(b"damaged")
    with pytest.raises(error):
        d.transform_item("a", transformer=lambda v: 1 / 0, n_retries=n_retries)


@pytest.mark.parametrize("key", ["", 1.5, ("a", "b/c")])
def test_illegal_keys_come_first(mutable, key):
    with pytest.raises((TypeError, ValueError)):
        mutable.transform_item(key, transformer=lambda v: 1 / 0, n_retries=0)


def test_all_but_the_key_are_keywords(mutable):
    with pytest.raises(TypeError):
        mutable.transform_item("a", lambda v: 1)


class Spied(LocalDict):
    """A dict that notes how its conditional operations are called."""

    def set_item_if(self, *args, **kwargs):
        vars(self).setdefault("calls", []).append(("set", args, kwargs))
        return super().set_item_if(*args, **kwargs)

    def discard_item_if(self, *args, **kwargs):
        vars(self).setdefault("calls", []).append(("discard", args, kwargs))
        return super().discard_item_if(*args, **kwargs)


@pytest.mark.parametrize("present", [True, False])
def test_a_write_is_a_set_item_if_over_the_etag_that_was_read(present):
    d = Spied()
    if present:
        d["a"] = 0
    expected = d.etag("a") if present else ITEM_NOT_AVAILABLE
    d.transform_item("a", transformer=lambda v: 1)
    ((name, args, kwargs),) = d.calls
    assert (name, args) == ("set", ("a",))
    assert kwargs == {
        "value": 1,
        "condition": ETAG_IS_THE_SAME,
        "expected_etag": expected,
        "retrieve_value": ALWAYS_RETRIEVE,
    }


def test_a_delete_is_a_discard_item_if_over_the_etag_that_was_read():
    d = Spied()
    d["a"] = 0
    etag = d.etag("a")
    d.transform_item("a", transformer=lambda v: DELETE_CURRENT)
    ((name, args, kwargs),) = d.calls
    assert (name, args) == ("discard", ("a",))
    assert kwargs == {"condition": ETAG_IS_THE_SAME, "expected_etag": etag}


class Counted:
    """A value that counts how often it is decoded."""

    decoded = 0


def decode():
    Counted.decoded += 1
    return Counted()


copyreg.pickle(Counted, lambda _: (decode, ()))


def test_after_a_lost_write_the_value_it_reported_is_used_without_another_read(d, pauses):
    calls = []

    def transformer(current):
        calls.append(current)
        if len(calls) < 4:
            d["a"] = Counted()
        return "mine"

    d["a"] = Counted()
    Counted.decoded = 0
    d.transform_item("a", transformer=transformer)
    assert Counted.decoded == len(calls) == 4


def test_append_only_dicts_insert_and_keep(tmp_path):
    for d in (FileDirDict(base_dir=tmp_path, append_only=True), LocalDict(append_only=True)):
        assert d.transform_item("a", transformer=lambda v: 1).new_value == 1
        assert d.transform_item("a", transformer=lambda v: KEEP_CURRENT).new_value == 1
        absent = d.transform_item("b", transformer=lambda v: DELETE_CURRENT)
        assert absent == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)
        for refused in (2, DELETE_CURRENT):
            with pytest.raises(MutationPolicyError):
                d.transform_item("a", transformer=lambda v, new=refused: new)
        assert dict(d.items()) == {d.random_key(): 1}


def test_an_empty_dict_never_calls_the_transformer():
    result = EmptyDict().transform_item("a", transformer=lambda v: 1 / 0)
    assert result == OperationResult(ITEM_NOT_AVAILABLE, ITEM_NOT_AVAILABLE)


def test_what_is_returned_is_checked_like_any_value(make):
    d = make(base_class_for_values=int)
    with pytest.raises(TypeError):
        d.transform_item("a", transformer=lambda v: "text")
    assert len(d) == 0


@pytest.mark.parametrize("changed", ["theirs", None], ids=["changed", "removed"])
def test_in_a_folder_an_attempt_begins_with_what_is_there_after_the_pause(
    tmp_path, monkeypatch, changed
):
    """What was seen before the pause is outdated by then."""
    d = FileDirDict(base_dir=tmp_path, durability="relaxed")
    d["a"] = "old"
    given = []

    def transformer(current):
        given.append(current)
        if len(given) == 1:
            d["a"] = "during the first attempt"
        return "mine"

    def in_the_pause(_):
        d["a"] = DELETE_CURRENT if changed is None else changed

    monkeypatch.setattr(time, "sleep", in_the_pause)
    d.transform_item("a", transformer=transformer)
    assert given == ["old", ITEM_NOT_AVAILABLE if changed is None else changed]
    assert d["a"] == "mine"
