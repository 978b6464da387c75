"""An append-only dict behind a cache that is trusted."""

import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    AppendOnlyDictCached,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
)

ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}


class Counting(LocalDict):
    """An append-only dict that counts what is asked of it."""

    def __init__(self, **kwargs):
        super().__init__(**(kwargs | {"append_only": True}))
        self.asked = 0

    def __contains__(self, key):
        self.asked += 1
        return super().__contains__(key)

    def _read(self, *args):
        self.asked += 1
        return super()._read(*args)


@pytest.fixture
def main():
    return Counting()


@pytest.fixture
def cache():
    return LocalDict(append_only=True, serialization_format="json")


@pytest.fixture
def d(main, cache):
    return AppendOnlyDictCached(main_dict=main, data_cache=cache)


@pytest.mark.parametrize("name", ["main_dict", "data_cache"])
@pytest.mark.parametrize(
    ("part", "error"),
    [({}, TypeError), (None, TypeError), (LocalDict(), ValueError)]
    + [(LocalDict(append_only=True, base_class_for_values=int), ValueError)],
)
def test_both_parts_are_append_only_dicts_of_the_same_values(main, cache, name, part, error):
    with pytest.raises(error):
        AppendOnlyDictCached(**({"main_dict": main, "data_cache": cache} | {name: part}))


def test_settings_are_those_of_the_main_dict(d, main, cache):
    assert (d.append_only, d.serialization_format) == (True, "pkl")
    assert d.get_params() == {"data_cache": cache, "main_dict": main}
    assert (d._main_dict, d._data_cache) == (main, cache)


def test_a_cached_item_is_trusted_without_asking_the_main_dict(d, main, cache):
    cache["a"] = "only in the cache"
    assert "a" in d
    assert d["a"] == d.get("a") == "only in the cache"
    assert main.asked == 0


def test_a_missing_item_is_read_from_the_main_dict_and_cached(d, main, cache):
    main["a"] = 1
    assert "a" in d
    assert d["a"] == cache["a"] == 1
    main.asked = 0
    assert d["a"] == 1
    assert main.asked == 0


def test_an_absent_item_is_absent(d):
    assert "a" not in d
    with pytest.raises(KeyError):
        d["a"]


def test_a_write_goes_to_both(d, main, cache):
    d["a"] = 1
    assert main["a"] == cache["a"] == 1


def test_a_present_key_is_refused_and_the_cache_untouched(d, main, cache):
    main["a"] = 1
    with pytest.raises(MutationPolicyError, match="append-only"):
        d["a"] = 2
    assert main["a"] == 1
    assert "a" not in cache


def test_jokers(d):
    d["a"] = KEEP_CURRENT
    assert len(d) == 0
    with pytest.raises(MutationPolicyError, match="append-only"):
        d["a"] = DELETE_CURRENT


def test_a_refused_value_is_cached_nowhere():
    kwargs = {"append_only": True, "base_class_for_values": int}
    main, cache = LocalDict(**kwargs), LocalDict(**kwargs)
    d = AppendOnlyDictCached(main_dict=main, data_cache=cache)
    with pytest.raises(TypeError):
        d["a"] = "text"
    assert len(main) == len(cache) == 0


def test_what_only_the_cache_has_is_not_listed(d, main, cache):
    cache["a"] = 1
    main["b"] = 2
    assert (len(d), list(d), list(d.items())) == (1, ["b"], [("b", 2)])
    assert (d.timestamp("b"), d.etag("b")) == (main.timestamp("b"), main.etag("b"))
    for call in (d.etag, d.timestamp):
        with pytest.raises(KeyError):
            call("a")


REFUSED = {
    "discard_item_if": lambda d: d.discard_item_if("a", **ANY),
    "discard_item_if-unmet": lambda d: d.discard_item_if(
        "a", condition=ETAG_IS_THE_SAME, expected_etag="x"
    ),
    "discard_if": lambda d: d.discard_if("a", **ANY),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: KEEP_CURRENT),
    "del": lambda d: d.__delitem__("a"),
    "discard": lambda d: d.discard("a"),
    "clear": lambda d: d.clear(),
    "pop": lambda d: d.pop("a", 1),
    "popitem": lambda d: d.popitem(),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("present", [True, False])
def test_every_change_is_refused_whatever_is_there(d, call, present):
    if present:
        d["a"] = 0
    with pytest.raises(MutationPolicyError, match="append-only"):
        call(d)
    assert len(d) == present


def test_conditional_results_are_those_of_the_main_dict(d, main):
    inserted = d.setdefault_if("a", default_value=1, **ANY)
    assert inserted.resulting_etag == main.etag("a")
    assert d.get_with_etag("a") == main.get_with_etag("a")
    with pytest.raises(MutationPolicyError):
        d.set_item_if("a", value=2, **ANY)
    fresh = d.set_item_if("b", value=2, **ANY)
    assert (fresh.resulting_etag, main["b"]) == (main.etag("b"), 2)


@pytest.mark.parametrize(
    "ask",
    [
        lambda d, q: d.get_item_if("a", **q),
        lambda d, q: d.setdefault_if("a", default_value="rejected", **q),
        lambda d, q: d.set_item_if("a", value="rejected", **q),
        lambda d, q: d.set_item_if("a", value=KEEP_CURRENT, **q),
    ],
)
def test_a_value_that_came_back_is_cached_also_when_the_condition_was_not_met(d, main, cache, ask):
    main["a"] = "actual"
    unmet = {"condition": ETAG_IS_THE_SAME, "expected_etag": "stale"}
    result = ask(d, unmet | {"retrieve_value": ALWAYS_RETRIEVE})
    assert (result.condition_was_satisfied, result.new_value) == (False, "actual")
    assert cache["a"] == "actual"


@pytest.mark.parametrize(
    "insert",
    [
        lambda d: d.set_item_if("a", value=1, **ANY),
        lambda d: d.setdefault_if("a", default_value=1, **ANY),
        lambda d: d.setdefault("a", 1),
    ],
)
def test_a_value_that_was_inserted_is_cached(d, cache, insert):
    insert(d)
    assert cache["a"] == 1


def test_a_value_that_was_not_fetched_is_not_cached(d, main, cache):
    main["a"] = 1
    d.get_item_if("a", retrieve_value=NEVER_RETRIEVE, **ANY)
    assert len(cache) == 0


def test_what_is_cached_already_is_not_cached_again(d, main, cache):
    main["a"] = 1
    cache["a"] = "first"
    assert d.get_with_etag("a").new_value == 1
    assert cache["a"] == "first"


def test_two_readers_that_fill_the_same_entry_both_succeed(main, cache, monkeypatch):
    d = AppendOnlyDictCached(main_dict=main, data_cache=cache)
    main["a"] = 1
    original = Counting._read

    def overtaken(self, *args):
        monkeypatch.setattr(Counting, "_read", original)
        assert d["a"] == 1
        return original(self, *args)

    monkeypatch.setattr(Counting, "_read", overtaken)
    assert d["a"] == 1


def test_a_broken_cache_is_no_error(tmp_path, main):
    cache = FileDirDict(base_dir=tmp_path, append_only=True, digest_len=0)
    d = AppendOnlyDictCached(main_dict=main, data_cache=cache)
    main["a"] = 1
    (tmp_path / "a.pkl").write_bytes(b"damaged")
    assert d["a"] == 1


def test_a_sub_dict_is_cached_by_the_sub_cache(d, main, cache):
    sub = d.get_subdict("p")
    sub["a"] = 1
    assert (type(sub), main["p", "a"], cache["p", "a"]) == (AppendOnlyDictCached, 1, 1)
