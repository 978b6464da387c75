"""Which calls of a persisted function are the same, and which have no key."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import pytest

from persidict_dask import UnstableKeyError, persist

# --- what is the same call ------------------------------------------------------------------------


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


def generator():
    return (i for i in range(3))


# --- keys that would not be stable ----------------------------------------------------------------


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
        assert str(caught.value).startswith(f"{__name__}.{f.__qualname__}: {path}: ")
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
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
STREAM = (n for n in range(3))


def test_unstable_code_is_refused_by_name(store, runs):
    @persist(store)
    def f(x):
        runs.append(x)
        return STREAM

    with pytest.raises(UnstableKeyError, match=r"\.f: .*STREAM: "):
        f(1)
    assert (runs, len(store)) == ([], 0)


def test_a_version_stands_for_code_that_is_not_stable(store, runs):
    @persist(store, version="1")
    def f(x):
        runs.append(x)
        return IDENTITY is None

    assert f(1) is f(1) is False
    assert runs == [1]
