"""A cached dict and conditional operations: results of the main dict, caches in step."""

import pytest

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    LocalDict,
    MutableDictCached,
)

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


def test_conditional_results_are_those_of_the_main_dict(d, main):
    written = d.set_item_if("a", value=1, **ANY)
    assert written.resulting_etag == main.etag("a")
    assert d.get_with_etag("a") == main.get_with_etag("a")
    assert d.get_item_if("b", **ANY) == main.get_item_if("b", **ANY)
    for question in (ANY, {"condition": ETAG_IS_THE_SAME, "expected_etag": "stale"}):
        assert d.setdefault_if("a", default_value=2, **question) == main.setdefault_if(
            "a", default_value=2, **question
        )


def test_an_absent_item_found_by_a_condition_is_purged(d, data, etags):
    data["a"], etags["a"] = 1, "stale"
    d.get_item_if("a", **ANY)
    assert caches(data, etags) == (None, None)


@pytest.mark.parametrize("mode", [NEVER_RETRIEVE, IF_ETAG_CHANGED])
def test_a_value_that_was_not_fetched_leaves_the_caches_alone(d, main, data, etags, mode):
    main["a"] = 1
    data["a"], etags["a"] = "old", "stale"
    result = d.get_item_if(
        "a", condition=ANY_ETAG, expected_etag=main.etag("a"), retrieve_value=mode
    )
    assert result.new_value is VALUE_NOT_RETRIEVED
    assert caches(data, etags) == ("old", "stale")


@pytest.mark.parametrize("mode", [ALWAYS_RETRIEVE, IF_ETAG_CHANGED])
def test_a_value_that_was_fetched_is_cached(d, main, data, etags, mode):
    main["a"] = 1
    d.get_item_if("a", retrieve_value=mode, **ANY)
    assert caches(data, etags) == (1, main.etag("a"))


@pytest.mark.parametrize(
    "propose",
    [
        lambda d, q: d.set_item_if("a", value="rejected", **q),
        lambda d, q: d.setdefault_if("a", default_value="rejected", **q),
        lambda d, q: d.set_item_if("a", value=KEEP_CURRENT, **q),
    ],
)
def test_a_rejected_proposal_is_never_cached_but_what_is_there_is(d, main, data, etags, propose):
    main["a"] = "actual"
    result = propose(d, {"condition": ETAG_IS_THE_SAME, "expected_etag": "stale"})
    assert result.condition_was_satisfied is False
    assert caches(data, etags) == ("actual", main.etag("a"))


@pytest.mark.parametrize(
    "write",
    [
        lambda d: d.set_item_if("a", value=2, **ANY),
        lambda d: d.setdefault_if("a", default_value=2, **ANY),
        lambda d: d.setdefault("a", 2),
        lambda d: d.transform_item("a", transformer=lambda v: 2),
    ],
)
def test_a_conditional_write_is_cached(d, main, data, etags, write):
    write(d)
    assert main["a"] == 2
    assert caches(data, etags) == (2, main.etag("a"))
