"""A persisted function is a function: names, signatures, methods, recursion."""

from __future__ import annotations

import functools
import inspect
import threading

import pytest
from dask.base import tokenize

from persidict_dask import persist
from tests.ids import stable


def generator():
    return (i for i in range(3))


class Unknown:
    """Nothing tells two of them apart but their identity."""

    def __init__(self):
        self.lock = threading.Lock()


# --- being a function -----------------------------------------------------------------------------


def test_it_looks_like_the_function(store):
    def f(a: int, b: str = "x") -> list[int]:
        """Do it."""
        return [a]

    f.mark = "kept"
    made = persist(store)(f)
    assert (made.__name__, made.__qualname__, made.__doc__) == (
        f.__name__,
        f.__qualname__,
        "Do it.",
    )
    assert made.__wrapped__ is f
    assert made.mark == "kept"
    assert inspect.signature(made) == inspect.signature(f)
    assert inspect.unwrap(made) is f
    assert callable(made)
    assert f.__name__ in repr(made)
    assert made.store is store


def test_a_decorator_below_that_supplies_an_argument(store, runs):
    """What is bound is what is called, not what `functools.wraps` shows."""

    def with_connection(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return function("connection", *args, **kwargs)

        return inner

    @persist(store)
    @with_connection
    def query(connection, x):
        runs.append(x)
        return connection, x

    assert query(3) == query(3) == ("connection", 3)
    assert runs == [3]


def test_a_decorator_below_never_makes_different_calls_equal(store):
    """Defaults of the function that `functools.wraps` shows are not those of the wrapper."""

    def shifted(function):
        @functools.wraps(function)
        def inner(*args, **kwargs):
            return function("connection", *args, **kwargs)

        return inner

    def from_ten(function):
        @functools.wraps(function)
        def inner(x=10):
            return function(x)

        return inner

    query = persist(store, name="query")(shifted(lambda connection, x=1, y=2: (x, y)))
    start = persist(store, name="start")(from_ten(lambda x=1: x))
    assert [query(3), query(3, 1), query(3, y=1), query(3, 1)] == [(3, 2), (3, 1), (3, 1), (3, 1)]
    assert [start(), start(1), start(10), start()] == [10, 1, 10, 10]


def test_functions_without_a_signature_are_bound_by_position(store):
    largest = persist(store, name="largest")(max)
    assert [largest(1, 2), largest(1, 2), largest(2, 1)] == [2, 2, 2]
    assert largest.stats().hits == 1
    assert largest.key_of(1, 2) != largest.key_of(2, 1)


class Account:
    rate = 2

    def __init__(self, balance):
        self.balance = balance

    @persist("memory:")
    def interest(self, years=1):
        LOG.append((self.balance, years))
        return self.balance * years

    @staticmethod
    @persist("memory:")
    def fee(amount=1):
        LOG.append(amount)
        return amount / 100

    @classmethod
    @persist("memory:")
    def rated(cls, amount=1):
        LOG.append((cls.__name__, amount))
        return cls.rate * amount


class _Log(list):
    def __persist_token__(self):
        return "log"


LOG = _Log()


@pytest.fixture
def log():
    for function in (Account.interest, Account.fee, Account.__dict__["rated"].__func__):
        function.forget_all()
    LOG.clear()
    return LOG


def test_methods_count_their_instance_by_content(log):
    assert Account(10).interest(2) == Account(10).interest(years=2) == 20
    assert Account(20).interest(2) == 40
    assert log == [(10, 2), (20, 2)]


def test_a_bound_method_answers_for_its_instance(log):
    """`key_of` and the like, asked through an instance, mean the call through that instance."""
    account = Account(10)
    account.interest(3)
    assert account.interest.key_of(3) == Account.interest.key_of(account, 3)
    assert account.interest.is_cached(3)
    assert not Account(11).interest.is_cached(3)
    assert account.interest.provenance(3)["arguments"]["years"]["value"].endswith("3")
    assert account.interest.refresh(3) == 30
    assert account.interest.forget(3)
    assert not account.interest.is_cached(3)
    assert len(log) == 2


def test_bound_methods_look_like_bound_methods():
    account = Account(1)
    assert account.interest.__self__ is account
    assert account.interest.__name__ == "interest"
    assert list(inspect.signature(account.interest).parameters) == ["years"]


def test_an_ignored_instance_may_be_anything(runs):
    class Connected(Unknown):
        @persist("memory:", ignore="self")
        def ask(self, question):
            runs.append(question)
            return question

    assert Connected().ask(1) == Connected().ask(1) == 1
    assert tokenize(Connected().ask) == tokenize(Connected().ask)
    assert runs == [1]


def test_static_methods(log):
    assert Account.fee(5) == Account(1).fee(5) == 0.05
    assert Account.fee.is_cached(5)
    assert log == [5]


def test_class_methods_count_their_class(log):
    class Cheap(Account):
        rate = 1

    assert (Account.rated(5), Account(1).rated(5), Cheap.rated(5), Cheap.rated(5)) == (10, 10, 5, 5)
    assert log == [("Account", 5), ("Cheap", 5)]


@pytest.mark.parametrize(
    "kind", [staticmethod, classmethod, property, functools.cached_property], ids=stable
)
def test_persist_above_another_decorator_of_methods_is_refused_with_advice(store, kind):
    with pytest.raises(TypeError, match=f"@{kind.__name__} above @persist"):
        persist(store)(kind(generator))


def test_a_recursive_function_finds_its_own_parts(store, runs):
    @persist(store)
    def fibonacci(n):
        runs.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(20) == 6765
    assert sorted(runs) == list(range(21))


def test_functions_that_call_each_other(store, runs):
    @persist(store)
    def is_even(n):
        runs.append(n)
        return True if n == 0 else is_odd(n - 1)

    @persist(store)
    def is_odd(n):
        runs.append(n)
        return False if n == 0 else is_even(n - 1)

    assert is_even(6)
    assert not is_even(5)
    assert is_even(6)
    assert sorted(runs) == sorted([*range(7), *range(6)])
