"""Odd errors, odd settings and odd functions: the error itself comes out, or a clear refusal."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import tenacity
import tenacity.asyncio
from distributed import Client

from persidict import LocalDict
from persidict_dask import CircuitBreaker, RetryPolicy, install, worker_store
from persidict_dask._defaults import default_policy
from persidict_dask.retries import _driving

TWICE = RetryPolicy(attempts=2, wait=tenacity.wait_none())


class Unhelpful(OSError):
    @property
    def retry_after(self):
        raise RuntimeError("not told")

    @property
    def response(self):
        raise RuntimeError("no response")


class Untold:
    def get(self, name):
        raise RuntimeError("not told")


def with_attributes(**attributes):
    error = OSError("odd")
    vars(error).update(attributes)
    return error


ODD = [
    Unhelpful("odd"),
    with_attributes(retry_after=np.array([1, 2])),
    with_attributes(retry_after=float("nan")),
    with_attributes(retry_after=-3),
    with_attributes(retry_after="soon"),
    with_attributes(response={"ResponseMetadata": None}),
    with_attributes(response=SimpleNamespace(headers=Untold())),
]


@pytest.mark.parametrize("error", ODD, ids=range(len(ODD)))
def test_an_error_that_cannot_say_how_long_to_wait_is_waited_for_as_the_policy_says(error):
    calls = []

    def fails():
        calls.append(1)
        raise error

    with pytest.raises(OSError, match="odd") as caught:
        TWICE.call(fails)
    assert caught.value is error
    assert len(calls) == 2


def test_an_attribute_that_fails_does_not_hide_the_header():
    class Half(Unhelpful):
        response = SimpleNamespace(headers={"Retry-After": "7"})

    class Enough(Exception):
        pass

    def wait(seconds):
        raise Enough(seconds)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Enough, match=r"7\.0"):
        patch.setattr(_driving.time, "sleep", wait)
        TWICE.call(fails_with(Half("half")))


def fails_with(error):
    def fails():
        raise error

    return fails


@pytest.mark.parametrize("asked", [1e18, float("inf")])
def test_waits_that_no_clock_knows_are_long_waits(monkeypatch, asked):
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(_driving.time, "sleep", waits.append)
    monkeypatch.setattr(_driving.asyncio, "sleep", sleep)
    policy = RetryPolicy(attempts=2, wait=lambda state: asked)
    with pytest.raises(OSError, match="down"):
        policy.call(fails_with(OSError("down")))

    @policy
    async def fails():
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        asyncio.run(fails())
    assert waits == [365 * 86400.0] * 2


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"deadline": "3"}, "a number of seconds or a timedelta, not '3'"),
        ({"deadline": [3]}, r"a number of seconds or a timedelta, not \[3\]"),
        ({"deadline": True}, "a number of seconds or a timedelta, not True"),
        ({"attempts": tenacity.stop_after_attempt}, "an int or a stop of tenacity"),
        ({"wait": tenacity.wait_fixed}, "a wait of tenacity, such as"),
        ({"wait": timedelta(seconds=1)}, "a wait of tenacity, such as"),
        ({"retry_on": tenacity.asyncio.retry_if_result(lambda value: True)}, "at once"),
    ],
)
def test_settings_of_another_kind_are_refused_in_words(settings, told):
    with pytest.raises(TypeError, match=told):
        RetryPolicy(**settings)


def test_numbers_of_numpy_are_deadlines():
    assert RetryPolicy(deadline=np.int64(3)).deadline == 3


def generator():
    yield 1


async def async_generator():
    yield 1


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generator_functions_are_refused(function):
    with pytest.raises(TypeError, match=f"while .*{function.__name__} is called"):
        TWICE(function)
    with pytest.raises(TypeError, match="is a generator function"):
        TWICE.call(function)


class Async:
    def __init__(self):
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.calls < 2:
            raise OSError("once")
        return self.calls


async def fails_later(argument):
    raise OSError("later")


@pytest.mark.parametrize("number", range(4))
def test_a_coroutine_function_is_not_called_as_if_it_were_none(number):
    given = [Async().__call__, Async(), partial(fails_later, 1), partial(partial(fails_later), 1)]
    with pytest.raises(TypeError, match="use call_async"):
        TWICE.call(given[number])


@pytest.mark.parametrize("decorated", [lambda: Async(), lambda: partial(Async().__call__)])
def test_objects_that_are_awaited_are_tried_again(decorated):
    assert asyncio.run(TWICE(decorated())()) == 2


# --- memory ---------------------------------------------------------------------------------------


class Large:
    """An argument of which one wants to know how long it is kept."""


def fails(argument):
    raise OSError("as planned")


def settings(kind, folder):
    return {
        "plain": {},
        "fatal": {"retry_on": ValueError},
        "durable": {"state": str(folder)},
        "breaker": {"breaker": CircuitBreaker(LocalDict(), "b")},
    }[kind]


@pytest.fixture
def collector():
    """Nothing is collected meanwhile: what is gone has not been part of a cycle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


KINDS = ["plain", "fatal", "durable", "breaker"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_is_handled_keeps_no_argument(collector, tmp_path, kind):
    policy = RetryPolicy(attempts=3, wait=tenacity.wait_none(), **settings(kind, tmp_path))
    large = Large()
    seen = weakref.ref(large)
    with suppress(OSError):
        policy.call(fails, large)
    del large
    assert seen() is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_that_is_handled_in_a_coroutine_keeps_no_argument(collector, tmp_path, kind):
    policy = RetryPolicy(attempts=3, wait=tenacity.wait_none(), **settings(kind, tmp_path))

    async def main():
        large = Large()
        seen = weakref.ref(large)
        with suppress(OSError):
            await policy.call_async(fails_later, large)
        del large
        deadline = time.monotonic() + 60
        while seen() is not None:  # threads let go of it a moment later
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    asyncio.run(main())


class Breaking:
    """Fails so many times, and is broken off then."""

    def __init__(self, failures):
        self.failures = failures

    def __call__(self, argument):
        self.failures -= 1
        raise KeyboardInterrupt if self.failures < 0 else OSError


@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_is_broken_off_keeps_no_argument(collector, tmp_path, kind, failures):
    chosen = settings(kind, tmp_path) | {"retry_on": OSError}
    policy = RetryPolicy(attempts=3, wait=tenacity.wait_none(), **chosen)
    large = Large()
    seen = weakref.ref(large)
    with pytest.raises(KeyboardInterrupt):
        policy.call(Breaking(failures), large)
    del large
    assert seen() is None


def test_a_durable_call_keeps_no_argument(collector, tmp_path):
    large = Large()
    seen = weakref.ref(large)
    assert RetryPolicy(state=str(tmp_path)).call(id, large) == id(large)
    del large
    assert seen() is None


# --- meta inference -------------------------------------------------------------------------------


@pytest.mark.parametrize("is_durable", [False, True])
def test_made_up_calls_are_made_once_and_not_written_down(tmp_path, monkeypatch, is_durable):
    import dask.array as da

    state = tmp_path / "state" if is_durable else None
    made_up, waits = [], []
    monkeypatch.setattr(_driving.time, "sleep", waits.append)

    @RetryPolicy(state=state, wait=tenacity.wait_fixed(60))
    def half(x):
        if x.size == 0:
            made_up.append(x)
            raise OSError("there is nothing in it")
        return x / 2

    array = da.ones(4, chunks=2).map_blocks(half, dtype=float)
    assert (len(made_up), waits) == (1, [])
    assert not is_durable or not state.exists()
    assert array.sum().compute(scheduler="sync") == 2


# --- places on workers ----------------------------------------------------------------------------


def one_place():
    return Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0")


@pytest.fixture
def client():
    with one_place() as client:
        yield client


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


gate = threading.Event()
tries = []


async def passes():
    if not gate.is_set():
        raise OSError("the gate is closed")
    return "passed"


def passes_now(number):
    tries.append(number)
    if not gate.is_set():
        raise OSError("the gate is closed")
    return "passed"


def opens():
    gate.set()


@pytest.mark.parametrize("key", ["waits", ("it's", 0)])
@pytest.mark.parametrize("is_durable", [False, True])
def test_a_coroutine_that_waits_gives_its_place_to_another_task(client, tmp_path, key, is_durable):
    state = tmp_path / "state" if is_durable else None
    gate.clear()
    policy = RetryPolicy(attempts=10**6, wait=tenacity.wait_fixed(0.02), state=state)
    waiting = client.submit(policy.call_async, passes, key=key)
    opening = client.submit(opens, pure=False)
    try:
        opening.result(timeout=10)
        assert waiting.result(timeout=10) == "passed"
    finally:
        gate.set()


def test_so_many_threads_wait_without_a_place_and_no_more(client, monkeypatch):
    """Each of them is a thread: with one free place aside, the second task keeps its own."""
    monkeypatch.setattr(_driving, "_aside", threading.Semaphore(1))
    gate.clear()
    tries.clear()
    policy = RetryPolicy(attempts=10**6, wait=tenacity.wait_fixed(0.02))
    waiting = [client.submit(policy.call, passes_now, n, pure=False) for n in range(5)]
    try:
        wait_for(lambda: len(tries) > 20)
        assert len(set(tries)) == 2
    finally:
        gate.set()
    assert client.gather(waiting) == ["passed"] * 5


def test_coroutines_outside_of_tasks_have_no_place_to_give(client):
    async def twice():
        return await TWICE(Async())()

    assert asyncio.run(twice()) == 2
    assert list(client.run(twice).values()) == [2]


# --- install --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"client": None}, "a client is a distributed.Client, not None"),
        ({"client": "tcp://host:8786"}, "a client is a distributed.Client"),
        ({"stores": ["state"]}, "stores are given by name"),
    ],
)
def test_install_refuses_in_words(client, settings, told):
    with pytest.raises(TypeError, match=told):
        install(**{"client": client} | settings)


def test_what_was_installed_here_can_be_taken_back_after_the_client_was_closed(tmp_path):
    with one_place() as client:
        installed = install(client, stores={"taken back": tmp_path}, retry=TWICE)
        assert default_policy() is TWICE
    with suppress(Exception):  # the cluster is gone
        installed.uninstall()
    assert default_policy() is None
    with pytest.raises(KeyError):
        worker_store("taken back")
