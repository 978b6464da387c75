"""Coordination on buckets: it works, it costs the requests that are promised, answers get lost."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter as Multiset
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from persidict import FileDirDict, LocalDict, MutableDictCached, PersiDict
from persidict.exceptions import OutcomeUnknownError
from persidict_dask import open_store
from persidict_dask.coordination import (
    Barrier,
    Claim,
    Counter,
    Lease,
    RateLimiter,
    Semaphore,
    SharedValue,
    StaleTokenError,
    WorkQueue,
    fence,
    fenced_set,
    inspect,
)

from .conftest import Place, set_credentials
from .proxy import DropAfter, DropBefore, Fault, Late, Request, random_faults
from .test_dask import url_of
from .test_lost_answers import FAILED, LOST, NAMES, Line, line  # noqa: F401 - a fixture
from .test_requests import DELETE, GET, HEAD, LIST, PUT, Requests

LARGE = list(range(100_000))


def opened(place: Place) -> Any:
    """A dictionary that has asked the server whether it obeys conditions."""
    d = place.basic()
    assert d.is_exact
    return d


# --- everything works, on whatever knows a bucket ------------------------------------------------


def wrapped(real: Place) -> PersiDict[Any]:
    etags: LocalDict[str] = LocalDict(serialization_format="txt", base_class_for_values=str)
    return MutableDictCached(main_dict=real.basic(), data_cache=LocalDict(), etag_cache=etags)


KINDS: dict[str, Callable[[Place], PersiDict[Any]]] = {
    "basic": lambda real: real.basic(),
    "json": lambda real: real.basic(serialization_format="json"),
    "cached": lambda real: real.cached(),
    "wrapped": wrapped,
    "folder": lambda real: FileDirDict(base_dir=real.path / "folder"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_once(real: Place, kind: str) -> None:
    store = KINDS[kind](real)
    lease, other = Lease(store, "l"), Lease(store, "l")
    with lease:
        assert lease.held
        assert not other.acquire(timeout=0)
        lease.renew()
        fenced_set(store, "k", [1], token=lease.token)
    assert other.acquire()
    assert other.token > lease.token
    fenced_set(store, "k", [2], token=other.token)
    with pytest.raises(StaleTokenError):
        fenced_set(store, "k", [3], token=lease.token)
    assert (store["k"], fence(store, "k")) == ([2], other.token)

    semaphore = Semaphore(store, "s", limit=2)
    assert [semaphore.acquire(timeout=0) for _ in range(3)] == [True, True, False]
    semaphore.release()
    assert Semaphore(store, "s", limit=2).acquire(timeout=0)

    counter, sharded = Counter(store, "c"), Counter(store, "many", shards=3)
    assert [counter.increment(), counter.increment(5), counter.value] == [1, 6, 6]
    for _ in range(4):
        sharded.add()
    assert Counter(store, "many", shards=3).value == 4

    assert Barrier(store, "b", parties=1).wait() == 0
    RateLimiter(store, "r", rate=1000).acquire()

    queue = WorkQueue(store, "q")
    queue.put({"n": 1}, key="a")
    assert queue.put({"n": 2}, key="a") == "a"
    queue.put(LARGE, key="b")
    claims = [claimed(queue), claimed(WorkQueue(store, "q"))]
    assert queue.claim() is None
    assert sorted((claim.key, claim.item) for claim in claims) == [("a", {"n": 1}), ("b", LARGE)]
    assert all(claim.done(claim.key * 2) for claim in claims)
    assert dict(queue.done) == {"a": "aa", "b": "bb"}

    value = SharedValue(store, "v", default=0)
    assert value.get() == 0
    value.set(LARGE)
    assert SharedValue(store, "v").update(lambda there: there[:3]) == [0, 1, 2]
    assert value.wait_for(lambda v: len(v) == 3, timeout=5) == [0, 1, 2]

    shown = {(each.kind, each.name): each.state for each in inspect(store)}
    assert shown == {
        ("barrier", "b"): "0 of 1 arrived, round 1",
        ("counter", "c"): "6",
        ("counter", "many"): "4",
        ("lease", "l"): f"held, token {other.token}",
        ("queue", "q"): "0 waiting, 0 claimed, 2 done, 0 dead",
        ("rate", "r"): "serial 1",
        ("semaphore", "s"): "2 of 2 held",
        ("value", "v"): "[0, 1, 2]",
    }
    assert dict(store.items()) == {("k",): [2]}


def test_payloads_do_not_pile_up(real: Place) -> None:
    """What no record means any more is removed from the bucket."""
    d = opened(real)
    value, queue = SharedValue(d, "v"), WorkQueue(d, "q")
    for n in range(3):
        value.set([n, LARGE])
        queue.put([n, LARGE])
    assert value.get() == [2, LARGE]
    for claim in queue.drain():
        claim.done(claim.item)
    assert [found[1] for found in queue.done.values()] == [LARGE] * 3
    assert sum(name.endswith(".payload") for name in real.names()) == 4
    queue.done.clear()
    value.set(1)
    assert [name for name in real.names() if name.endswith(".payload")] == []


def test_what_an_operator_sees(real: Place) -> None:
    """Who holds and who waits; a moment after the wait no more."""
    d = opened(real)
    with Lease(d, "l") as lease, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(Lease(d, "l").acquire, 2)
        until(lambda: inspect(d)[0].waiting == 1)
        (seen,) = inspect(d)
        (holder,) = seen.holders
        assert (seen.state, holder.token, holder.is_gone) == ("held, token 1", lease.token, False)
        assert "lease  l     held, token 1" in repr(inspect(d))
        assert not waiting.result()
        assert inspect(d)[0].waiting == 0


def claimed(queue: WorkQueue, timeout: float = 0) -> Claim:
    claim = queue.claim(timeout)
    assert claim is not None
    return claim


def until(is_so: Callable[[], bool], patience: float = 20) -> None:
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- threads and processes -----------------------------------------------------------------------


class Crowd:
    """Notices how many are inside at the same time."""

    def __init__(self) -> None:
        self.most = self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        time.sleep(0.01)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1


@pytest.mark.parametrize("is_shared", [False, True], ids=["own handles", "one handle"])
@pytest.mark.parametrize("limit", [1, 3])
def test_threads_exclude_each_other(real: Place, limit: int, is_shared: bool) -> None:
    d, crowd = opened(real), Crowd()

    def handle() -> Any:
        return Lease(d, "x") if limit == 1 else Semaphore(d, "x", limit=limit)

    one = handle()

    def enter(_: int) -> None:
        place = one if is_shared else handle()
        for _ in range(3):
            with place, crowd:
                pass

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(enter, range(6)))
    assert 1 <= crowd.most <= limit
    assert inspect(d)[0].holders == ()


def test_threads_count_and_share(real: Place) -> None:
    d = opened(real)

    def work(n: int) -> list[int]:
        counter, value = Counter(d, "c"), SharedValue(d, "v", default=())
        got = [counter.increment() for _ in range(5)]
        Barrier(d, "b", parties=4).wait(timeout=30)
        value.update(lambda there: (*there, n, "x" * 5000))
        return got

    with ThreadPoolExecutor(4) as threads:
        got = [one for some in threads.map(work, range(4)) for one in some]
    assert sorted(got) == [*range(1, 21)]
    assert sorted(SharedValue(d, "v").get()[::2]) == [0, 1, 2, 3]
    assert sum(name.endswith(".payload") for name in real.names()) == 1


def count(counter: Counter, barrier: Barrier, times: int) -> tuple[int, list[int]]:
    place = barrier.wait(timeout=60)
    return place, [counter.increment() for _ in range(times)]


def add_up(lease: Lease, url: str, barrier: Barrier, times: int) -> list[int]:
    """Read and write in two steps, which is right only for one at a time."""
    d = open_store(url)
    barrier.wait(timeout=60)
    tokens = []
    for _ in range(times):
        with lease:
            before = d.get("sum", 0)
            time.sleep(0.02)
            fenced_set(d, "sum", before + 1, token=lease.token)
            tokens.append(lease.token)
    return tokens


def empty(queue: WorkQueue, barrier: Barrier) -> list[str]:
    barrier.wait(timeout=60)
    keys = []
    for claim in queue.drain():
        with claim:
            keys.append(claim.key)
    return keys


def crowded(semaphore: Semaphore, url: str, barrier: Barrier, name: str) -> int:
    """Return how many were seen inside at once."""
    d = open_store(url).get_subdict("inside")
    barrier.wait(timeout=60)
    most = 0
    for _ in range(3):
        with semaphore:
            d[name] = 1
            most = max(most, len(d))
            del d[name]
    return most


def pass_by(rate: RateLimiter, barrier: Barrier, times: int) -> list[float]:
    barrier.wait(timeout=60)
    moments = [time.monotonic()]
    for _ in range(times):
        rate.acquire()
        moments.append(time.monotonic())
    return moments


PROCESSES = 3


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with pytest.MonkeyPatch.context() as environment:
        set_credentials(environment)  # before they start
        spawned = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(PROCESSES, mp_context=spawned) as pool:
            yield pool


@pytest.fixture
def run(real: Place, processes: ProcessPoolExecutor) -> Callable[..., list[Any]]:
    """Run a function in all processes, which begin together; handles are sent to them."""

    def everywhere(function: Callable[..., Any], *args: Any, named: bool = False) -> list[Any]:
        names = [[f"n{i}"] if named else [] for i in range(PROCESSES)]
        running = [processes.submit(function, *args, *name) for name in names]
        return [one.result(100) for one in running]

    return everywhere


@pytest.fixture
def barrier(real: Place) -> Barrier:
    return Barrier(url_of(real), "start", parties=PROCESSES)


def test_processes_count(real: Place, run: Any, barrier: Barrier) -> None:
    counter = Counter(url_of(real), "c")
    for total in (15, 30):  # the barrier serves again
        told = run(count, counter, barrier, 5)
        assert sorted(place for place, _ in told) == [0, 1, 2]
        got = sorted(one for _, some in told for one in some)
        assert got == [*range(total - 14, total + 1)]


def test_processes_exclude_each_other(real: Place, run: Any, barrier: Barrier) -> None:
    lease = Lease(url_of(real), "l")
    tokens = [one for some in run(add_up, lease, url_of(real), barrier, 4) for one in some]
    assert real.basic()["sum"] == 12
    assert sorted(tokens) == [*range(1, 13)]
    assert fence(real.basic(), "sum") == 12


def test_processes_share_places(real: Place, run: Any, barrier: Barrier) -> None:
    semaphore = Semaphore(url_of(real), "s", limit=2)
    seen = run(crowded, semaphore, url_of(real), barrier, named=True)
    assert all(1 <= most <= 2 for most in seen)


def test_processes_empty_a_queue(real: Place, run: Any, barrier: Barrier) -> None:
    queue = WorkQueue(url_of(real), "q")
    put = [queue.put(n) for n in range(24)]
    taken = [key for some in run(empty, queue, barrier) for key in some]
    assert sorted(taken) == put == sorted(queue.done)
    assert (len(queue), len(queue.dead)) == (0, 0)


def test_processes_keep_a_rate(real: Place, run: Any, barrier: Barrier) -> None:
    rate = RateLimiter(url_of(real), "r", rate=10)
    moments = sorted(m for some in run(pass_by, rate, barrier, 5) for m in some)
    assert moments[-1] - moments[0] > 1.4  # from before the first of fifteen


def hold(lease: Lease, queue: WorkQueue, told: Any) -> None:
    lease.acquire()
    claim = claimed(queue)
    told.put((lease.token, claim.key))
    time.sleep(100)


def test_what_the_dead_held_is_free_at_once(real: Place, processes: Any) -> None:
    """A ttl of an hour does not matter on one host."""
    lease = Lease(url_of(real), "l", ttl=3600)
    queue = WorkQueue(url_of(real), "q", ttl=3600)
    key = queue.put("work")
    spawned = multiprocessing.get_context("spawn")
    told = spawned.Queue()
    process = spawned.Process(target=hold, args=(lease, queue, told))
    process.start()
    assert told.get(timeout=60) == (1, key)
    assert not lease.acquire(timeout=0)
    assert queue.claim() is None
    process.kill()
    start = time.monotonic()
    assert lease.acquire(timeout=30)
    claim = claimed(queue, 30)
    assert time.monotonic() - start < 5
    assert (lease.token, claim.key, claim.deliveries) == (2, key, 2)
    assert claim.done()
    process.join()
    told.close()


# --- requests ------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["basic", "cached"])
def d(request: pytest.FixtureRequest, real: Place) -> Any:
    made = real.cached() if request.param else real.basic()
    assert made.is_exact
    return made


@pytest.fixture
def requests(real: Place) -> Requests:
    return Requests(real)


BUCKET = "HeadBucket"


def costs(requests: Requests, act: Callable[[], Any], *expected: str) -> Any:
    """Return what `act` returns, which has to cost these requests and no others.

    A handle asks once, before its first request, whether there is such a bucket.
    """
    with requests.counted() as sent:
        result = act()
    assert sent.pop(BUCKET, 0) <= 1
    assert sent == Multiset(expected)
    return result


@pytest.mark.parametrize("kind", [Lease, Semaphore])
def test_costs_of_places(d: Any, requests: Requests, kind: Any) -> None:
    limit = {} if kind is Lease else {"limit": 1}
    place, other = kind(d, "x", **limit), kind(d, "x", **limit)
    for _ in range(2):  # the first one ever, and the next
        costs(requests, place.acquire, GET, PUT)
        assert costs(requests, lambda: place.held)
        costs(requests, lambda: place.release(), PUT)
    place.acquire()
    costs(requests, lambda: other.acquire(timeout=0), GET)
    costs(requests, place.renew, PUT)
    costs(requests, place.release, PUT)

    def with_block() -> None:
        with place:
            pass

    costs(requests, with_block, GET, PUT, PUT)


def test_a_lease_costs_at_most_four_requests(d: Any, requests: Requests) -> None:
    """Three, and one of a handle that is new."""
    lease = Lease(d, "l")

    def used() -> int:
        with requests.counted() as sent:
            lease.acquire()
            assert lease.token
            assert lease.held
            lease.release()
        return sum(sent.values())

    assert used() <= 4
    assert [used(), used()] == [3, 3]


def test_costs_of_counters(d: Any, requests: Requests) -> None:
    counter, sharded = Counter(d, "c"), Counter(d, "many", shards=3)
    costs(requests, sharded.add, GET, PUT, GET, PUT)  # how many shards there are, and the sum
    for _ in range(2):
        costs(requests, counter.increment, GET, PUT)
        costs(requests, counter.add, GET, PUT)
        costs(requests, lambda: counter.value, GET)
        costs(requests, sharded.add, GET, PUT)
        costs(requests, lambda: sharded.value, *[GET] * 3)
        costs(requests, sharded.increment, PUT, *[GET] * 4)


def test_costs_of_rates_and_barriers(d: Any, requests: Requests) -> None:
    rate = RateLimiter(d, "r", rate=20)
    for _ in range(3):  # with and without a wait
        costs(requests, rate.acquire, GET, PUT)
    with pytest.raises(TimeoutError), requests.counted() as sent:
        rate.acquire(1000, timeout=1)
    assert sent == {GET: 1}
    barrier = Barrier(d, "b", parties=1)
    for _ in range(2):
        costs(requests, barrier.wait, GET, GET, PUT)


def test_costs_of_queues(d: Any, requests: Requests) -> None:
    queue, other = WorkQueue(d, "q"), WorkQueue(d, "q")
    costs(requests, lambda: queue.put(1), PUT)
    costs(requests, lambda: queue.put(2), PUT)
    costs(requests, lambda: queue.put(3, key="mine"), PUT, *[HEAD] * 4)
    first = costs(requests, queue.claim, LIST, GET, PUT)
    assert costs(requests, first.done, PUT, HEAD, DELETE)
    for _ in range(2):
        claim = costs(requests, queue.claim, GET, PUT)
        assert costs(requests, claim.done, PUT, HEAD, DELETE)
    assert costs(requests, queue.claim, LIST) is None
    assert costs(requests, other.claim, LIST) is None
    costs(requests, lambda: len(queue), LIST)
    assert len(costs(requests, lambda: dict(queue.done), LIST, *[GET] * 3)) == 3
    queue.put(4)
    claim = claimed(queue)
    costs(requests, lambda: claim.item)
    costs(requests, claim.renew, PUT)
    costs(requests, claim.give_back, PUT)
    claim = claimed(queue)
    costs(requests, lambda: claim.fail("no"), PUT)


def test_costs_of_values(d: Any, requests: Requests) -> None:
    value = SharedValue(d, "v")
    costs(requests, value.get, GET)
    costs(requests, lambda: value.set(1), GET, PUT)
    costs(requests, value.get, GET)
    costs(requests, lambda: value.update(lambda v: v + 1), GET, PUT)
    costs(requests, lambda: value.set(LARGE), GET, PUT, PUT)
    costs(requests, value.get, GET, GET)
    costs(requests, lambda: value.update(len), GET, GET, PUT, HEAD, DELETE)


def test_costs_of_fenced_writes(d: Any, requests: Requests) -> None:
    for token in (3, 3, 4):
        costs(requests, partial(fenced_set, d, "k", 1, token=token), GET, PUT)
    assert costs(requests, lambda: fence(d, "k"), GET) == 4
    with pytest.raises(StaleTokenError), requests.counted() as sent:
        fenced_set(d, "k", 1, token=3)
    assert sent == {GET: 1}


def test_costs_of_an_inspection(real: Place, requests: Requests) -> None:
    d = opened(real)
    for n in range(5):
        Counter(d, f"c{n}").add()
    d["x"] = 1
    assert len(costs(requests, lambda: inspect(d), LIST, *[GET] * 5)) == 5


@contextmanager
def answers(client: Any) -> Iterator[list[tuple[str, int, bool]]]:
    """Operation, status, and whether it was conditional, of each answer that comes in."""
    heard: list[tuple[str, int, bool]] = []
    asked = threading.local()

    def note_question(params: Any, **_: Any) -> None:
        asked.is_conditional = "If-None-Match" in params["headers"]

    def note_answer(http_response: Any, model: Any, **_: Any) -> None:
        heard.append((model.name, http_response.status_code, asked.is_conditional))

    events = client.meta.events
    events.register("before-call.s3", note_question, unique_id="question")
    events.register("after-call.s3", note_answer, unique_id="answer")
    try:
        yield heard
    finally:
        events.unregister("before-call.s3", unique_id="question")
        events.unregister("after-call.s3", unique_id="answer")


WAITERS, SECONDS = 16, 6


def test_sixteen_waiters_cost_sixteen_requests_a_second(real: Place) -> None:
    """All of them conditional, and answered without content; then each gets its turn."""
    d = opened(real)

    def wait(_: int) -> int:
        with Lease(d, "l") as lease:
            return lease.token

    with ThreadPoolExecutor(WAITERS) as threads, Lease(d, "l"), answers(real.client) as heard:
        waiting = [threads.submit(wait, n) for n in range(WAITERS)]
        until(lambda: sum(name == PUT for name, _, _ in heard) == WAITERS)  # their notes
        before = len(heard)
        time.sleep(SECONDS)
        first, steady = heard[:before], heard[before:]
    assert {one.result(30) for one in waiting} == {*range(2, WAITERS + 2)}
    assert set(steady) == {(GET, 304, True)}
    assert WAITERS * SECONDS / 2 <= len(steady) <= WAITERS * SECONDS
    # each of them has asked for the bucket, looked twice or thrice, and noted that it waits
    assert len(first) <= 5 * WAITERS


# --- answers that are lost -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
@pytest.mark.parametrize("times", [1, 5])
def test_places_whose_answers_are_lost(line: Line, fault: Fault, times: int) -> None:  # noqa: F811
    """Once, and for good: nobody is told that he has not got what the record says he has."""
    d = line.open()
    lease, other = Lease(d, "l"), Lease(line.rival, "l")
    semaphore, others = Semaphore(d, "s", limit=2), Semaphore(line.rival, "s", limit=2)
    for turn in (0, 1):
        line.fails("PUT", *[fault] * times)
        assert lease.acquire(timeout=0)
        line.fails("PUT", *[fault] * times)
        assert semaphore.acquire(timeout=0)
        assert (lease.held, semaphore.held, lease.token) == (True, True, 2 * turn + 1)
        assert not other.acquire(timeout=0)
        assert [others.acquire(timeout=0) for _ in range(2)] == [True, False]
        line.fails("PUT", *[fault] * times)
        lease.renew()
        line.fails("PUT", *[fault] * times)
        semaphore.renew()
        line.fails("PUT", *[fault] * times)
        lease.release()
        line.fails("PUT", *[fault] * times)
        semaphore.release()
        assert other.acquire(timeout=0)
        assert [others.acquire(timeout=0) for _ in range(2)] == [True, False]
        other.release()
        for _ in range(2):
            others.release()
    assert [each.holders for each in inspect(line.rival)] == [(), ()]


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_places_that_others_change_before_the_request_is_repeated(
    line: Line,  # noqa: F811
    fault: Fault,
) -> None:
    semaphore, other = (Semaphore(s, "s", limit=2) for s in (line.open(), line.rival))
    line.fails("PUT", fault, then=other.acquire)
    assert semaphore.acquire(timeout=0)
    assert inspect(line.rival)[0].state == "2 of 2 held"
    line.fails("PUT", fault, then=other.release)
    semaphore.renew()
    assert inspect(line.rival)[0].state == "1 of 2 held"
    line.fails("PUT", fault, then=other.acquire)
    semaphore.release()
    assert semaphore.acquire(timeout=0)
    assert not semaphore.acquire(timeout=0)


@pytest.mark.parametrize("fault", FAILED, ids=NAMES)
def test_places_that_were_never_asked_for(line: Line, fault: Fault) -> None:  # noqa: F811
    lease = Lease(line.open(), "l")
    line.fails("PUT", *[fault] * 5)
    with pytest.raises((ClientError, BotoCoreError)):
        lease.acquire()
    assert not lease.held
    with Lease(line.rival, "l") as other:
        assert other.token == 1
    assert lease.acquire(timeout=0)


def test_a_server_that_stays_away(line: Line) -> None:  # noqa: F811
    """What was acquired or released, and nobody knows it, is free after the ttl."""
    lease, other = Lease(line.open(), "l", ttl=0.5), Lease(line.rival, "l", ttl=0.5)
    with lease:
        pass

    def goes_away(request: Request) -> Fault | None:
        gone.extend([request] if request.method == "PUT" else [])
        return None if not gone else DropAfter() if request.method == "PUT" else DropBefore()

    gone: list[Request] = []
    line.proxy.decide = goes_away
    with pytest.raises((OutcomeUnknownError, ClientError, BotoCoreError)):
        lease.acquire()
    assert not lease.held
    line.fails("PUT")
    assert inspect(line.rival)[0].state == "held, token 2"
    assert other.acquire(timeout=5)
    other.release()
    assert lease.acquire(timeout=0)
    line.proxy.decide = lambda request: DropBefore()
    with pytest.raises((OutcomeUnknownError, ClientError, BotoCoreError)):
        lease.release()
    assert not other.acquire(timeout=0)
    assert other.acquire(timeout=5)
    assert not lease.held
    other.release()


def test_a_release_can_be_repeated(line: Line) -> None:  # noqa: F811
    lease, other = Lease(line.open(), "l"), Lease(line.rival, "l")
    lease.acquire()
    line.fails("PUT", *[DropBefore()] * 5)
    with pytest.raises((ClientError, BotoCoreError)):
        lease.release()
    assert not other.acquire(timeout=0)
    lease.release()
    assert other.acquire(timeout=0)


def test_a_release_that_fails_and_is_not_repeated(line: Line) -> None:  # noqa: F811
    """The block has ended with an error: nobody holds the lease, and its ttl goes by."""
    lease, other = Lease(line.open(), "l", ttl=0.5), Lease(line.rival, "l", ttl=0.5)
    with pytest.raises((ClientError, BotoCoreError)), lease:
        line.fails("PUT", *[DropBefore()] * 5)
    line.fails("PUT")
    assert other.acquire(timeout=5)


@pytest.mark.parametrize("act", ["acquire", "release", "renew", "increment"])
@pytest.mark.parametrize("is_new", [True, False])
def test_requests_that_arrive_late_change_nothing(line: Line, act: str, is_new: bool) -> None:  # noqa: F811
    """They are repeated, and come once more when others have changed the record."""
    d = line.open()
    lease, counter = Lease(d, "x"), Counter(d, "x")
    if not is_new:
        counter.increment()
        lease.acquire()
        lease.release()
    if act in ("release", "renew"):
        lease.acquire()
    late = Late(threading.Event())
    line.fails("PUT", late)
    getattr(counter if act == "increment" else lease, act)()
    line.fails("PUT")
    Counter(line.rival, "x").increment()
    if act in ("acquire", "renew"):
        lease.release()
    if act != "increment":
        Lease(line.rival, "x").acquire(timeout=0)
    before = inspect(line.rival)
    late.event.set()
    assert late.done.wait(30)
    assert inspect(line.rival) == before
    assert counter.value == 1 + (act == "increment") + (not is_new)


@pytest.mark.parametrize("who", ["SDK", "record"])
def test_m1_a_request_that_arrives_just_before_its_repeat(line: Line, who: str) -> None:  # noqa: F811
    """Which is refused then: over what was asked for itself."""
    counter = Counter(line.open(), "x")
    counter.increment()
    late, sent = Late(threading.Event()), list[str]()

    def decide(request: Request) -> Fault | None:
        if not sent and request.method != "PUT":
            return None
        sent.append(request.method)
        if len(sent) == 1:
            return late
        if who == "record" and "GET" not in sent:  # by which it looks whether it was made
            return DropBefore()
        if request.method == "PUT" and not late.event.is_set():
            late.event.set()
            assert late.done.wait(30)
        return None

    line.proxy.decide = decide
    assert counter.increment() == 2
    assert late.done.is_set()
    assert Counter(line.rival, "x").value == 2


@pytest.mark.parametrize("fault", [*LOST, *FAILED], ids=[f"{w}-{n}" for w in "AB" for n in NAMES])
def test_increments_whose_answers_are_lost(line: Line, fault: Fault) -> None:  # noqa: F811
    counter = Counter(line.open(), "c")
    for n in range(1, 5):
        line.fails("PUT", fault)
        assert counter.increment() == n
    assert Counter(line.rival, "c").value == 4


@pytest.mark.parametrize("changes", [1, 47])
@pytest.mark.parametrize("fault", [*LOST, DropBefore()], ids=[*NAMES, "before"])
def test_increments_that_others_follow(line: Line, fault: Fault, changes: int) -> None:  # noqa: F811
    """The record names those who have changed it last."""
    counter, rival = Counter(line.open(), "c"), Counter(line.rival, "c")
    counter.increment()
    theirs: list[int] = []

    def follow() -> None:
        theirs.extend(rival.increment() for _ in range(changes))

    line.fails("PUT", fault, then=follow)
    mine = counter.increment()
    assert sorted([1, mine, *theirs]) == [*range(1, changes + 3)]
    assert rival.value == changes + 2


def test_too_many_changes_are_no_guess(line: Line) -> None:  # noqa: F811
    counter, rival = Counter(line.open(), "c"), Counter(line.rival, "c")
    counter.increment()
    line.fails("PUT", DropAfter(), then=lambda: [rival.increment() for _ in range(48)])
    with pytest.raises(OutcomeUnknownError, match="so often"):
        counter.increment()
    assert rival.value == 50


def test_many_increments_with_lost_answers(line: Line) -> None:  # noqa: F811
    """Each number is given to one of three threads; who is told an error was counted or not."""
    d = line.open()
    line.proxy.decide = on_writes(random_faults(1, 0.3, [*LOST, *FAILED]))

    def work(_: int) -> list[int | None]:
        counter = Counter(d, "c")
        return [increment(counter) for _ in range(20)]

    def increment(counter: Counter) -> int | None:
        try:
            return counter.increment()
        except (OutcomeUnknownError, ClientError, BotoCoreError):
            return None

    with ThreadPoolExecutor(3) as threads:
        got = [one for some in threads.map(work, range(3)) for one in some]
    told = sorted(one for one in got if one is not None)
    total = Counter(line.rival, "c").value
    assert len(told) == len({*told})
    assert {*told} <= {*range(1, total + 1)}
    assert len(told) <= total <= len(got)
    assert len(told) > 50


def test_increments_with_lost_answers_are_exact(line: Line) -> None:  # noqa: F811
    """Two take turns, and each answer of one of them is lost: forty increments make forty."""
    d, taking_turns = line.open(), threading.Barrier(2)
    line.proxy.decide = on_writes(random_faults(1, 0.5, LOST))
    counters = [Counter(d, "c"), Counter(line.rival, "c")]

    def work(counter: Counter) -> list[int]:
        got = []
        for _ in range(20):
            taking_turns.wait(60)
            got.append(counter.increment())
        return got

    with ThreadPoolExecutor(2) as threads:
        got = [one for some in threads.map(work, counters) for one in some]
    assert sorted(got) == [*range(1, 41)]


def on_writes(decide: Callable[[Request], Fault | None]) -> Callable[[Request], Fault | None]:
    return lambda request: decide(request) if request.method == "PUT" else None


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
@pytest.mark.parametrize("times", [1, 5])
def test_queues_whose_answers_are_lost(line: Line, fault: Fault, times: int) -> None:  # noqa: F811
    queue, other = WorkQueue(line.open(), "q"), WorkQueue(line.rival, "q")
    line.fails("PUT", *[fault] * times)
    keys = [queue.put(0)]
    line.fails("PUT", *[fault] * times)
    keys.append(queue.put(1, key="z"))
    assert len(other) == 2
    for left in (1, 0):
        line.fails("PUT", *[fault] * times)
        claim = claimed(queue)
        assert (claim.key, claim.deliveries, claim.is_lost) == (keys[claim.item], 1, False)
        line.fails("PUT", *[fault] * times)
        assert claim.renew()
        found = other.claim()
        assert (found is not None) == left
        if found is not None:
            found.give_back()
        line.fails("PUT", *[fault] * times)
        assert claim.done(-claim.item)
    assert dict(other.done) == {keys[0]: 0, "z": -1}
    assert len(other) == 0


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_failures_whose_answers_are_lost(line: Line, fault: Fault) -> None:  # noqa: F811
    queue = WorkQueue(line.open(), "q", max_deliveries=2)
    other = WorkQueue(line.rival, "q", max_deliveries=2)
    key = queue.put("x")
    for n in (1, 2):
        claim = claimed(queue)
        assert claim.deliveries == n
        line.fails("PUT", fault)
        assert claim.fail(f"error {n}")
    assert other.claim() is None
    assert other.dead[key] == ("x", 2, ["error 1", "error 2"])


def test_a_queue_on_a_bad_line(line: Line) -> None:  # noqa: F811
    """Every item is done once, and delivered once, however many answers are lost."""
    queues = [WorkQueue(line.open(), "q"), WorkQueue(line.rival, "q")]
    line.proxy.decide = on_writes(random_faults(2, 0.3, [*LOST, *FAILED]))
    keys = [queues[0].put(n) for n in range(20)]

    def work(queue: WorkQueue) -> list[tuple[str, bool]]:
        return [(claim.key, claim.done()) for claim in queue.drain() if claim.deliveries == 1]

    with ThreadPoolExecutor(2) as threads:
        done = [one for some in threads.map(work, queues) for one in some]
    assert sorted(done) == sorted((key, True) for key in keys)
    assert len(queues[1].done) == 20


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_an_item_is_done_when_that_is_written(line: Line, fault: Fault) -> None:  # noqa: F811
    queue, other = WorkQueue(line.open(), "q"), WorkQueue(line.rival, "q")
    key = queue.put("x")
    claim = claimed(queue)
    line.fails("DELETE", fault)
    try:
        assert claim.done()
    finally:
        assert other.claim() is None
        assert [*other.done] == [key]
        assert len(other) == 0


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_a_value_is_set_when_that_is_written(line: Line, fault: Fault) -> None:  # noqa: F811
    value = SharedValue(line.open(), "v")
    value.set(LARGE)
    line.fails("DELETE", fault)
    try:
        value.set(1)
    finally:
        assert SharedValue(line.rival, "v").get() == 1


def test_an_item_that_is_put_late_is_done_once_all_the_same(line: Line) -> None:  # noqa: F811
    """An insertion that comes late finds no item: it is delivered again, and not recorded again."""
    queue, other = WorkQueue(line.open(), "q"), WorkQueue(line.rival, "q")
    len(queue)
    late = Late(threading.Event())
    line.fails("PUT", late)
    queue.put("x")
    claim = claimed(other)
    assert claim.done("once")
    late.event.set()
    assert late.done.wait(30)
    assert not claimed(other).done("twice")
    assert [*other.done.values()] == ["once"]
    assert len(other) == 0


def followed_by(more: tuple[Any, ...], there: tuple[Any, ...]) -> tuple[Any, ...]:
    return there + more


@pytest.mark.parametrize("fault", [*LOST, *FAILED], ids=[f"{w}-{n}" for w in "AB" for n in NAMES])
def test_values_whose_answers_are_lost(line: Line, fault: Fault) -> None:  # noqa: F811
    value, rival = (SharedValue(s, "v", default=()) for s in (line.open(), line.rival))
    for n in range(3):
        line.fails("PUT", fault, fault)
        mine = n, "x" * 10_000
        assert value.update(partial(followed_by, mine))[-2:] == mine
        rival.update(partial(followed_by, ("rival",)))
    assert [one for one in rival.get() if len(str(one)) < 10] == [
        one for n in range(3) for one in (n, "rival")
    ]
    assert sum(name.endswith(".payload") for name in line.place.names()) == 1


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_turns_and_barriers_whose_answers_are_lost(line: Line, fault: Fault) -> None:  # noqa: F811
    d = line.open()
    rate = RateLimiter(d, "r", rate=0.001, burst=3)
    for _ in range(3):
        line.fails("PUT", fault)
        rate.acquire(timeout=1)
    with pytest.raises(TimeoutError):
        RateLimiter(line.rival, "r", rate=0.001, burst=3).acquire(timeout=1)
    mine, theirs = (Barrier(s, "b", parties=2) for s in (d, line.rival))
    with ThreadPoolExecutor(1) as threads:
        for _ in range(2):
            line.fails("PUT", fault)
            waiting = threads.submit(mine.wait, 20)
            until(lambda: bool(inspect(line.rival)[0].holders))
            assert (theirs.wait(20), waiting.result()) == (1, 0)


# --- fencing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pkl", "json"])
@pytest.mark.parametrize("before", [None, "v", "w"])
def test_an_old_token_that_comes_between(line: Line, form: str, before: Any) -> None:  # noqa: F811
    """It has looked, then a newer one writes the same value as was there: etags must differ."""
    d = line.open(serialization_format=form)
    rival = line.place.basic(serialization_format=form)
    if before is not None:
        fenced_set(rival, "k", before, token=1)
        before = before, rival.etag("k")
    writes: list[Request] = []

    def decide(request: Request) -> Fault | None:
        if request.method == "PUT" and not writes:
            writes.append(request)  # on its way: it was guarded by what it has seen
            fenced_set(rival, "k", "v", token=2)
        return None

    line.proxy.decide = decide
    with pytest.raises(StaleTokenError):
        fenced_set(d, "k", "old", token=1)
    assert writes[0].headers.keys() & {"if-match", "if-none-match"}
    assert (rival["k"], fence(rival, "k")) == ("v", 2)
    assert before is None or rival.etag("k") != before[1]


@pytest.mark.parametrize("form", ["pkl", "json"])
def test_the_way_back_is_no_way_back(line: Line, form: str) -> None:  # noqa: F811
    """A to B to A by others: the write of the old one, sent when A was there first, is refused."""
    d = line.open(serialization_format=form)
    rival = line.place.basic(serialization_format=form)
    fenced_set(rival, "k", "A", token=1)
    late = Late(threading.Event())
    faults: list[Fault] = [late, *[DropBefore()] * 9]
    line.proxy.decide = lambda r: faults.pop(0) if r.method == "PUT" and faults else None
    with pytest.raises((OutcomeUnknownError, ClientError, BotoCoreError)):
        fenced_set(d, "k", "old", token=1)
    fenced_set(rival, "k", "B", token=2)
    fenced_set(rival, "k", "A", token=2)
    late.event.set()
    assert late.done.wait(30)
    assert (rival["k"], fence(rival, "k")) == ("A", 2)


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
@pytest.mark.parametrize("times", [1, 5])
def test_fenced_writes_whose_answers_are_lost(line: Line, fault: Fault, times: int) -> None:  # noqa: F811
    d = line.open()
    for token in (1, 2, 2):
        line.fails("PUT", *[fault] * times)
        fenced_set(d, "k", token, token=token)
        assert (line.rival["k"], fence(line.rival, "k")) == (token, token)


@pytest.mark.parametrize("fault", LOST, ids=NAMES)
def test_a_fenced_write_that_a_newer_one_follows(line: Line, fault: Fault) -> None:  # noqa: F811
    """Nobody can tell whether it was there for a moment; it is not there in the end."""
    d = line.open()
    fenced_set(line.rival, "k", 0, token=1)
    line.fails("PUT", fault, then=lambda: fenced_set(line.rival, "k", "new", token=2))
    with pytest.raises((StaleTokenError, OutcomeUnknownError)):
        fenced_set(d, "k", "old", token=1)
    assert (line.rival["k"], fence(line.rival, "k")) == ("new", 2)


def test_a_fence_is_seen_by_all_who_read(real: Place, processes: ProcessPoolExecutor) -> None:
    """A reader needs no token; a plain write forgets it."""
    d = opened(real)
    fenced_set(d, ("a", "b"), {"x": LARGE}, token=7)
    assert real.cached()["a", "b"] == d["a", "b"] == {"x": LARGE}
    assert processes.submit(fence_there, url_of(real)).result() == 7
    d["a", "b"] = 1
    assert fence(d, ("a", "b")) == 0


def fence_there(url: str) -> int:
    return fence(open_store(url), ("a", "b"))
