"""Policies of retries: what they cost while all is well, and what they do to a service that fails.

The costs stand beside those of tenacity. Attempts and recovery are measured with eight processes
that call at the same time, deaths on a Dask cluster.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain, count
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

from benchmarks._harness import Contender, Race, Sample, Target, timed
from benchmarks._ours import folder_dict
from benchmarks._scale import Scale
from examples.pipelines.flaky_service.fetch import RefusedError, page
from examples.pipelines.flaky_service.served import serving
from examples.pipelines.flaky_service.service import FAILING, HEALTHY

PEERS = ("persidict", "tenacity", "dask", "distributed")
ATTEMPTS = 3
PROCESSES = 8
LIMIT = 1.12  # attempts per call that a budget with a ratio of 0.1 promises
WRITES = 1 / 20  # per retry

_names = count()


def races(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield the costs of success, and the attempts at what fails for good."""
    yield _success(place / "success", 10 * scale.items)
    yield _durable_success(place / "full", "full", scale.synced_items)
    yield _durable_success(place / "relaxed", "relaxed", scale.items)
    with _processes() as pool:
        storm = _Storm(pool, place / "storm", 2 * scale.items)
        yield storm.attempts()
        yield storm.writes()


def outages(place: Path, scale: Scale) -> Iterator[Race]:
    """Yield how soon calls succeed again after an outage, and how many a poisoned call kills."""
    with _processes() as pool:
        yield _Outage(pool, place / "outage", max(1.0, scale.items / 200)).race()
    poison = _Poison(place / "poison")
    yield poison.seconds()
    yield poison.deaths()


# -- a call that succeeds -------------------------------------------------------------------------


def nothing(x: int) -> int:
    """Do no work, so that only the way there and back is measured."""
    return x


def _success(place: Path, calls: int) -> Race:
    import tenacity

    from persidict_dask import CircuitBreaker, RetryBudget, RetryPolicy

    store = folder_dict(place)
    policy = RetryPolicy(attempts=ATTEMPTS, wait=_wait())
    budget = RetryPolicy(attempts=ATTEMPTS, wait=_wait(), budget=RetryBudget(store))
    breaker = RetryPolicy(attempts=ATTEMPTS, wait=_wait(), breaker=CircuitBreaker(store, "x"))
    settings = {
        "stop": tenacity.stop_after_attempt(ATTEMPTS),
        "wait": _wait(),
        "retry": tenacity.retry_if_exception_type(OSError),
        "reraise": True,
    }
    retrying, call = tenacity.Retrying(**settings), cast("Any", policy.call)
    bound = Target(seconds=3e-6)
    return Race(
        "a call that succeeds",
        Contender("bare call", _called(nothing, calls)),
        [
            Contender("@tenacity.retry", _called(tenacity.retry(**settings)(nothing), calls)),
            Contender("tenacity.Retrying()(f, x)", _called(partial(retrying, nothing), calls)),
            Contender("@policy", _called(policy(nothing), calls), bound),
            Contender("policy.call(f, x)", _called(partial(call, nothing), calls), bound),
            Contender("@policy, with a budget", _called(budget(nothing), calls), bound),
            Contender("@policy, with a breaker", _called(breaker(nothing), calls), bound),
        ],
    )


def _wait() -> Any:
    from tenacity import wait_exponential

    return wait_exponential(multiplier=0.1, max=10)


def _called(call: Callable[[int], object], calls: int) -> Sample:
    def run() -> None:
        for x in range(calls):
            call(x)

    return timed(run, calls)


def _durable_success(place: Path, durability: str, calls: int) -> Race:
    from persidict_dask import RetryPolicy

    store = folder_dict(place / "plain", durability=durability)
    state = folder_dict(place / "state", durability=durability)
    policy = RetryPolicy(attempts=ATTEMPTS, wait=_wait(), state=state)
    numbers, call = count(), cast("Any", policy.call)

    def write(key: str) -> None:
        store[key] = 1

    def write_and_remove(key: str) -> None:
        store[key] = 1
        del store[key]

    def each(call: Callable[[str], object]) -> Sample:
        return timed(lambda: [call(f"k{next(numbers)}") for _ in range(calls)], calls)

    how = "through to the disk" if durability == "full" else durability
    return Race(
        f"a call whose attempts are written down, {how}",
        Contender("store[key] = value", each(write)),
        [
            Contender("store[key] = value and del store[key]", each(write_and_remove)),
            Contender("policy.call(f, x), with state", each(partial(call, _same))),
        ],
    )


def _same(x: str) -> str:
    return x


# -- calls that all fail --------------------------------------------------------------------------


class Told(NamedTuple):
    """What a process has done."""

    calls: int
    attempts: int
    writes: int


@contextmanager
def _processes() -> Iterator[ProcessPoolExecutor]:
    """Processes that are there when the time is taken."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawning) as pool:
        pool.submit(os.getpid).result()
        yield pool


def _all_at_once(pool: ProcessPoolExecutor, work: Callable[..., Any], *args: Any) -> list[Any]:
    """Run the work in each process, from the same moment on."""
    start = time.monotonic() + 0.1  # which none of them has begun before: so each takes one
    running = [pool.submit(_started, start, work, *args) for _ in range(PROCESSES)]
    return [each.result() for each in running]


def _started(moment: float, work: Callable[..., Any], *args: Any) -> Any:
    time.sleep(max(0.0, moment - time.monotonic()))
    return work(*args)


class _Storm:
    """Calls of all processes, each of which fails as often as it is tried."""

    def __init__(self, pool: ProcessPoolExecutor, place: Path, calls: int) -> None:
        self._pool = pool
        self._place = place
        self._calls = calls

    def attempts(self) -> Race:
        return Race(
            f"attempts per call, {PROCESSES} x {self._calls:,} calls that all fail",
            Contender("1 attempt", self._sample(_STORM.single, _attempts_per_call)),
            [
                Contender(f"{ATTEMPTS} attempts", self._sample(_STORM.alone, _attempts_per_call)),
                Contender(
                    f"{ATTEMPTS} attempts, RetryBudget(ratio=0.1)",
                    self._sample(_STORM.with_budget, _attempts_per_call),
                    Target(ratio=LIMIT),
                ),
            ],
            is_time=False,
        )

    def writes(self) -> Race:
        return Race(
            "writes to the store per retry, meanwhile",
            Contender("a write for each retry", lambda: 1.0),
            [
                Contender(
                    "RetryBudget(ratio=0.1)",
                    self._sample(_STORM.with_budget, _writes_per_retry),
                    Target(ratio=WRITES),
                )
            ],
            is_time=False,
        )

    def _sample(self, make: Callable[[Any, str], Any], of: Callable[[Told], float]) -> Sample:
        def sample() -> float:
            policy = make(folder_dict(self._place), f"n{next(_names)}")
            told = _all_at_once(self._pool, _fail, policy, self._calls)
            return of(Told(*map(sum, zip(*told, strict=True))))

        return sample


class _Policies(NamedTuple):
    """The policies that are compared; `store` and `name` are for what processes share."""

    attempts: int = ATTEMPTS
    window: float = 10.0
    reset: float = 15.0
    wait: float = 0.1  # seconds at most

    def single(self, store: Any, name: str) -> Any:
        del store, name
        return self._policy(1)

    def alone(self, store: Any, name: str) -> Any:
        del store, name
        return self._policy(self.attempts)

    def with_budget(self, store: Any, name: str) -> Any:
        from persidict_dask import RetryBudget

        budget = RetryBudget(store, name, ratio=0.1, window=self.window)
        return self._policy(self.attempts, budget=budget)

    def with_breaker(self, store: Any, name: str) -> Any:
        from persidict_dask import CircuitBreaker

        breaker = CircuitBreaker(store, name, reset=self.reset)
        return self._policy(self.attempts, breaker=breaker)

    def _policy(self, attempts: int, **shared: Any) -> Any:
        from tenacity import wait_random

        from persidict_dask import RetryPolicy

        wait = wait_random(0, self.wait)
        return RetryPolicy(attempts=attempts, wait=wait, retry_on=(RefusedError, OSError), **shared)


_STORM = _Policies(wait=0.01)


def _attempts_per_call(told: Told) -> float:
    return told.attempts / told.calls


def _writes_per_retry(told: Told) -> float:
    return told.writes / (told.attempts - told.calls)


def _fail(policy: Any, calls: int) -> Told:
    """In a process: call what always fails, and count."""
    writes = _writes()
    before = len(writes)
    attempts = 0

    def failing() -> None:
        nonlocal attempts
        attempts += 1
        raise ConnectionError

    for _ in range(calls):
        with suppress(ConnectionError):
            policy.call(failing)
    return Told(calls, attempts, len(writes) - before)


@cache
def _writes() -> list[int]:
    """Count from now on what this process writes to folders."""
    from persidict._folder_blobs import FolderBlobs

    writes: list[int] = []
    for name in ("write", "remove"):
        setattr(FolderBlobs, name, _counted(getattr(FolderBlobs, name), writes))
    return writes


def _counted(method: Callable[..., Any], calls: list[int]) -> Callable[..., Any]:
    def counted(*args: Any) -> Any:
        calls.append(1)
        return method(*args)

    return counted


# -- a service that comes back --------------------------------------------------------------------

RATE = 5.0  # calls per second of each process, on average
CAPACITY = 1.6  # of the service, in times of all of them
PERSISTENT = 5  # attempts
NORMAL = 0.99  # of the calls succeed
THREADS = 32


class Call(NamedTuple):
    """When a call has ended, and how."""

    ended: float
    is_success: bool


class _Outage:
    """A service that fails for a while, and that refusals cost half as much as answers.

    After that it is looked at for twice as long: who needs more shows just that.
    """

    def __init__(self, pool: ProcessPoolExecutor, place: Path, seconds: float) -> None:
        self._pool = pool
        self._place = place
        self._seconds = seconds

    def race(self) -> Race:
        policies = _Policies(PERSISTENT, window=self._seconds, reset=self._seconds / 2)
        budget, breaker = f"window={policies.window:g}", f"reset={policies.reset:g}"
        return Race(
            f"until {NORMAL:.0%} of calls succeed, after an outage of {self._seconds:g} s",
            Contender(f"{PERSISTENT} attempts", self._sample(policies.alone)),
            [
                Contender(
                    f"{PERSISTENT} attempts, RetryBudget({budget})",
                    self._sample(policies.with_budget),
                    Target(seconds=policies.window),
                ),
                Contender(
                    f"{PERSISTENT} attempts, CircuitBreaker({breaker})",
                    self._sample(policies.with_breaker),
                ),
            ],
        )

    def _sample(self, make: Callable[[Any, str], Any]) -> Sample:
        def sample() -> float:
            policy = make(folder_dict(self._place), f"n{next(_names)}")
            rate = RATE * PROCESSES
            with serving(capacity=CAPACITY * rate, limit=rate) as service:
                service.begin(FAILING)
                calling = partial(_call_steadily, policy, service.url, 3 * self._seconds)
                with ThreadPoolExecutor(1) as thread:
                    running = thread.submit(_all_at_once, self._pool, calling)
                    time.sleep(self._seconds)
                    service.begin(HEALTHY)
                    back = time.monotonic()
                    return _seconds_until_normal(chain(*running.result()), back)

        return sample


def _call_steadily(policy: Any, url: str, seconds: float) -> list[Call]:
    """In a process: begin calls at moments of chance, however long those before them take."""
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(THREADS) as threads:
        running: list[Future[Call]] = []
        while time.monotonic() < end:
            running.append(threads.submit(_call, policy, url, len(running)))
            time.sleep(random.expovariate(RATE))
        return [each.result() for each in running]


def _call(policy: Any, url: str, number: int) -> Call:
    try:
        policy.call(page, url, number)
    except Exception:
        return Call(time.monotonic(), is_success=False)
    return Call(time.monotonic(), is_success=True)


def _seconds_until_normal(calls: Iterable[Call], since: float) -> float:
    """Return the seconds after which nearly all calls that end are successes."""
    later = sorted(call for call in calls if call.ended >= since)
    for index, call in enumerate(later):
        rest = later[index:]
        if sum(each.is_success for each in rest) >= NORMAL * len(rest):
            return call.ended - since
    return later[-1].ended - since


# -- a call that kills workers --------------------------------------------------------------------

WORKERS = 5
POISON = 2  # deaths


@contextmanager
def _cluster() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=WORKERS,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,  # many are killed
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


class _Poison:
    """Tasks that end their worker, each on a cluster of its own.

    Nannies do not always start a worker again that was killed right after its start.
    """

    def __init__(self, place: Path) -> None:
        self._state = folder_dict(place)
        self._notes = place.parent

    def seconds(self) -> Race:
        return Race(
            "from the last death of a worker to the error",
            Contender("Dask alone, KilledWorker", self._sample(self._alone, _since_death)),
            [
                Contender(
                    f"poison_after={POISON}, QuarantinedCallError",
                    self._sample(self._with_policy, _since_death),
                ),
                Contender("the same call, tried again", self._tried_again, Target(seconds=0.1)),
            ],
        )

    def deaths(self) -> Race:
        return Race(
            "workers that a task kills",
            Contender("Dask alone", self._sample(self._alone, _number)),
            [
                Contender(
                    f"poison_after={POISON}",
                    self._sample(self._with_policy, _number),
                    Target(ratio=POISON / 4),
                )
            ],
            is_time=False,
        )

    def _sample(
        self, submit: Callable[[Any, str], Any], of: Callable[[list[float], float], float]
    ) -> Sample:
        def sample() -> float:
            note = self._new_note()
            with self._cluster() as client:
                submit(client, str(note)).exception()
                now = time.time()
            return of([float(line) for line in note.read_text().splitlines()], now)

        return sample

    def _tried_again(self) -> float:
        note = str(self._new_note())
        with self._cluster() as client:
            self._with_policy(client, note).exception()
            client.wait_for_workers(WORKERS)  # new ones come up, and keep the machine busy
            self._warm(client)
            begin = perf_counter()
            self._with_policy(client, note).exception()
            return perf_counter() - begin

    def _new_note(self) -> Path:
        return self._notes / f"deaths-{next(_names)}"

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        with _cluster() as client:
            self._warm(client)
            yield client

    def _warm(self, client: Any) -> None:
        client.run(self._policy.call, nothing, 1)  # imports are no part of it

    @property
    def _policy(self) -> Any:
        from persidict_dask import RetryPolicy

        return RetryPolicy(state=self._state, poison_after=POISON)

    def _alone(self, client: Any, note: str) -> Any:
        return client.submit(_die, note, pure=False)

    def _with_policy(self, client: Any, note: str) -> Any:
        return client.submit(self._policy.call, _die, note, pure=False)


def _die(note: str) -> None:
    """In a worker: note when, and end it."""
    with open(note, "a") as file:
        file.write(f"{time.time()}\n")
    os._exit(1)


def _since_death(moments: list[float], now: float) -> float:
    return now - moments[-1]


def _number(moments: list[float], now: float) -> float:
    del now
    return float(len(moments))
