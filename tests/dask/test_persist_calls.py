"""Plain calls of persisted functions: what is one call, what is stored, what is returned."""

from __future__ import annotations

import functools
import inspect
import threading
import uuid

import numpy as np
import pandas as pd
import pytest
from dask.base import tokenize

from persidict import (
    DELETE_CURRENT,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    VALUE_NOT_RETRIEVED,
    DamagedItemError,
    FileDirDict,
    LocalDict,
    MutationPolicyError,
)
from persidict_dask import UnstableKeyError, open_store, persist, process_stats

# --- what is the same call -----------------------------------------------------------------------


def test_a_second_call_finds_the_result(store, runs):
    @persist(store)
    def double(x):
        runs.append(x)
        return [2 * x]

    assert (double(2), double(2), double(3)) == ([4], [4], [6])
    assert runs == [2, 3]


def test_the_item_under_the_key_is_the_result(store):
    @persist(store)
    def double(x):
        return {"result": 2 * x}

    double(2)
    assert store[double.key_of(2)] == {"result": 4}
    assert list(store) == [double.key_of(2)]


def test_the_key_is_the_name_and_hex_digests(store):
    @persist(store, name="double")
    def double(x):
        return 2 * x

    name, *digests = double.key_of(2)
    assert name == "double"
    assert digests
    assert all(int(part, 16) >= 0 for part in digests)


SPELLINGS = [
    lambda f: f.key_of(1, 2, c=3),
    lambda f: f.key_of(1, b=2, c=3),
    lambda f: f.key_of(c=3, b=2, a=1),
    lambda f: f.key_of(1, c=3),
    lambda f: f.key_of(1, c=3, d=4),
    lambda f: f.key_of(1, 2, d=4, c=3),
]


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_every_spelling_of_a_call_has_the_same_key(store, spelled):
    """Positions, keywords, their order and defaults do not matter."""

    @persist(store)
    def f(a, b=2, *args, c, d=4, **more):
        return a

    assert spelled(f) == f.key_of(1, 2, c=3, d=4)


OTHER_CALLS = [
    ((1, 2), {"c": 4}),
    ((1, 3), {"c": 3}),
    ((2, 1), {"c": 3}),
    ((1, 2, 5), {"c": 3}),
    ((1, 2, 5, 6), {"c": 3}),
    ((1, 2, (5, 6)), {"c": 3}),
    ((1, 2), {"c": 3, "x": 5}),
    ((1, 2), {"c": 3, "y": 5}),
    ((1, 2), {"c": 3, "more": {"x": 5}}),
    ((1, 2), {"c": 3, "args": (5,)}),
    ((True, 2), {"c": 3}),
    ((1.0, 2), {"c": 3}),
    (("1", 2), {"c": 3}),
    ((b"1", 2), {"c": 3}),
    ((None, 2), {"c": 3}),
    (([1], 2), {"c": 3}),
    (((1,), 2), {"c": 3}),
]


def test_different_calls_have_different_keys(store):
    @persist(store)
    def f(a, b=2, *args, c, **more):
        return a

    keys = {f.key_of(*args, **kwargs) for args, kwargs in [((1, 2), {"c": 3}), *OTHER_CALLS]}
    assert len(keys) == len(OTHER_CALLS) + 1


def test_positional_only_arguments(store):
    @persist(store)
    def f(a, /, **more):
        return a, more

    assert f(1, a=2) == (1, {"a": 2})
    assert f.key_of(1, a=2) != f.key_of(2, a=1)


def test_a_wrong_call_is_a_type_error_and_runs_nothing(store, runs):
    @persist(store)
    def f(a):
        runs.append(a)

    for wrong in (lambda: f(), lambda: f(1, 2), lambda: f(b=1), lambda: f.key_of()):
        with pytest.raises(TypeError):
            wrong()
    assert (runs, len(store)) == ([], 0)


ARRAYS = [
    np.arange(9.0).reshape(3, 3),
    np.arange(9.0).reshape(3, 3).T,
    np.arange(9.0).reshape(3, 3).astype("f4"),
    np.arange(9.0),
    np.array(["a-b", "c"], dtype=object),
    np.array(["a", "b-c"], dtype=object),
    pd.Series([1, 2]),
    pd.Series([1, 2], name="x"),
    pd.Series([1, 2], index=[1, 2]),
    pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    pd.DataFrame({"b": ["x", None], "a": [1, 2]}),
    pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),
]


def test_arrays_and_frames_count_by_content(store):
    @persist(store)
    def f(data):
        return data

    keys = [f.key_of(data) for data in ARRAYS]
    assert keys == [f.key_of(data.copy(order="K") if isinstance(data, np.ndarray) else data.copy())
                    for data in ARRAYS]  # fmt: skip
    assert len(set(keys)) == len(ARRAYS)


def test_an_array_changed_in_place_is_another_argument(store, runs):
    @persist(store)
    def total(data):
        runs.append(len(data))
        return data.sum()

    data = np.arange(4)
    first = total(data)
    data[0] = 10
    assert (first, total(data), len(runs)) == (6, 16, 2)


def test_an_argument_that_the_function_changes_is_keyed_as_it_came(store, runs):
    @persist(store)
    def drain(items):
        runs.append(1)
        return [items.pop() for _ in range(len(items))]

    assert drain([1, 2]) == drain([1, 2]) == [2, 1]
    assert len(runs) == 1


@pytest.mark.parametrize("data", ARRAYS, ids=lambda data: type(data).__name__)
def test_arrays_and_frames_come_back_equal(store, data):
    @persist(store)
    def f(at):
        return data

    f(1)
    found = f(1)
    assert type(found) is type(data)
    if isinstance(data, np.ndarray):
        np.testing.assert_array_equal(found, data, strict=True)
    else:
        pd.testing.assert_index_equal(found.index, data.index)
        assert found.equals(data)


# --- results -------------------------------------------------------------------------------------

ODD_RESULTS = {
    "none": None,
    "false": False,
    "zero": 0,
    "empty": "",
    "not available": ITEM_NOT_AVAILABLE,
    "not retrieved": VALUE_NOT_RETRIEVED,
    "keep": KEEP_CURRENT,
    "delete": DELETE_CURRENT,
}


@pytest.mark.parametrize("kind", ["pkl", "json", "memory"])
@pytest.mark.parametrize("name", ODD_RESULTS)
def test_jokers_sentinels_and_false_values_are_results(tmp_path, runs, name, kind):
    """The item is the very value, after a call and after a refresh, and is a hit."""
    store = LocalDict() if kind == "memory" else open_store(tmp_path, serialization_format=kind)

    @persist(store)
    def result_of(which):
        runs.append(which)
        return ODD_RESULTS[which]

    wanted = ODD_RESULTS[name]
    assert result_of(name) is wanted or result_of(name) == wanted
    for _ in range(2):
        assert store[result_of.key_of(name)] == wanted
        assert type(result_of(name)) is type(wanted)
        assert result_of(name) == wanted
        assert result_of.is_cached(name)
        result_of.refresh(name)
    assert runs == [name] * 3


def test_an_exception_that_is_returned_is_a_result(store, runs):
    @persist(store)
    def f(x):
        runs.append(x)
        return ValueError(x)

    assert f(1).args == f(1).args == (1,)
    assert runs == [1]


def generator():
    return (i for i in range(3))


class Stubborn:
    def __reduce__(self):
        raise ValueError("will not be pickled")


def deep():
    return functools.reduce(lambda inner, _: [inner], range(100_000), [])


UNSTORABLE = {
    "generator": generator,
    "lock": threading.Lock,
    "file": lambda: open(__file__),  # noqa: SIM115 - the test closes it
    "lambda": lambda: lambda: 1,
    "stubborn": Stubborn,
    "deep": deep,
}


@pytest.mark.parametrize("way", ["call", "refresh"])
@pytest.mark.parametrize("kind", UNSTORABLE)
def test_a_result_that_cannot_be_stored_is_a_type_error(store, tmp_path, kind, way):
    """It names the function, and leaves nothing behind: no result, no note, no temporary file."""
    made = []

    @persist(store, name="makes_it", ignore=["made"], version="1")
    def make(kind, made):
        made.append(UNSTORABLE[kind]())
        return made[-1]

    with pytest.raises(TypeError, match="makes_it"):
        (make if way == "call" else make.refresh)(kind, made)
    if kind == "file":
        made[0].close()
    assert not make.is_cached(kind, made)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_unstorable_result_in_memory_is_a_type_error():
    memory = LocalDict()

    @persist(memory, name="makes_it")
    def make(x):
        return generator()

    with pytest.raises(TypeError, match="makes_it"):
        make(1)
    assert len(memory) == 0


ERRORS = [
    ValueError("v"),
    KeyError("a miss? no"),
    TypeError("cannot pickle this"),
    AttributeError("a"),
    DamagedItemError("d", backend="x", operation="read"),
    MutationPolicyError("append-only"),
    KeyboardInterrupt(),
    SystemExit(3),
    StopIteration(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exceptions_propagate_unchanged_and_are_not_stored(store, runs, error):
    @persist(store)
    def fails(x):
        runs.append(x)
        raise raised[0]

    raised, errors_before = NoContent(error), fails.stats().errors
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            fails(1)
        assert caught.value is error
        assert caught.value.__cause__ is None
        assert not fails.is_cached(1)
    assert (runs, len(store)) == ([1, 1], 0)
    assert fails.stats().errors == errors_before + 2


class NoContent(tuple):
    """Something that a function closes over and that belongs to no key."""

    def __new__(cls, *items):
        return super().__new__(cls, items)

    def __persist_token__(self):
        return "anything"


def test_an_error_while_refreshing_keeps_the_old_result(store, runs):
    @persist(store)
    def f(x):
        runs.append(x)
        if len(runs) > 1:
            raise ValueError
        return "first"

    f(1)
    with pytest.raises(ValueError):
        f.refresh(1)
    assert f(1) == "first"


def test_the_first_result_wins(store, runs):
    """Another writer between computing and inserting: everybody gets what that one stored."""

    @persist(store)
    def f(x):
        runs.append(x)
        store[f.key_of(x)] = "the other's"
        return "mine"

    assert f(1) == f(1) == "the other's"
    assert runs == [1]


@pytest.mark.parametrize("first", [None, False, ITEM_NOT_AVAILABLE, VALUE_NOT_RETRIEVED])
def test_an_odd_first_result_wins_too(store, first):
    @persist(store, name="f", version="1")
    def f(x):
        store[f.key_of(x)] = first
        return "mine"

    assert f(1) is first
    assert f(1) is first


def test_a_result_that_vanishes_meanwhile_costs_nothing(store):
    """Another process forgets between computing and inserting, again and again."""

    @persist(store)
    def f(x):
        f.forget(x)
        return x

    assert f(1) == 1
    assert f.is_cached(1)


# --- keys that would not be stable ---------------------------------------------------------------


class Unknown:
    """Nothing tells two of them apart but their identity."""

    def __init__(self):
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (threading.Lock(), "x"),
        ({"callback": Unknown()}, "x['callback'].lock"),
        ([1, [object()]], "x[1][0]"),
        (generator(), "x"),
    ],
    ids=["lock", "nested", "object", "generator"],
)
def test_an_unstable_argument_is_refused_by_path(store, runs, argument, path):
    """Nothing is run or stored."""

    @persist(store)
    def f(x):
        runs.append(x)

    for ask in (f, f.key_of, f.is_cached, f.refresh, f.forget):
        with pytest.raises(UnstableKeyError) as caught:
            ask(argument)
        assert caught.value.path == path
        assert path in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert (runs, len(store)) == ([], 0)


def test_an_ignored_argument_may_be_unstable(store, runs):
    @persist(store, ignore="lock")
    def f(x, lock):
        runs.append(x)
        return x

    assert f(1, threading.Lock()) == f(1, lock=threading.Lock()) == 1
    assert runs == [1]


IDENTITY = object()


def test_unstable_code_is_refused_by_name(store, runs):
    @persist(store)
    def f(x):
        runs.append(x)
        return IDENTITY

    with pytest.raises(UnstableKeyError, match="IDENTITY"):
        f(1)
    assert (runs, len(store)) == ([], 0)


def test_a_version_stands_for_code_that_is_not_stable(store, runs):
    @persist(store, version="1")
    def f(x):
        runs.append(x)
        return IDENTITY is None

    assert f(1) is f(1) is False
    assert runs == [1]


# --- settings ------------------------------------------------------------------------------------


def test_ignored_arguments_do_not_enter_the_key(store):
    @persist(store, ignore=["verbose", "more"])
    def f(x, verbose=False, **more):
        return x

    keys = {f.key_of(1), f.key_of(1, True), f.key_of(1, verbose=2), f.key_of(1, z=3)}
    assert len(keys) == 1
    assert f.key_of(2) not in keys


@pytest.mark.parametrize("ignore", ["unknown", ["x", "unknown"], [""]])
def test_unknown_names_to_ignore_are_refused_at_decoration(store, ignore):
    with pytest.raises(ValueError, match="ignore"):
        persist(store, ignore=ignore)(lambda x: x)


def test_the_same_version_keeps_results_of_other_code(store):
    first = persist(store, name="f", version="1")(lambda x: x + 1)
    other = persist(store, name="f", version="1")(lambda x: x + 2)
    newer = persist(store, name="f", version="2")(lambda x: x + 2)
    assert (first(1), other(1), newer(1)) == (2, 2, 3)


def test_without_a_version_other_code_is_another_call(store):
    first = persist(store, name="f")(lambda x: x + 1)
    same = persist(store, name="f")(lambda x: x + 1)
    other = persist(store, name="f")(lambda x: x + 2)
    assert first.key_of(1) == same.key_of(1) != other.key_of(1)


NAMES = ["f", "f.g", "f/g", "f_g", "f g", "ф", "x", "..", ".", "a" * 120, "a" * 121, "a" * 300,
         "a" * 299 + "b", "F", "<lambda>"]  # fmt: skip


def test_any_text_is_a_name_and_different_names_stay_different(store):
    persisted = [persist(store, name=name)(lambda x, name=name: name) for name in NAMES]
    assert len({f.key_of(1)[0] for f in persisted}) == len(NAMES)
    assert [f(1) for f in persisted] == [f(1) for f in persisted] == NAMES


def test_the_default_name_is_module_and_qualified_name(store):
    def f(x):
        return x

    other = persist(store)(lambda x: x)
    assert persist(store)(f).key_of(1)[0] != other.key_of(1)[0]
    assert persist(store)(inspect.cleandoc).key_of("")[0] == "inspect.cleandoc"


def test_a_name_that_is_no_text_is_refused(store):
    with pytest.raises(TypeError, match="name"):
        persist(store, name=5)(lambda x: x)


def test_a_stored_value_that_fails_validation_is_computed_again(store, runs):
    @persist(store, validate=lambda value: value > 0)
    def f(x):
        runs.append(x)
        return x

    store[f.key_of(3)] = -1
    assert (f(3), f(3), store[f.key_of(3)]) == (3, 3, 3)
    assert runs == [3]


def test_the_validator_is_no_part_of_the_key(store):
    keys = {
        persist(store, name="f", validate=validate)(str.upper).key_of("x")
        for validate in (None, bool, lambda value: value != "X")
    }
    assert len(keys) == 1


def test_disabled_is_the_plain_function(tmp_path, runs):
    """It runs each time, and touches no store; arguments and code may be anything."""

    @persist(tmp_path / "never", enabled=False)
    def f(x, y=IDENTITY):
        runs.append(x)
        return IDENTITY

    assert f(1) is f(1) is IDENTITY
    f(threading.Lock())
    assert len(runs) == 3
    assert not (tmp_path / "never").exists()


# --- misuse --------------------------------------------------------------------------------------


async def coroutine(x):
    return x


async def async_generator(x):
    yield x


def generating(x):
    yield x


@pytest.mark.parametrize(
    "wrong",
    [
        coroutine,
        async_generator,
        generating,
        functools.partial(generator),
        classmethod(generator),
        Unknown,
        5,
        None,
        "f",
    ],
    ids=lambda wrong: getattr(wrong, "__name__", repr(wrong)),
)
def test_what_is_no_plain_function_is_refused_at_decoration(store, wrong):
    with pytest.raises(TypeError):
        persist(store)(wrong)


@pytest.mark.parametrize("kind", ["coroutine", "async_generator", "generating"])
def test_the_refusal_names_the_function(store, kind):
    with pytest.raises(TypeError, match=kind):
        persist(store)(globals()[kind])


@pytest.mark.parametrize("wrong", [None, 5, {}, dict, FileDirDict, lambda x: x])
def test_persist_without_a_store_is_explained(wrong):
    with pytest.raises(TypeError, match=r"@persist\(store\)"):
        persist(wrong)


def test_persisting_twice_is_refused(store):
    f = persist(store)(lambda x: x)
    with pytest.raises(TypeError, match="already"):
        persist(store)(f)


def test_unknown_settings_are_refused(store):
    with pytest.raises(TypeError, match="nonsense"):
        persist(store, nonsense=1)


# --- being a function ----------------------------------------------------------------------------


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


def test_functions_without_a_signature_are_refused_by_name(store):
    with pytest.raises(ValueError, match="max"):
        persist(store)(max)


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


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
def test_persist_above_staticmethod_is_refused_with_advice(store, kind):
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


# --- threads, statistics, errors of the store ----------------------------------------------------


def test_threads_that_call_at_the_same_time_get_the_same_result(store):
    """Eight threads: whatever was inserted first is what all of them return."""

    @persist(store)
    def draw(x):
        return uuid.uuid4().hex

    start, results = threading.Barrier(8), []

    def work():
        start.wait()
        results.extend(draw(x) for x in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40
    assert set(results) == {store[draw.key_of(x)] for x in range(5)}
    assert draw.stats().hits + draw.stats().misses == 40


def test_statistics_count_hits_misses_and_errors(store):
    @persist(store, name=f"counted{uuid.uuid4().hex}")
    def f(x):
        if x < 0:
            raise ValueError
        return x

    assert (f.stats().hits, f.stats().misses, f.stats().errors) == (0, 0, 0)
    for x in (1, 1, 2, 1):
        f(x)
    with pytest.raises(ValueError):
        f(-1)
    before = f.stats()
    f.refresh(1)
    f.is_cached(1)
    f.key_of(5)
    stats = f.stats()
    assert (before.hits, before.misses, before.errors) == (2, 2, 1)
    assert (stats.hits, stats.misses, stats.errors) == (2, 3, 1)
    assert stats.seconds_computing > 0
    assert stats.seconds_loading > 0
    assert process_stats()[f.key_of(1)[0]] == stats
    assert (stats + before).hits == 4
    assert "<td>3</td>" in stats._repr_html_()


class FullDict(FileDirDict):
    """A folder on which nothing more can be written."""

    error = OSError(28, "No space left on device")

    def _write(self, key, value, guard):
        raise self.error


def test_a_store_that_cannot_be_written_raises_its_own_error(tmp_path, runs):
    @persist(FullDict(base_dir=str(tmp_path)))
    def f(x):
        runs.append(x)
        return x

    for ask in (f, f.refresh):
        with pytest.raises(OSError) as caught:
            ask(1)
        assert caught.value is FullDict.error
    assert runs == [1, 1]


def test_a_folder_that_cannot_be_made_raises_its_own_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Exception) as plain:
        open_store(tmp_path / "file" / "below")
    f = persist(tmp_path / "file" / "below")(lambda x: x)
    with pytest.raises(type(plain.value), match=str(tmp_path)):
        f(1)
