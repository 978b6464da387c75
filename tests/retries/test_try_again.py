"""tenacity.TryAgain: a function asks for another attempt itself."""

from __future__ import annotations

import asyncio

import pytest
import tenacity

from persidict_dask import CircuitBreaker, RetryBudget, RetryPolicy, persist

FAST = {"attempts": 3, "wait": tenacity.wait_none()}


class Asking:
    """Asks for another attempt so many times."""

    def __init__(self, times, cause=None):
        self.times = times
        self.cause = cause
        self.calls = 0

    def __call__(self, x=7):
        self.calls += 1
        if self.calls <= self.times:
            raise tenacity.TryAgain from self.cause
        return x

    async def later(self, x=7):
        return self(x)


def call(policy, f):
    return policy.call(f)


def decorated(policy, f):
    return policy(lambda x: f(x))(7)


def call_async(policy, f):
    return asyncio.run(policy.call_async(f.later))


HOW = pytest.mark.parametrize("how", [call, decorated, call_async])


@HOW
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"retry_on": ConnectionError},
        {"fatal": Exception},
        {"retry_on": tenacity.retry_if_exception_type(KeyError)},
        {"retry_on": tenacity.retry_never},
        {"attempts": tenacity.stop_after_attempt(3)},
    ],
)
def test_d8_it_is_tried_again_whatever_the_lists_say(how, settings):
    f = Asking(2)
    assert how(RetryPolicy(**FAST | settings), f) == 7
    assert f.calls == 3


@HOW
def test_d8_it_counts_as_an_attempt_and_is_raised_in_the_end(how):
    f = Asking(9)
    with pytest.raises(tenacity.TryAgain) as caught:
        how(RetryPolicy(**FAST), f)
    assert f.calls == 3
    assert "after 3 attempts" in caught.value.__notes__[0]
    with pytest.raises(tenacity.TryAgain):
        how(RetryPolicy(attempts=1), f)
    assert f.calls == 4


@HOW
def test_d8_what_it_was_raised_for_is_raised_in_the_end(how):
    """As tenacity does with `reraise`."""
    f = Asking(9, cause=KeyError("not yet"))
    with pytest.raises(KeyError, match="not yet") as caught:
        how(RetryPolicy(**FAST), f)
    assert "after 3 attempts" in caught.value.__notes__[0]
    with pytest.raises(KeyError, match="not yet"):
        RetryPolicy(**FAST).tenacity()(Asking(9, cause=KeyError("not yet")))


def test_d8_within_the_handling_of_an_error():
    def handling():
        try:
            int("half a page")
        except ValueError:
            raise tenacity.TryAgain  # noqa: B904

    with pytest.raises(ValueError, match="half a page"):
        RetryPolicy(**FAST).call(handling)


def test_d8_attempts_that_are_written_down_and_persisted_functions(tmp_path):
    log = tmp_path / "log"

    def asking(x):
        with log.open("a") as lines:
            lines.write(x)
        if log.read_text().count(x) < 3:
            raise tenacity.TryAgain
        return x

    durable = RetryPolicy(**FAST, state=str(tmp_path / "state"))
    assert durable.call(asking, "a") == "a"
    assert durable(asking)("b") == "b"
    assert persist(str(tmp_path / "cache"), retry=durable)(asking)("c") == "c"
    assert persist(str(tmp_path / "cache"), retry=RetryPolicy(**FAST))(asking)("d") == "d"
    assert log.read_text() == "aaabbbcccddd"


def test_d8_budgets_and_deadlines_end_it(tmp_path):
    budget = RetryBudget(str(tmp_path), ratio=0, floor_per_s=0)
    f = Asking(9)
    with pytest.raises(tenacity.TryAgain) as caught:
        RetryPolicy(**FAST, budget=budget).call(f)
    assert "budget" in caught.value.__notes__[0]
    with pytest.raises(tenacity.TryAgain) as caught:
        RetryPolicy(attempts=9, wait=tenacity.wait_fixed(60), deadline=1).call(f)
    assert "deadline" in caught.value.__notes__[0]
    assert f.calls == 2


def test_d8_it_counts_as_a_failure_of_the_service(tmp_path):
    breaker = CircuitBreaker(str(tmp_path), "b", failures=2)
    with pytest.raises(tenacity.TryAgain):
        RetryPolicy(attempts=2, wait=tenacity.wait_none(), breaker=breaker).call(Asking(9))
    assert breaker.state == "open"


class Inner:
    """A function that has a policy of tenacity itself."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        stop = tenacity.stop_after_attempt(2)
        return tenacity.Retrying(stop=stop, wait=tenacity.wait_none())(self.failing)

    def failing(self):
        raise ConnectionError("down")


def test_d8_what_a_policy_of_tenacity_gives_up_is_an_error_like_others(tmp_path):
    """It says that enough attempts were made; it is tried again by whom it is listed."""
    for settings in ({}, {"state": str(tmp_path)}):
        inner = Inner()
        with pytest.raises(tenacity.RetryError):
            RetryPolicy(**FAST, **settings).call(inner.__call__)
        assert inner.calls == 1
        with pytest.raises(tenacity.RetryError):
            RetryPolicy(**FAST, retry_on=tenacity.RetryError).call(inner)
        assert inner.calls == 4


def test_d8_a_group_of_errors_is_an_error_like_others():
    f = Asking(0)

    def grouped():
        f.calls += 1
        raise ExceptionGroup("two", [tenacity.TryAgain(), ConnectionError()])

    with pytest.raises(ExceptionGroup):
        RetryPolicy(**FAST).call(grouped)
    assert f.calls == 1
    with pytest.raises(ExceptionGroup):
        RetryPolicy(**FAST, retry_on=ExceptionGroup).call(grouped)
    assert f.calls == 4


@pytest.mark.parametrize("what", ["attempts", "wait", "retry_on"])
def test_d8_a_policy_of_tenacity_is_no_part_of_one(what):
    for given in (tenacity.Retrying(), tenacity.AsyncRetrying()):
        with pytest.raises(TypeError, match=what):
            RetryPolicy(**{what: given})
