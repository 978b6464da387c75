"""What users of `dict` rely on, down to the corners."""

import collections
import types

import pytest


def content(d):
    return {key[0]: value for key, value in d.items()}


def test_a_new_dict_is_empty(mutable):
    assert not mutable
    assert len(mutable) == 0
    assert list(mutable) == list(mutable.values()) == list(mutable.items()) == []


def test_reading_follows_writing(mutable):
    reference = {"a": 1, "b": [2], "c": None}
    for key, value in reference.items():
        mutable[key] = value
    assert content(mutable) == reference
    assert {key[0]: mutable[key] for key in mutable} == reference
    assert sorted(map(str, mutable.values())) == sorted(map(str, reference.values()))


def test_length_follows_every_change(mutable):
    mutable["a"], mutable["b"] = 1, 2
    mutable["a"] = 3
    assert len(mutable) == 2
    del mutable["a"]
    assert len(mutable) == 1


def test_an_item_can_come_back(mutable):
    mutable["a"] = 1
    del mutable["a"]
    mutable["a"] = 2
    assert (mutable["a"], len(mutable)) == (2, 1)


class Keyed:
    """Has keys and items, and is no mapping."""

    def keys(self):
        return iter(["a", "b"])

    def __getitem__(self, key):
        return key.upper()


class Pairs:
    """Iterates over pairs, with no length and no index."""

    def __iter__(self):
        return iter([("a", 1)])


@pytest.mark.parametrize(
    ("arguments", "keywords", "expected"),
    [
        ((), {}, {}),
        (({"a": 1},), {}, {"a": 1}),
        (({"a": 1},), {"b": 2}, {"a": 1, "b": 2}),
        (({"a": 1},), {"a": 2}, {"a": 2}),
        (([("a", 1), ["b", 2]],), {}, {"a": 1, "b": 2}),
        (([("a", 1), ("a", 2)],), {}, {"a": 2}),
        ((Pairs(),), {}, {"a": 1}),
        ((Keyed(),), {}, {"a": "A", "b": "B"}),
        ((collections.OrderedDict(a=1),), {}, {"a": 1}),
        ((types.MappingProxyType({"a": 1}),), {}, {"a": 1}),
        ((collections.ChainMap({"a": 1}, {"b": 2}),), {}, {"a": 1, "b": 2}),
        ((), {"self": 1, "other": 2, "key": 3}, {"self": 1, "other": 2, "key": 3}),
    ],
)
def test_update_takes_what_dict_takes(mutable, arguments, keywords, expected):
    assert mutable.update(*arguments, **keywords) is None
    assert content(mutable) == expected


def test_update_from_another_persistent_dict(make, mutable):
    source = {"a": 1, ("b", "c"): 2}
    mutable.update(source)
    other = type(mutable)(**mutable.get_params())
    other.update(mutable)
    assert mutable == source


@pytest.mark.parametrize(
    ("argument", "error"), [(None, TypeError), (1, TypeError), ([1], TypeError)]
)
def test_update_refuses_what_dict_refuses(mutable, argument, error):
    with pytest.raises(error):
        mutable.update(argument)


@pytest.mark.parametrize("pairs", [["abc"], [("a",)], [("a", 1, 2)]])
def test_update_refuses_rows_that_are_no_pairs(mutable, pairs):
    with pytest.raises(ValueError):
        mutable.update(pairs)


def test_update_takes_one_positional_argument(mutable):
    with pytest.raises(TypeError):
        mutable.update({}, {})


class Failing(Exception):
    """Raised by a source in the middle."""


def failing_pairs():
    yield "a", 1
    raise Failing


def test_an_error_of_the_source_propagates_and_what_was_written_stays(mutable):
    with pytest.raises(Failing):
        mutable.update(failing_pairs())
    assert content(mutable) == {"a": 1}


def test_update_writes_each_item_by_assignment(append_only):
    from persidict import KEEP_CURRENT, MutationPolicyError

    append_only["a"] = 1
    append_only.update({"a": KEEP_CURRENT, "b": 2})
    with pytest.raises(MutationPolicyError):
        append_only.update({"c": 3, "a": 1, "d": 4})
    assert content(append_only) == {"a": 1, "b": 2, "c": 3}


def test_or_equals_updates_in_place(mutable):
    before = mutable
    mutable |= {"a": 1, "b": 2}
    assert mutable is before
    assert content(mutable) == {"a": 1, "b": 2}


@pytest.mark.parametrize("other", [[("a", 1)], None, 1, Keyed(), "ab", {("a", 1)}])
def test_or_equals_takes_mappings_only(mutable, other):
    with pytest.raises(TypeError):
        mutable |= other
    assert len(mutable) == 0


def test_there_is_no_or(mutable):
    with pytest.raises(TypeError):
        mutable | {"a": 1}
    with pytest.raises(TypeError):
        {"a": 1} | mutable


def test_get_never_inserts(mutable):
    assert mutable.get("a", []) == []
    assert "a" not in mutable


def test_setdefault_chains(mutable):
    assert mutable.setdefault("a", 1) == mutable.setdefault("a", 2) == mutable["a"] == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.get(),
        lambda d: d.get("a", 1, 2),
        lambda d: d.setdefault(),
        lambda d: d.setdefault("a", 1, 2),
        lambda d: d.pop(),
        lambda d: d.popitem(1),
        lambda d: d.clear(1),
        lambda d: d.keys(1),
        lambda d: d.values(1),
        lambda d: d.items(1),
    ],
)
def test_wrong_numbers_of_arguments_are_type_errors(mutable, call):
    with pytest.raises(TypeError):
        call(mutable)


def test_popitem_empties_a_dict(mutable):
    reference = {f"k{n}": n for n in range(7)}
    mutable.update(reference)
    popped = dict(mutable.popitem() for _ in range(7))
    assert {key[0]: value for key, value in popped.items()} == reference
    with pytest.raises(KeyError):
        mutable.popitem()


def test_popping_from_empty_shows_no_inner_error(mutable):
    with pytest.raises(KeyError) as caught:
        mutable.popitem()
    context = caught.value.__context__
    assert context is None or caught.value.__suppress_context__


def test_membership_of_many(mutable):
    mutable.update({f"k{n}": n for n in range(20)})
    assert all(f"k{n}" in mutable for n in range(20))
    assert not any(f"k{n}" in mutable for n in range(20, 40))


def test_a_dict_can_be_unpacked_and_matched(mutable):
    mutable["a"], mutable["b"] = 1, 2
    assert sorted(key[0] for key in {**dict.fromkeys(mutable, 1)}) == ["a", "b"]
    match mutable:
        case {"a": one, "b": two}:
            assert (one, two) == (1, 2)
        case _:
            raise AssertionError


def test_dict_of_a_dict(mutable):
    mutable["a"], mutable["b"] = 1, 2
    assert dict(mutable) == dict(mutable.items())
    assert dict(mutable)["a",] == 1


def test_comprehensions_sums_and_sorting(mutable):
    mutable.update(a=3, b=1, c=2)
    assert sum(mutable.values()) == 6
    assert [key[0] for key, _ in sorted(mutable.items(), key=lambda i: i[1])] == ["b", "c", "a"]
    assert max(mutable, key=mutable.__getitem__) == "a"


class Fallback(dict):
    """Stands for any object with odd methods."""


def test_values_may_be_anything_the_format_can_keep(mutable):
    mutable["a"] = {"nested": {"deeper": [1, 2, {"x": ()}]}}
    assert mutable["a"] == {"nested": {"deeper": [1, 2, {"x": ()}]}}
    mutable["a"] = Fallback(x=1)
    assert type(mutable["a"]) is Fallback


def test_no_ordering_between_dicts(mutable):
    with pytest.raises(TypeError):
        mutable < {}
    with pytest.raises(TypeError):
        mutable >= mutable


def test_keys_keep_their_value_as_keys_of_a_plain_dict(mutable):
    mutable["a", "b"] = 1
    plain = {("a", "b"): "found"}
    assert [plain[key] for key in mutable] == ["found"]
