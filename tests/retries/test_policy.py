"""Policies: what is tried again, how often, when; what the caller sees in the end."""

from __future__ import annotations

import asyncio
import email.message
import pickle
import subprocess
import sys
import urllib.error
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import tenacity

from persidict_dask import RetryPolicy
from persidict_dask._stats import process_stats
from persidict_dask.retries import _driving

FAST = tenacity.wait_fixed(0)


class Flaky:
    """Fails as told, one error for each call, then returns its argument."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, x=None):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return x

    async def later(self, x=None):
        return self(x)


@pytest.fixture
def slept(monkeypatch):
    """The waits that were asked for, none of which is made."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(_driving.time, "sleep", waits.append)
    monkeypatch.setattr(_driving.asyncio, "sleep", sleep)
    return waits


def sync(policy, flaky, *args):
    return policy.call(flaky, *args)


def in_coroutine(policy, flaky, *args):
    return asyncio.run(policy.call_async(flaky.later, *args))


def decorated(policy, flaky, *args):
    @policy
    def f(*args):
        return flaky(*args)

    return f(*args)


def by_tenacity(policy, flaky, *args):
    return policy.tenacity()(flaky, *args)


def by_async_tenacity(policy, flaky, *args):
    return asyncio.run(policy.tenacity_async()(flaky.later, *args))


OURS = [sync, in_coroutine, decorated]
ALL = [*OURS, by_tenacity, by_async_tenacity]


@pytest.fixture(params=ALL, ids=lambda way: way.__name__)
def way(request):
    return request.param


@pytest.fixture(params=OURS, ids=lambda way: way.__name__)
def our_way(request):
    return request.param


def test_success_is_one_call(way):
    flaky = Flaky()
    assert way(RetryPolicy(), flaky, 5) == 5
    assert flaky.calls == 1


def test_what_is_transient_is_tried_again(way):
    flaky = Flaky(OSError("a"), TimeoutError("b"))
    assert way(RetryPolicy(wait=FAST), flaky, 5) == 5
    assert flaky.calls == 3


def test_the_last_error_is_what_the_caller_sees(way):
    last = OSError("last")
    flaky = Flaky(OSError("a"), OSError("b"), last, OSError("never"))
    with pytest.raises(OSError, match="last") as caught:
        way(RetryPolicy(wait=FAST), flaky)
    assert caught.value is last
    assert flaky.calls == 3


def test_a_note_tells_attempts_and_waits(our_way, slept):
    waits = tenacity.wait_chain(tenacity.wait_fixed(0.5), tenacity.wait_fixed(2))
    with pytest.raises(OSError, match="x") as caught:
        our_way(RetryPolicy(wait=waits), Flaky(*[OSError("x")] * 3))
    [note] = caught.value.__notes__
    assert "after 3 attempts, with waits of 0.5, 2 s" in note
    assert slept == [0.5, 2]


def test_a_note_tells_the_last_ten_waits(our_way, slept):
    policy = RetryPolicy(attempts=14, wait=tenacity.wait_incrementing(1, 1))
    with pytest.raises(OSError, match="x") as caught:
        our_way(policy, Flaky(*[OSError("x")] * 14))
    [note] = caught.value.__notes__
    assert "after 14 attempts, with waits of …, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 s: " in note
    assert slept == [*range(1, 14)]


def test_other_errors_are_not_tried_again(way):
    flaky = Flaky(ValueError("x"))
    with pytest.raises(ValueError, match="x") as caught:
        way(RetryPolicy(), flaky)
    assert flaky.calls == 1
    assert not hasattr(caught.value, "__notes__")


def test_fatal_ones_among_them_are_not(way):
    flaky = Flaky(OSError("a"), FileNotFoundError("gone"), OSError("never"))
    with pytest.raises(FileNotFoundError):
        way(RetryPolicy(wait=FAST, fatal=FileNotFoundError), flaky)
    assert flaky.calls == 2


def test_an_interrupt_is_no_failure(our_way):
    flaky = Flaky(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        our_way(RetryPolicy(retry_on=BaseException, wait=FAST), flaky)
    assert flaky.calls == 1


def test_stops_of_tenacity(way):
    flaky = Flaky(*[OSError("x")] * 9)
    stop = tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(100)
    with pytest.raises(OSError, match="x"):
        way(RetryPolicy(attempts=stop, wait=FAST), flaky)
    assert flaky.calls == 5


@pytest.mark.parametrize(
    "retry_on",
    [
        tenacity.retry_if_exception_type(KeyError),
        tenacity.retry_if_exception(lambda error: "x" in str(error)),
        KeyError,
        (KeyError,),
    ],
)
def test_retries_of_tenacity(way, retry_on):
    flaky = Flaky(KeyError("x"), KeyError("x"))
    assert way(RetryPolicy(retry_on=retry_on, wait=FAST), flaky, 5) == 5
    assert flaky.calls == 3


def test_results_can_be_tried_again(our_way):
    results = iter([None, None, 7])
    retry_on = tenacity.retry_if_result(lambda value: value is None)

    class Slow(Flaky):
        def __call__(self, x=None):
            return next(results)

    assert our_way(RetryPolicy(retry_on=retry_on, wait=FAST), Slow()) == 7


def test_a_result_that_never_comes_right_is_returned(our_way):
    retry_on = tenacity.retry_if_result(lambda value: value is None)
    flaky = Flaky()
    assert our_way(RetryPolicy(retry_on=retry_on, wait=FAST), flaky) is None
    assert flaky.calls == 3


def test_no_attempt_starts_after_the_deadline(our_way, slept):
    flaky = Flaky(*[OSError("x")] * 9)
    policy = RetryPolicy(attempts=9, wait=tenacity.wait_fixed(40), deadline=60)
    with pytest.raises(OSError, match="x") as caught:
        our_way(policy, flaky)
    assert slept == [40] if flaky.calls == 2 else flaky.calls == 9  # nothing was slept really
    assert caught.value.__notes__


def test_a_wait_beyond_the_deadline_is_not_begun(our_way, slept):
    flaky = Flaky(*[OSError("x")] * 9)
    with pytest.raises(OSError, match="x"):
        our_way(RetryPolicy(wait=tenacity.wait_fixed(61), deadline=60), flaky)
    assert (flaky.calls, slept) == (1, [])


def asking(told):
    error = OSError("busy")
    error.retry_after = told
    return error


def http(value):
    headers = email.message.Message()
    headers["Retry-After"] = value
    return urllib.error.HTTPError("http://x", 503, "busy", headers, None)


class Response:
    def __init__(self, headers):
        self.headers = headers


def responded(response):
    error = OSError("busy")
    error.response = response
    return error


BOTO = {"ResponseMetadata": {"HTTPHeaders": {"retry-after": "7"}}}


@pytest.mark.parametrize(
    "error",
    [
        asking(7),
        asking("7"),
        asking(timedelta(seconds=7)),
        http("7"),
        responded(Response({"Retry-After": "7"})),
        responded(BOTO),
    ],
)
def test_what_a_server_asks_for_is_waited(our_way, slept, error):
    our_way(RetryPolicy(wait=tenacity.wait_fixed(1)), Flaky(error))
    assert slept == [7]


def test_a_date_is_waited_for(slept):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    RetryPolicy(wait=FAST).call(Flaky(http(date)))
    assert 95 < slept[0] <= 100


@pytest.mark.parametrize("told", [-5, 0, None, "soon", float("nan"), float("inf"), True])
def test_what_makes_no_sense_is_not_waited_for(slept, told):
    RetryPolicy(wait=tenacity.wait_fixed(1)).call(Flaky(asking(told)))
    assert slept == [1]


def test_a_policy_is_a_value_that_travels():
    policy = RetryPolicy(attempts=5, wait=tenacity.wait_fixed(0), fatal=(KeyError,), deadline=9)
    with pytest.raises(OSError, match="x"):
        policy.call(Flaky(*[OSError("x")] * 9))
    other = pickle.loads(pickle.dumps(policy))
    assert (other.attempts, other.fatal, other.deadline) == (5, (KeyError,), 9)
    flaky = Flaky(*[OSError("x")] * 9)
    with pytest.raises(OSError, match="x"):
        other.call(flaky)
    assert flaky.calls == 5
    with pytest.raises(AttributeError):
        policy.attempts = 3
    assert RetryPolicy(attempts=2) == RetryPolicy(attempts=2)


def test_decoration_keeps_what_a_function_is():
    @RetryPolicy()
    def f(x: int) -> int:
        """Doc."""
        return x

    @RetryPolicy()
    async def g(x):
        return x

    assert (f.__name__, f.__doc__, f.__wrapped__(3)) == ("f", "Doc.", 3)
    assert asyncio.iscoroutinefunction(g)
    assert asyncio.run(g(4)) == 4


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"attempts": 0}, ValueError),
        ({"attempts": "3"}, TypeError),
        ({"attempts": True}, TypeError),
        ({"wait": 3}, TypeError),
        ({"retry_on": "OSError"}, TypeError),
        ({"retry_on": (OSError, 5)}, TypeError),
        ({"fatal": ["x"]}, TypeError),
        ({"deadline": 0}, ValueError),
    ],
)
def test_bad_settings_are_refused_at_once(wrong, error):
    with pytest.raises(error, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_only_functions_are_decorated():
    for thing in (5, Flaky):
        with pytest.raises(TypeError, match="decorates functions"):
            RetryPolicy()(thing)


def test_tenacity_is_imported_when_needed_only():
    code = """
import sys
from persidict_dask import RetryPolicy
assert RetryPolicy().call(lambda x: x, 5) == 5
assert "tenacity" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_attempt_after_the_first_is_counted_as_a_retry(slept):
    name = "a function that is counted"

    def f():
        raise OSError("down")

    f.__qualname__ = name
    with pytest.raises(OSError, match="down"):
        RetryPolicy(attempts=4).call(f)
    (counted,) = (stats for each, stats in process_stats().items() if each.endswith(name))
    assert (counted.attempts, counted.retries) == (4, 3)
