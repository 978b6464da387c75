"""What each operation costs in requests, counted where the client sends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from persidict import (
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    BasicS3Dict,
    MutationPolicyError,
    S3Dict,
    WriteOnceDict,
)

from .conftest import Place, place_on

GET, HEAD, PUT, DELETE = "GetObject", "HeadObject", "PutObject", "DeleteObject"
LIST, BATCH = "ListObjectsV2", "DeleteObjects"
OTHER = '"0123456789abcdef0123456789abcdef"'


class Requests:
    """The requests of a client in a place since the last look, by operation.

    What an earlier test has left to the garbage collector, such as a lease that is held and so
    renewed, uses the same client for a while, in its own place.
    """

    def __init__(self, place: Place) -> None:
        self._sent: Counter[str] = Counter()
        self._place = place

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if params.get("Key", self._place.prefix).startswith(self._place.prefix):
            self._sent[model.name] += 1

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        sent = self._sent = Counter()
        events, event = self._place.client.meta.events, "before-parameter-build.s3"
        events.register(event, self._note, unique_id="counter")
        try:
            yield sent
        finally:
            events.unregister(event, unique_id="counter")


@pytest.fixture
def requests(place: Place) -> Requests:
    return Requests(place)


def costs(requests: Requests, act: Callable[[], Any], *expected: str) -> Any:
    """Return what `act` returns, which has to cost these requests and no others."""
    with requests.counted() as sent:
        result = act()
    assert sent == Counter(expected)
    return result


@pytest.fixture(params=[False, True], ids=["basic", "cached"])
def is_cached(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def opened(place: Place, is_cached: bool) -> Callable[..., BasicS3Dict[Any] | S3Dict[Any]]:
    def make(**options: Any) -> Any:
        d = place.cached(**options) if is_cached else place.basic(**options)
        d.is_exact  # the server is asked once whether it obeys conditions
        return d

    return make


@pytest.fixture
def d(opened: Any) -> Any:
    """A dictionary with two items, known to its cache if it has one."""
    d = opened()
    d["a"], d["b", "c"] = 1, 2
    return d


def test_what_is_left_of_another_test_is_not_counted(place: Place, requests: Requests) -> None:
    mine, left = place.basic(), Place(place.client, place.url, place.path).basic()

    def both() -> None:
        left["a"] = mine["b"] = 1
        assert left["a"] == mine["b"]

    costs(requests, both, PUT, GET)


def test_looks(d: Any, requests: Requests) -> None:
    for key in ("a", "absent"):
        assert costs(requests, lambda key=key: key in d, HEAD) is (key == "a")
    costs(requests, lambda: d.timestamp("a"), HEAD)
    costs(requests, lambda: d.get("absent"), GET)
    assert costs(requests, lambda: d["a"], GET) == 1


def test_the_cached_etag_costs_nothing(d: Any, requests: Requests, is_cached: bool) -> None:
    costs(requests, lambda: d.etag("a"), *([] if is_cached else [HEAD]))


@pytest.mark.parametrize("key", ["a", "new"])
def test_writing(d: Any, requests: Requests, key: str) -> None:
    costs(requests, lambda: d.__setitem__(key, 3), PUT)
    costs(requests, lambda: d.__setitem__(key, KEEP_CURRENT))
    costs(requests, lambda: d.update({key: 4, "x": 5}), PUT, PUT)


def test_inserting(d: Any, requests: Requests) -> None:
    costs(requests, lambda: d.setdefault("new", 3), PUT)
    assert costs(requests, lambda: d.setdefault("new", 4), PUT, GET) == 3

    def inserted(key: str, **how: Any) -> Any:
        return d.setdefault_if(
            key, default_value=1, condition=ANY_ETAG, expected_etag=ITEM_NOT_AVAILABLE, **how
        )

    costs(requests, lambda: inserted("newer"), PUT)
    costs(requests, lambda: inserted("newer"), PUT, GET)
    costs(requests, lambda: inserted("newer", retrieve_value=NEVER_RETRIEVE), PUT, HEAD)


def test_append_only_insertion(opened: Any, requests: Requests, is_cached: bool) -> None:
    d = opened(append_only=True)
    costs(requests, lambda: d.__setitem__("k", 1), PUT)
    with pytest.raises(MutationPolicyError), requests.counted() as sent:
        d["k"] = 2
    assert sent == Counter([PUT])
    assert costs(requests, lambda: d.setdefault("k", 2), PUT, *([] if is_cached else [GET])) == 1
    assert costs(requests, lambda: d["k"], *([] if is_cached else [GET])) == 1
    assert costs(requests, lambda: "k" in d, *([] if is_cached else [HEAD]))
    once = WriteOnceDict(wrapped_dict=d)
    costs(requests, lambda: once.__setitem__("new", 1), PUT)
    with requests.counted() as sent:
        once["new"] = 1
    assert sent == Counter([PUT, HEAD])


def test_removing(d: Any, requests: Requests) -> None:
    costs(requests, lambda: d.__delitem__("a"), HEAD, DELETE)
    assert costs(requests, lambda: d.discard("b"), HEAD) is False
    assert costs(requests, lambda: d.discard(("b", "c")), HEAD, DELETE) is True
    costs(requests, lambda: d.__setitem__("b", DELETE_CURRENT), HEAD)


def test_popping(d: Any, requests: Requests) -> None:
    assert costs(requests, lambda: d.pop("a"), GET, DELETE) == 1
    costs(requests, lambda: d.pop("a", None), GET)
    assert costs(requests, d.popitem, LIST, GET, DELETE)[1] == 2


def test_transforming(d: Any, requests: Requests) -> None:
    costs(requests, lambda: d.transform_item("a", transformer=lambda v: v + 1), GET, PUT)
    costs(requests, lambda: d.transform_item("new", transformer=lambda v: 1), GET, PUT)
    costs(requests, lambda: d.transform_item("a", transformer=lambda v: KEEP_CURRENT), GET)
    costs(
        requests, lambda: d.transform_item("a", transformer=lambda v: DELETE_CURRENT), GET, DELETE
    )


def test_reading_with_conditions(d: Any, requests: Requests) -> None:
    etag = d.etag("a")
    costs(requests, lambda: d.get_with_etag("a"), GET)
    for expected in (etag, OTHER, ITEM_NOT_AVAILABLE):
        for condition in (ANY_ETAG, ETAG_IS_THE_SAME, ETAG_HAS_CHANGED):
            given = {"condition": condition, "expected_etag": expected}
            costs(requests, lambda given=given: d.get_item_if("a", **given), GET)
            costs(
                requests,
                lambda given=given: d.get_item_if("a", **given, retrieve_value=NEVER_RETRIEVE),
                HEAD,
            )


def test_writing_with_conditions(d: Any, requests: Requests) -> None:
    def written(condition: Any, expected: Any, **how: Any) -> Any:
        return d.set_item_if("a", value=9, condition=condition, expected_etag=expected, **how)

    etag = d.get_with_etag("a").actual_etag
    assert costs(requests, lambda: written(ETAG_IS_THE_SAME, etag), PUT).condition_was_satisfied
    for expected in (OTHER, ITEM_NOT_AVAILABLE):
        costs(requests, lambda e=expected: written(ETAG_IS_THE_SAME, e), PUT, GET)
        costs(
            requests,
            lambda e=expected: written(ETAG_IS_THE_SAME, e, retrieve_value=NEVER_RETRIEVE),
            PUT,
            HEAD,
        )
    costs(requests, lambda: written(ETAG_HAS_CHANGED, OTHER), HEAD, PUT)
    costs(requests, lambda: written(ANY_ETAG, OTHER), HEAD, PUT)


def test_removing_with_conditions(d: Any, requests: Requests) -> None:
    def removed(condition: Any, expected: Any) -> Any:
        return d.discard_item_if("a", condition=condition, expected_etag=expected)

    def deleted(condition: Any, expected: Any) -> Any:
        return d.set_item_if("b", value=DELETE_CURRENT, condition=condition, expected_etag=expected)

    d["b"] = 2
    costs(requests, lambda: removed(ETAG_IS_THE_SAME, OTHER), DELETE, HEAD)
    costs(requests, lambda: deleted(ETAG_IS_THE_SAME, OTHER), DELETE, GET)
    costs(requests, lambda: removed(ETAG_IS_THE_SAME, ITEM_NOT_AVAILABLE), HEAD)
    etag = d.etag("a")
    assert costs(requests, lambda: removed(ETAG_IS_THE_SAME, etag), DELETE).condition_was_satisfied
    costs(requests, lambda: removed(ANY_ETAG, OTHER), HEAD)
    costs(requests, lambda: deleted(ANY_ETAG, OTHER), HEAD, DELETE)


def test_a_condition_that_no_object_can_satisfy_is_not_sent(d: Any, requests: Requests) -> None:
    """What is no etag of S3 could mean something else to a server: a list, or any version."""
    for odd in ("*", "abc", '"a", "b"', 'W/"abc"', '"ä"', '"a b"', "", "\n"):
        given = {"condition": ETAG_IS_THE_SAME, "expected_etag": odd}
        result = costs(requests, lambda g=given: d.set_item_if("a", value=9, **g), GET)
        assert (result.condition_was_satisfied, result.new_value) == (False, 1)
        costs(requests, lambda g=given: d.discard_item_if("a", **g), HEAD)
        assert costs(requests, lambda g=given: d.get_item_if("a", **g), GET).new_value == 1


def test_listings(d: Any, requests: Requests) -> None:
    costs(requests, lambda: len(d), LIST)
    costs(requests, lambda: bool(d), LIST)
    costs(requests, lambda: list(d.keys_and_timestamps()), LIST)
    for listing in (d.random_key, d.oldest_keys, d.newest_keys, d.subdicts):
        costs(requests, listing, LIST)


def test_items(d: Any, requests: Requests, is_cached: bool) -> None:
    read = [] if is_cached else [GET, GET]
    assert len(costs(requests, lambda: list(d.items()), LIST, *read)) == 2
    assert sorted(costs(requests, lambda: list(d.values()), LIST, *read)) == [1, 2]


def test_items_of_a_cache_that_others_have_left_behind(place: Place, requests: Requests) -> None:
    """Only what is new is fetched, and the next listing finds it in the cache."""
    d, other = place.cached(), place.basic()
    d["a"], d["b"], d["c"] = 1, 2, 3
    other["b"], other["d"] = 5, 4
    del other["c"]
    for fetched in (2, 0):
        found = costs(requests, lambda: dict(d.items()), LIST, *[GET] * fetched)
        assert {key[0]: value for key, value in found.items()} == {"a": 1, "b": 5, "d": 4}
    assert {t for _, _, t in d.items_and_timestamps()} == {
        t for _, t in other.keys_and_timestamps()
    }


def test_items_of_an_append_only_cache(place: Place, requests: Requests) -> None:
    d, other = place.cached(append_only=True), place.basic(append_only=True)
    d["a"], other["b"] = 1, 2
    for fetched in (1, 0):
        assert len(costs(requests, lambda: list(d.items()), LIST, *[GET] * fetched)) == 2


@pytest.mark.parametrize("count", [1000, 1001])
def test_listing_and_clearing_many(ministack: Any, clients: Any, tmp_path: Any, count: int) -> None:
    """A page for each thousand, a batch for each thousand."""
    place = place_on(ministack, clients, tmp_path)
    requests = Requests(place)
    d = place.basic()
    d.update({f"k{n}": n for n in range(count)})
    pages = -(-count // 1000)
    assert costs(requests, lambda: len(d), *[LIST] * pages) == count
    costs(requests, lambda: bool(d), LIST)
    costs(requests, lambda: next(d.keys()), LIST)
    found = costs(requests, lambda: dict(d.items()), *[LIST] * pages, *[GET] * count)
    assert sorted(found.values()) == list(range(count))
    costs(requests, d.clear, *[LIST] * pages, *[BATCH] * pages)
    assert place.names() == []


def test_subdicts_and_opening(opened: Any, place: Place, requests: Requests) -> None:
    opened()  # the first one of a process tries whether the server obeys
    d = costs(requests, opened, "HeadBucket")
    sub = costs(requests, lambda: d.get_subdict("x").get_subdict(("y", "z")))
    assert sub.s3_client is d.s3_client is place.client


def test_guards_are_proved_once_for_an_endpoint_and_a_bucket(
    ministack: Any, clients: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first guarded write asks, and leaves nothing; other dictionaries need not ask again."""
    monkeypatch.setattr("persidict._s3_proof._known", {})
    place = place_on(ministack, clients, tmp_path)
    requests = Requests(place)
    d = place.basic()
    costs(requests, lambda: d.__setitem__("plain", 1), PUT)
    costs(requests, lambda: d.setdefault("a", 1), PUT, PUT)
    costs(requests, lambda: d.setdefault("b", 1), PUT)
    other = place.basic(append_only=True)
    costs(requests, lambda: other.__setitem__("c", 1), PUT)
    costs(requests, lambda: d.discard("c"), HEAD, DELETE, DELETE)
    costs(requests, lambda: d.discard("b"), HEAD, DELETE)
    assert place.names() == ["a.pkl", "plain.pkl"]
