"""The methods every dict has, one promise each."""

import copy
import pickle
from collections.abc import Iterator, Mapping, MutableMapping

import pytest

from persidict import EmptyDict, FileDirDict, LocalDict, OverlappingMultiDict, PersiDict
from tests.ids import stable


def filled(d):
    d["a"], d["b", "c"], d["d"] = 1, 2, 3
    return d


def test_the_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        PersiDict()


@pytest.mark.parametrize(
    "name",
    "__contains__ __getitem__ __setitem__ __delitem__ __len__ timestamp _generic_iter".split(),
)
def test_each_abstract_method_must_be_provided(third_party, name):
    incomplete = type("Incomplete", (third_party,), {name: getattr(PersiDict, name)})
    with pytest.raises(TypeError, match=name):
        incomplete()


def test_every_dict_is_a_mutable_mapping(any_dict):
    assert isinstance(any_dict, PersiDict)
    assert isinstance(any_dict, MutableMapping)


def test_a_dict_is_true_when_it_has_a_key(any_dict):
    assert bool(any_dict) is False
    any_dict["a"] = 0
    assert bool(any_dict) is True


def test_truth_stops_at_the_first_key_and_never_counts(any_dict, monkeypatch):
    filled(any_dict)
    for cls in type(any_dict).__mro__:
        if "__len__" in vars(cls) and cls is not Mapping:
            monkeypatch.setattr(cls, "__len__", lambda d: 1 / 0)
    assert bool(any_dict) is True


def test_truth_asks_for_one_key_only(third_party):
    taken = []

    class Counting(third_party):
        def _generic_iter(self, result_type):
            for item in super()._generic_iter(result_type):
                taken.append(item)
                yield item

    assert bool(filled(Counting())) is True
    assert len(taken) == 1


ITERATORS = {
    "iter": (iter, ["a", ("b", "c"), "d"]),
    "keys": (lambda d: d.keys(), ["a", ("b", "c"), "d"]),
    "values": (lambda d: d.values(), [1, 2, 3]),
    "items": (lambda d: d.items(), [("a", 1), (("b", "c"), 2), ("d", 3)]),
}
each_iterator = pytest.mark.parametrize(
    ("start", "expected"), ITERATORS.values(), ids=ITERATORS.keys()
)


@each_iterator
def test_iteration_covers_every_item_once(any_dict, start, expected):
    found = list(start(filled(any_dict)))
    assert len(found) == 3
    assert all(item in found for item in expected)


@each_iterator
def test_iterators_are_fresh_and_have_one_pass(any_dict, start, expected):
    first, second = start(filled(any_dict)), start(any_dict)
    assert isinstance(first, Iterator)
    assert iter(first) is first
    assert (len(list(first)), len(list(first)), len(list(second))) == (3, 0, 3)


@each_iterator
def test_iterators_are_no_views(any_dict, start, expected):
    with pytest.raises(TypeError):
        len(start(any_dict))
    with pytest.raises(TypeError):
        start(any_dict) & set()


def test_items_with_timestamps(any_dict):
    filled(any_dict)
    stamps = {key: any_dict.timestamp(key) for key in any_dict}
    assert all(type(t) is float for t in stamps.values())
    assert dict(any_dict.keys_and_timestamps()) == stamps
    assert sorted(any_dict.values_and_timestamps()) == sorted(
        (any_dict[key], t) for key, t in stamps.items()
    )
    rows = {key: (value, t) for key, value, t in any_dict.items_and_timestamps()}
    assert rows == {key: (any_dict[key], t) for key, t in stamps.items()}


@pytest.mark.parametrize(
    "result_type",
    [{"keys"}, {"values"}, {"timestamps"}, {"keys", "values"}, {"keys", "timestamps"}]
    + [{"values", "timestamps"}, {"keys", "values", "timestamps"}],
    ids=sorted,
)
def test_generic_iteration_yields_the_fields_in_order(any_dict, result_type):
    any_dict["a"] = 1
    row = {"keys": "a", "values": 1, "timestamps": any_dict.timestamp("a")}
    fields = tuple(row[name] for name in ("keys", "values", "timestamps") if name in result_type)
    assert list(any_dict._generic_iter(result_type)) == [fields if len(fields) > 1 else fields[0]]


@pytest.mark.parametrize("make", [LocalDict, EmptyDict, FileDirDict])
@pytest.mark.parametrize(
    ("result_type", "error"),
    [("keys", TypeError), (["keys"], TypeError), (None, TypeError), ({"keys": 1}, TypeError)]
    + [(set(), ValueError), ({"keys", "etags"}, ValueError), ({"key"}, ValueError)],
    ids=stable,
)
def test_generic_iteration_refuses_other_fields(make, result_type, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        list(make()._generic_iter(result_type))


def test_get_gives_value_or_default(mutable):
    mutable["a"] = None
    assert mutable.get("a", 1) is None
    assert mutable.get("b") is None
    assert mutable.get("b", 1) == mutable.get("b", default=1) == 1


def test_clear_removes_all(mutable):
    filled(mutable).clear()
    assert (len(mutable), list(mutable), mutable.get("a")) == (0, [], None)
    mutable["a"] = 2
    assert dict(mutable.items()) == {mutable.random_key(): 2}


def test_clearing_an_empty_dict_is_fine(mutable):
    assert mutable.clear() is None


@pytest.mark.parametrize("name", ["discard", "delete_if_exists"])
def test_discarding_tells_whether_there_was_something(mutable, name):
    filled(mutable)
    assert getattr(mutable, name)("a") is True
    assert getattr(mutable, name)("a") is False
    assert "a" not in mutable
    assert len(mutable) == 2


def test_etag_is_a_stable_text_that_changes_with_the_value(any_dict):
    any_dict["a"] = 1
    assert isinstance(any_dict.etag("a"), str)
    assert any_dict.etag("a") == any_dict.etag("a") != ""


def test_timestamps_and_etags_of_one_key_are_independent_of_others(mutable):
    mutable["a"] = 1
    before = mutable.etag("a"), mutable.timestamp("a")
    mutable["b"] = 2
    assert (mutable.etag("a"), mutable.timestamp("a")) == before


def test_a_new_value_has_a_new_etag(mutable):
    mutable["a"] = 1
    before = mutable.etag("a")
    mutable["a"] = 2
    assert mutable.etag("a") != before


def test_the_etag_of_the_base_class_is_the_timestamp(third_party):
    d = third_party()
    d["a"] = 1
    assert d.etag("a") == f"{d.timestamp('a'):.6f}" == "1.000000"


def test_dicts_are_unhashable_irreversible_and_not_deep_copied(any_dict):
    for call in (hash, reversed, copy.deepcopy):
        with pytest.raises(TypeError):
            call(any_dict)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_dicts_are_not_picklable(any_dict, protocol):
    with pytest.raises(TypeError):
        pickle.dumps(any_dict, protocol)


@pytest.mark.parametrize("cls", [FileDirDict, LocalDict, EmptyDict, OverlappingMultiDict])
def test_state_is_neither_given_nor_taken(cls):
    d = object.__new__(cls)
    with pytest.raises(TypeError):
        d.__getstate__()
    with pytest.raises(TypeError):
        d.__setstate__({})


def test_the_refusal_to_be_pickled_names_the_class_and_says_what_to_do(any_dict):
    ways = rf"{type(any_dict).__name__} .*StoreRef\.of\(.*clone\(\)"
    with pytest.raises(TypeError, match=ways):
        any_dict.__getstate__()
    with pytest.raises(TypeError, match=type(any_dict).__name__):
        any_dict.__setstate__({})


def test_instances_take_attributes(any_dict):
    any_dict.my_note = "mine"
    assert vars(any_dict)["my_note"] == "mine"


def test_subdicts_are_named_after_every_first_component(tmp_path):
    d = filled(FileDirDict(base_dir=tmp_path))
    subdicts = d.subdicts()
    assert type(subdicts) is dict
    assert sorted(subdicts) == ["a", "b", "d"]
    assert dict(subdicts["b"].items()) == {("c",): 2}
    assert len(subdicts["a"]) == 0


def test_subdicts_of_an_empty_dict_are_none(tmp_path):
    assert FileDirDict(base_dir=tmp_path).subdicts() == LocalDict().subdicts() == {}


def test_the_base_class_knows_no_subdicts(third_party):
    with pytest.raises(NotImplementedError):
        third_party().get_subdict("a")
