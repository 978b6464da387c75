"""A dict of somebody else: the abstract methods are enough for all the others."""

import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    ConcurrencyConflictError,
    LocalDict,
    MutableDictCached,
    MutationPolicyError,
    NonEmptySafeStrTuple,
    PersiDict,
)
from persidict.jokers_and_status_flags import CONTINUE_NORMAL_EXECUTION, EXECUTION_IS_COMPLETE


@pytest.fixture(params=["with-etag", "without-etag"])
def dict_class(request, third_party, third_party_with_etag):
    return third_party_with_etag if request.param == "with-etag" else third_party


@pytest.fixture
def d(dict_class):
    return dict_class()


@pytest.fixture
def cached(d):
    etags = LocalDict(serialization_format="etag", base_class_for_values=str)
    return MutableDictCached(main_dict=d, data_cache=LocalDict(), etag_cache=etags)


@pytest.fixture(params=["bare", "cached"])
def either(request, d, cached):
    """The dict itself, and the dict behind a cache."""
    return d if request.param == "bare" else cached


def test_conditional_writes(either):
    first = either.set_item_if(
        "a", value=1, condition=ETAG_IS_THE_SAME, expected_etag=ITEM_NOT_AVAILABLE
    )
    assert first.condition_was_satisfied
    assert first.resulting_etag == either.etag("a")
    stale = either.set_item_if("a", value=2, condition=ETAG_IS_THE_SAME, expected_etag="stale")
    assert (stale.condition_was_satisfied, stale.new_value) == (False, 1)
    again = either.set_item_if("a", value=3, condition=ETAG_HAS_CHANGED, expected_etag="stale")
    assert (again.actual_etag, either["a"]) == (first.resulting_etag, 3)


def test_conditional_reads(either):
    either["a"] = 1
    what = {"condition": ANY_ETAG, "expected_etag": either.etag("a")}
    assert either.get_item_if("a", **what).new_value is VALUE_NOT_RETRIEVED
    assert either.get_item_if("a", retrieve_value=ALWAYS_RETRIEVE, **what).new_value == 1
    assert either.get_item_if("b", **what).new_value is ITEM_NOT_AVAILABLE
    assert either.get_with_etag("a").new_value == 1


def test_never_retrieving_reads_no_value(d, monkeypatch):
    d["a"] = 1
    monkeypatch.setattr(type(d), "__getitem__", lambda *_: 1 / 0)
    what = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
    assert d.get_item_if("a", retrieve_value=NEVER_RETRIEVE, **what).actual_etag == d.etag("a")


def test_conditional_deletes(either):
    either["a"] = 1
    unmet = either.discard_if("a", condition=ETAG_IS_THE_SAME, expected_etag="stale")
    assert (unmet.condition_was_satisfied, unmet.new_value) == (False, VALUE_NOT_RETRIEVED)
    met = either.discard_item_if("a", condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE)
    assert met.value_was_mutated
    assert "a" not in either


def test_conditional_defaults(either):
    what = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}
    assert either.setdefault_if("a", default_value=1, **what).value_was_mutated
    assert either.setdefault_if("a", default_value=2, **what).new_value == 1


def test_jokers(either):
    either["a"] = 1
    either["a"] = KEEP_CURRENT
    assert either["a"] == 1
    either["a"] = DELETE_CURRENT
    either["b"] = DELETE_CURRENT
    assert len(either) == 0


def test_deletes_tell_whether_there_was_something(either):
    either["a"] = either["b"] = 1
    del either["a"]
    with pytest.raises(KeyError):
        del either["a"]
    assert (either.discard("b"), either.discard("b")) == (True, False)


def test_a_deletion_that_is_silent_about_absent_keys_is_enough(dict_class):
    class Silent(dict_class):
        def __delitem__(self, key):
            self.data.pop(NonEmptySafeStrTuple(key), None)

    d = Silent()
    cached = MutableDictCached(main_dict=d, data_cache=LocalDict(), etag_cache=LocalDict())
    for either in (d, cached):
        either["a"] = 1
        assert (either.discard("a"), either.discard("a"), either.pop("a", 2)) == (True, False, 2)
    with pytest.raises(KeyError):
        del cached["a"]


def test_all_the_rest(either):
    either.update(a=1, b=2)
    assert either.setdefault("c", 3) == 3
    assert either.pop("a") == 1
    assert either.transform_item("b", transformer=lambda v: v + 1).new_value == 3
    assert either == {"b": 3, "c": 3}
    assert either.oldest_keys() == ["c", "b"]
    assert either.popitem()[1] == 3
    either.clear()
    assert not either


@pytest.mark.parametrize(
    ("value", "verdict"), [(1, CONTINUE_NORMAL_EXECUTION), (KEEP_CURRENT, EXECUTION_IS_COMPLETE)]
)
def test_arguments_are_processed_before_a_write(d, value, verdict):
    assert d._process_setitem_args("a", value) is verdict


def test_processing_a_delete_deletes(d):
    d["a"] = 1
    assert d._process_setitem_args("a", DELETE_CURRENT) is EXECUTION_IS_COMPLETE
    assert "a" not in d


@pytest.mark.parametrize(
    ("key", "error"), [("a/b", ValueError), (1.5, TypeError), ((), ValueError)]
)
def test_processing_refuses_illegal_keys(d, key, error):
    for value in (1, KEEP_CURRENT):
        with pytest.raises(error):
            d._process_setitem_args(key, value)


def test_processing_refuses_values_and_policies(dict_class):
    with pytest.raises(TypeError, match="int"):
        dict_class(base_class_for_values=int)._process_setitem_args("a", "text")
    d = dict_class(append_only=True)
    d["a"] = 1
    for value in (2, DELETE_CURRENT):
        with pytest.raises(MutationPolicyError):
            d._process_setitem_args("a", value)


def test_value_and_etag_that_never_agree_are_a_conflict(third_party, pauses):
    class Restless(third_party):
        def __getitem__(self, key):
            value = super().__getitem__(key)
            super().__setitem__(key, value)
            return value

    d = Restless()
    d["a"] = 1
    with pytest.raises(ConcurrencyConflictError) as caught:
        d.get_with_etag("a")
    assert (caught.value.key, caught.value.attempts) == ("a", 3)


def test_value_and_etag_that_agree_at_last_are_a_result(third_party, pauses):
    class Settling(third_party):
        left = 2

        def __getitem__(self, key):
            value = super().__getitem__(key)
            if self.left:
                self.left -= 1
                super().__setitem__(key, value + 1)
            return value

    d = Settling()
    d["a"] = 1
    result = d.get_with_etag("a")
    assert (result.new_value, result.actual_etag) == (3, d.etag("a"))


def test_an_item_that_vanishes_between_etag_and_value_is_absent(third_party):
    class Vanishing(third_party):
        def __getitem__(self, key):
            self.data.clear()
            return super().__getitem__(key)

    d = Vanishing()
    d["a"] = 1
    assert d.get_with_etag("a").new_value is ITEM_NOT_AVAILABLE
    d["a"] = 1
    what = {"condition": ETAG_IS_THE_SAME, "expected_etag": d.etag("a")}
    gone = d.get_item_if("a", retrieve_value=ALWAYS_RETRIEVE, **what)
    assert (gone.condition_was_satisfied, gone.actual_etag) == (False, ITEM_NOT_AVAILABLE)


class Bare(PersiDict):
    """A subclass that defines no constructor of its own."""

    def __contains__(self, key):
        return False

    __len__ = lambda self: 0  # noqa: E731
    __getitem__ = __setitem__ = __delitem__ = timestamp = lambda self, *_: None

    def _generic_iter(self, result_type):
        return iter(())


def test_the_constructor_of_the_base_class_takes_keywords_only():
    assert Bare(append_only=True).append_only is True
    with pytest.raises(TypeError):
        Bare(True)
