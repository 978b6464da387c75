"""A mutable dict behind two caches: the main dict is the truth, the caches save the reading."""

import os

import pytest

from persidict import (
    ANY_ETAG,
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    FileDirDict,
    LocalDict,
    MutableDictCached,
)
from tests.ids import stable

ETAGS = {"serialization_format": "etag", "base_class_for_values": str}
ANY = {"condition": ANY_ETAG, "expected_etag": ITEM_NOT_AVAILABLE}


@pytest.fixture
def main():
    return LocalDict()


@pytest.fixture
def data():
    return LocalDict(serialization_format="json")


@pytest.fixture
def etags():
    return LocalDict(**ETAGS)


@pytest.fixture
def d(main, data, etags):
    return MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)


def caches(data, etags):
    return data.get("a"), etags.get("a")


@pytest.mark.parametrize("name", ["main_dict", "data_cache", "etag_cache"])
@pytest.mark.parametrize(
    ("part", "error"),
    [({}, TypeError), (None, TypeError), (LocalDict, TypeError)]
    + [(LocalDict(append_only=True), ValueError)],
)
def test_all_parts_are_mutable_dicts(main, data, etags, name, part, error):
    parts = {"main_dict": main, "data_cache": data, "etag_cache": etags} | {name: part}
    with pytest.raises(error, match=name):
        MutableDictCached(**parts)


def test_settings_are_those_of_the_main_dict(data, etags):
    main = LocalDict(serialization_format="txt", base_class_for_values=str)
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    assert (d.serialization_format, d.base_class_for_values, d.append_only) == ("txt", str, False)
    assert d.get_params() == {"data_cache": data, "etag_cache": etags, "main_dict": main}


def test_the_parts_are_kept_under_their_names(d, main, data, etags):
    assert (d._main_dict, d._data_cache, d._etag_cache) == (main, data, etags)


def test_a_first_read_fills_both_caches(d, main, data, etags):
    main["a"] = 1
    assert d["a"] == 1
    assert caches(data, etags) == (1, main.etag("a"))


def test_an_unchanged_value_comes_from_the_cache(d, main, data):
    main["a"] = 1
    assert d["a"] == 1
    data["a"] = "from the cache"
    assert d["a"] == d.get("a") == "from the cache"


def test_a_changed_value_comes_from_the_main_dict_and_is_cached(d, main, data, etags):
    d["a"] = 1
    main["a"] = 2
    assert d["a"] == 2
    assert caches(data, etags) == (2, main.etag("a"))


@pytest.mark.parametrize("missing", ["data", "etags"])
def test_a_half_filled_cache_is_no_cache(d, main, data, etags, missing):
    d["a"] = 1
    {"data": data, "etags": etags}[missing].discard("a")
    data.update({"a": "wrong"} if missing == "etags" else {})
    assert d["a"] == 1
    assert caches(data, etags) == (1, main.etag("a"))


@pytest.mark.parametrize("wrong", ["stale", "", 123, None, ["x"]], ids=stable)
def test_a_wrong_etag_in_the_cache_counts_as_a_mismatch_and_is_repaired(main, data, wrong):
    etags = LocalDict()
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    d["a"] = 1
    data["a"], etags["a"] = "wrong", wrong
    assert d["a"] == 1
    assert caches(data, etags) == (1, main.etag("a"))


def test_what_is_absent_in_the_main_dict_is_purged_from_the_caches(d, main, data, etags):
    d["a"] = 1
    del main["a"]
    with pytest.raises(KeyError):
        d["a"]
    assert caches(data, etags) == (None, None)


def test_what_only_the_caches_have_does_not_exist(d, data, etags):
    data["a"], etags["a"] = 1, "etag"
    assert ("a" in d, len(d), list(d), list(d.items()), bool(d)) == (False, 0, [], [], False)
    assert (d.get("a"), d.random_key(), d.oldest_keys()) == (None, None, [])
    with pytest.raises(KeyError):
        d.timestamp("a")


def test_iteration_shows_the_main_dict(d, main, data):
    d["a"] = 1
    main["a"], main["b"] = 2, 3
    data["a"] = "stale"
    assert sorted(d.values()) == [2, 3]
    assert {t for _, t in d.keys_and_timestamps()} == {main.timestamp("a"), main.timestamp("b")}
    assert d.timestamp("b") == main.timestamp("b")


def test_a_write_goes_to_the_main_dict_and_both_caches(d, main, data, etags):
    d["a"] = 1
    assert main["a"] == 1
    assert caches(data, etags) == (1, main.etag("a"))


def test_a_refused_write_changes_nothing(data, etags):
    main = LocalDict(base_class_for_values=int)
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    d["a"] = 1
    before = caches(data, etags)
    with pytest.raises(TypeError):
        d["a"] = "text"
    d["a"] = KEEP_CURRENT
    assert (main["a"], caches(data, etags)) == (1, before)


def test_the_cached_etag_is_that_of_the_value_written(tmp_path, data, etags, monkeypatch):
    main = FileDirDict(base_dir=tmp_path)
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    original = os.replace

    def overtaken(*args, **kwargs):
        original(*args, **kwargs)
        monkeypatch.setattr(os, "replace", original)
        main["a"] = "theirs"

    monkeypatch.setattr(os, "replace", overtaken)
    d["a"] = "mine"
    assert etags.get("a") != main.etag("a")
    assert d["a"] == "theirs"


@pytest.mark.filterwarnings("ignore:an item is not cached")
def test_a_writer_that_dies_while_caching_leaves_no_value_under_the_etag_of_another(
    tmp_path, data, etags, monkeypatch
):
    main = FileDirDict(base_dir=tmp_path)
    dying = LocalDict(backend=etags.get_params()["backend"], **ETAGS)
    one = MutableDictCached(main_dict=main, data_cache=data, etag_cache=dying)
    two = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    original = os.replace

    def overtaken(*args, **kwargs):
        original(*args, **kwargs)
        monkeypatch.setattr(os, "replace", original)
        two["a"] = "newer"

    monkeypatch.setattr(os, "replace", overtaken)
    monkeypatch.setattr(dying, "_write", lambda *_: 1 / 0)
    one["a"] = "older"
    assert two["a"] == "newer"


REMOVALS = {
    "del": lambda d: d.__delitem__("a"),
    "discard": lambda d: d.discard("a"),
    "joker": lambda d: d.__setitem__("a", DELETE_CURRENT),
    "pop": lambda d: d.pop("a"),
    "popitem": lambda d: d.popitem(),
    "clear": lambda d: d.clear(),
    "discard_item_if": lambda d: d.discard_item_if("a", **ANY),
    "set_item_if": lambda d: d.set_item_if("a", value=DELETE_CURRENT, **ANY),
    "transform_item": lambda d: d.transform_item("a", transformer=lambda v: DELETE_CURRENT),
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_a_removal_purges_both_caches(d, main, data, etags, remove):
    d["a"] = 1
    remove(d)
    assert len(main) == len(d) == 0
    assert caches(data, etags) == (None, None)


def test_removing_what_is_absent_says_so_and_purges(d, data, etags):
    data["a"], etags["a"] = 1, "stale"
    assert d.discard("a") is False
    assert caches(data, etags) == (None, None)
    with pytest.raises(KeyError):
        del d["a"]


def test_the_etag_comes_from_the_cache_or_is_cached(d, main, etags):
    main["a"] = 1
    assert d.etag("a") == etags["a"] == main.etag("a")
    etags["a"] = "cached"
    assert d.etag("a") == "cached"


def test_the_etag_of_what_is_absent_is_a_key_error(d):
    with pytest.raises(KeyError):
        d.etag("a")


def test_an_etag_cached_alone_never_makes_a_stale_value_look_fresh(d, main, data):
    d["a"] = 1
    main["a"] = 2
    d._etag_cache.discard("a")
    assert d.etag("a") == main.etag("a")
    assert d["a"] == 2


def test_a_sub_dict_is_cached_by_the_sub_caches(d, main, data, etags):
    sub = d.get_subdict("p")
    sub["a"] = 1
    assert type(sub) is MutableDictCached
    assert (main["p", "a"], data["p", "a"], etags["p", "a"]) == (1, 1, main.etag(("p", "a")))


@pytest.mark.filterwarnings("ignore:an item is not cached")
@pytest.mark.parametrize("broken", ["data", "etags"])
def test_a_broken_cache_is_no_error(main, data, etags, broken, monkeypatch):
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    d["a"] = 1
    part = {"data": data, "etags": etags}[broken]

    def fails(*args, **kwargs):
        raise OSError(28, "no space left")

    monkeypatch.setattr(part, "_write", fails)
    d["a"] = 2
    assert (d["a"], main["a"]) == (2, 2)
    main["a"] = 3
    assert d["a"] == 3


def test_a_damaged_cache_file_is_read_around_and_repaired(tmp_path, main, etags):
    data = FileDirDict(base_dir=tmp_path, digest_len=0)
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    d["a"] = [1]
    (tmp_path / "a.pkl").write_bytes(b"damaged")
    assert d["a"] == [1]
    assert data["a"] == [1]


def test_a_cached_value_of_another_type_is_not_handed_out(data, etags):
    main = LocalDict(base_class_for_values=int)
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    d["a"] = 1
    data["a"] = "text"
    assert d["a"] == 1
    assert data["a"] == 1


@pytest.mark.parametrize(("missing", "reads"), [("", 0), ("data", 1), ("etags", 1), ("new", 1)])
def test_the_main_dict_is_read_only_when_it_has_to_be_and_then_once(
    tmp_path, data, etags, monkeypatch, missing, reads
):
    main = FileDirDict(base_dir=tmp_path)
    d = MutableDictCached(main_dict=main, data_cache=data, etag_cache=etags)
    d["a"] = 1
    {"data": data, "etags": etags, "new": LocalDict(), "": LocalDict()}[missing].clear()
    main.update({"a": 2} if missing == "new" else {})
    moved, original = [], os.read
    monkeypatch.setattr(os, "read", lambda fd, n: moved.append(n) or original(fd, n))
    assert d["a"] == (2 if missing == "new" else 1)
    assert len(moved) == reads


def test_two_wrappers_over_one_main_dict_never_serve_what_the_other_replaced(main):
    one, two = (
        MutableDictCached(main_dict=main, data_cache=LocalDict(), etag_cache=LocalDict(**ETAGS))
        for _ in range(2)
    )
    for n in range(6):
        (one, two)[n % 2]["a"] = n
        assert one["a"] == two["a"] == n
