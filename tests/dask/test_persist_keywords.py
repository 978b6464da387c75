"""Dask's keywords of `submit` and `map`: as the client has them, for hits and for misses."""

from __future__ import annotations

import inspect
from contextlib import contextmanager

import dask
import pytest
from distributed import Client, get_worker, wait

from persidict_dask import persist


def plain(x):
    return x


@pytest.fixture
def f(store):
    return persist(store)(plain)


@contextmanager
def graphs(client):
    """Record what the client tells the scheduler of graphs, apart from the graphs."""
    told = []
    send = client._send_to_scheduler

    def recording(message):
        if message["op"] == "update-graph":
            shown = ("annotations", "fifo_timeout", "actors", "keys")
            told.append({name: getattr(message[name], "data", message[name]) for name in shown})
        send(message)

    client._send_to_scheduler = recording
    try:
        yield told
    finally:
        del client._send_to_scheduler


def told_of(client, submitted):
    """What a scheduler hears of one way to submit, without the names."""
    with graphs(client) as told:
        futures = submitted()
        keys = [future.key for future in (futures if isinstance(futures, list) else [futures])]
    assert set(keys) == set().union(*(each.pop("keys") for each in told))
    return told[0]


WORKER = object()  # stands for the address of one
KEYWORDS = {
    "workers": WORKER,
    "retries": 3,
    "resources": {"GPU": 1},
    "priority": 7,
    "allow_other_workers": True,
    "fifo_timeout": "3 s",
}
ELSEWHERE = {"key", "pure", "actor", "actors", "batch_size"}  # tests of their own, below


@pytest.mark.parametrize("method", ["submit", "map"])
def test_d4_all_keywords_of_the_client_are_known_here(method):
    parameters = inspect.signature(getattr(Client, method)).parameters.values()
    keywords = {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
    assert keywords <= KEYWORDS.keys() | ELSEWHERE


@pytest.mark.parametrize("is_stored", [True, False], ids=["hits", "misses"])
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_d4_keywords_reach_the_scheduler(client, f, keyword, is_stored):
    """As those of plain calls do; those of hits with the task that loads."""
    (worker, *_) = client.nthreads()
    options = {keyword: worker if KEYWORDS[keyword] is WORKER else KEYWORDS[keyword]}
    if keyword == "allow_other_workers":
        options["workers"] = [worker]
    if is_stored:
        f(1)
    one = told_of(client, lambda: client.submit(plain, 1, pure=False, **options))
    assert told_of(client, lambda: f.submit(client, 1, **options)) == one
    if is_stored:
        f(2)
    all_ = told_of(client, lambda: client.map(plain, [2], pure=False, **options))
    assert told_of(client, lambda: f.map(client, [2], **options)) == all_
    assert one["annotations"] or one["fifo_timeout"] == "3 s"


@pytest.mark.parametrize("is_stored", [True, False], ids=["hits", "misses"])
def test_d4_annotations_are_those_of_the_call(client, f, is_stored):
    """A hit is sent later, where there may be others."""
    if is_stored:
        f(1)
    with graphs(client) as told:
        with dask.annotate(priority=5):
            future = f.submit(client, 1)
        with dask.annotate(resources={"GPU": 1}):
            assert future.key
    assert [each["annotations"] for each in told] == [{"priority": 5}]


def where(x):
    return get_worker().address


def test_d4_workers(client, store):
    f = persist(store)(where)
    for number, worker in enumerate(client.nthreads()):
        assert f.submit(client, number, workers=worker).result() == worker
        futures = f.map(client, range(10 * number + 10, 10 * number + 15), workers=(worker,))
        assert set(client.gather(futures)) == {worker}
        hits = f.map(client, range(10 * number + 10, 10 * number + 15), workers={worker})
        wait([hit.sent() for hit in hits])
        assert {who for (who,) in client.who_has(hits).values()} == {worker}


def test_d4_retries(client, store, tmp_path):
    log = str(tmp_path / "log")

    @persist(store, version="1")
    def flaky(x):
        with open(log, "a") as file:
            file.write("x")
        with open(log) as file:
            if len(file.read()) < 3:
                raise LookupError(x)
        return x

    assert flaky.submit(client, 1, retries=2).result() == 1
    assert client.gather(flaky.map(client, [2, 3], retries=2)) == [2, 3]


@pytest.mark.parametrize("is_stored", [True, False], ids=["hits", "misses"])
def test_d4_keys(client, f, is_stored):
    """Names of one, names of all, and what names begin with."""
    if is_stored:
        for x in range(4):
            f(x)
    one = f.submit(client, 0, key=("mine", 0))
    assert (one.key, client.submit(plain, one).result()) == (("mine", 0), 0)
    all_ = f.map(client, [1, 2, 1], key=["a", "b", "c"])
    assert [future.key for future in all_] == ["a", "b", "c"]
    assert client.gather(all_) == [1, 2, 1]
    begun = f.map(client, [1, 3], key="begin")
    assert all(future.key.startswith("begin-") for future in begun)
    assert len({future.key for future in begun}) == 2
    assert f.submit(client, 99, key=("mine", 0)).result() == 0  # as with the client: known already
    with pytest.raises(ValueError, match="1 keys were given for 2 calls"):
        f.map(client, [1, 2], key=["a"])


@pytest.mark.parametrize("is_stored", [True, False], ids=["hits", "misses"])
def test_d4_pure(client, f, is_stored):
    """If it is false, each call is a task of its own; what is stored is used all the same."""
    if is_stored:
        f(1)
    assert f.submit(client, 1, pure=False).key != f.submit(client, 1, pure=False).key
    futures = f.map(client, [1, 1], pure=False)
    assert len({future.key for future in futures}) == 2
    assert client.gather(futures) == [1, 1]
    assert len(set(f.map(client, [1, 1], pure=True))) == 1


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_d4_batch_size(client, f, size):
    f(3)
    with graphs(client) as told:
        futures = f.map(client, range(5), batch_size=size)
    assert client.gather(futures) == [0, 1, 2, 3, 4]
    assert len(told) == {1: 1, 2: 2, 3: 2, 100: 1}[size]
    hits = f.map(client, range(5), batch_size=size)
    assert client.gather(client.map(plain, hits, pure=False)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("keyword", ["actor", "actors"])
def test_d4_actors_are_refused(client, f, keyword):
    for call in (f.submit, f.map):
        with pytest.raises(TypeError, match=r"client\.submit makes actors"):
            call(client, [1], **{keyword: True})
    assert f.submit(client, 1, **{keyword: False}).result() == 1


def test_d4_what_cannot_be_meant_is_an_error(client, f):
    for call in (f.map, f.submit):
        with pytest.raises(TypeError, match=r"distributed\.Client first, .*not \[1, 2\]"):
            call([1, 2])
        with pytest.raises(ValueError, match="workers="):
            call(client, [1], allow_other_workers=True)
        with pytest.raises(TypeError, match="unexpected keyword"):
            call(client, [1], unknown=1)
    with pytest.raises(TypeError, match="iterable"):
        f.map(client, x=[1, 2])
    with pytest.raises(TypeError, match="iterable"):
        f.map(client)
    with pytest.raises(TypeError, match="not iterable"):
        f.map(client, 1)


def test_d4_iterables(client, store):
    """The shortest ends it, as with `client.map`; iterators are taken, too."""

    @persist(store)
    def pair(x, y):
        return [x, y]

    expected = [[1, "a"], [2, "b"]]
    for xs, ys in (([1, 2, 3], "ab"), (iter([1, 2]), "abc"), ((x for x in (1, 2)), iter("ab"))):
        assert client.gather(pair.map(client, xs, ys)) == expected
    assert client.gather(client.map(pair, [1, 2, 3], "ab")) == expected


def test_d4_calls_with_futures(client, store):
    """Calls that only workers can look up have the keywords, too, beside others in the same map."""
    f = persist(store)(where)
    (worker, *_) = client.nthreads()
    one = client.submit(plain, 1)
    futures = f.map(client, [one, 2, one], workers=worker, key=["u", "v", "w"])
    assert [future.key for future in futures] == ["u", "v", "w"]
    assert set(client.gather(futures)) == {worker}
    assert f.submit(client, x=one, workers=worker, key="z").key == "z"
    assert f.submit(client, x=one, workers=worker).result() == worker
