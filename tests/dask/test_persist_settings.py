"""Settings of `persist`, and uses of it that are refused."""

from __future__ import annotations

import functools
import inspect
import operator
import threading

import numpy as np
import pytest

from persidict import (
    FileDirDict,
)
from persidict_dask import persist
from tests.ids import stable

IDENTITY = object()


def generator():
    return (i for i in range(3))


class Unknown:
    """Nothing tells two of them apart but their identity."""

    def __init__(self):
        self.lock = threading.Lock()


# --- settings -------------------------------------------------------------------------------------


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


# --- misuse ---------------------------------------------------------------------------------------


async def async_generator(x):
    yield x


def generating(x):
    yield x


def test_x5_callables_of_every_kind_are_persisted(store):
    """What can be called can be persisted; each has hits, and no two share results."""
    twice = np.vectorize(lambda x: 2 * x)
    kinds = {
        "built-in": (max, (1, 2)),
        "no signature": (min, (1, 2)),
        "of a library": (np.mean, ([1, 2],)),
        "ufunc": (np.add, (1, 2)),
        "partial": (functools.partial(pow, 2), (3,)),
        "another partial": (functools.partial(pow, 3), (3,)),
        "vectorized": (twice, ([1, 2],)),
        "cached": (functools.lru_cache(lambda x: x + 5), (1,)),
        "object": (operator.itemgetter(1), ("ab",)),
        "another object": (operator.itemgetter(0), ("ab",)),
        "bound method": ("a-b".split, ("-",)),
    }
    keys = set()
    for kind, (function, args) in kinds.items():
        f = persist(store)(function)
        before = f.stats().hits
        assert str(f(*args)) == str(f(*args)) == str(function(*args)), kind
        assert f.stats().hits > before, kind
        keys.add(f.key_of(*args))
    assert len(keys) == len(kinds)


@pytest.mark.parametrize(
    "wrong",
    [
        async_generator,
        generating,
        functools.partial(generating),
        classmethod(generator),
        Unknown,
        5,
        None,
        "f",
    ],
    ids=lambda wrong: getattr(wrong, "__name__", stable(wrong)),
)
def test_what_is_no_plain_function_is_refused_at_decoration(store, wrong):
    with pytest.raises(TypeError):
        persist(store)(wrong)


@pytest.mark.parametrize("kind", ["async_generator", "generating"])
def test_the_refusal_names_the_function(store, kind):
    with pytest.raises(TypeError, match=kind):
        persist(store)(globals()[kind])


@pytest.mark.parametrize("wrong", [None, 5, {}, dict, FileDirDict, lambda x: x])
def test_persist_without_a_store_is_explained(wrong):
    with pytest.raises(TypeError, match=r"use @persist\("):
        persist(wrong)


def test_persisting_twice_is_refused(store):
    f = persist(store)(lambda x: x)
    with pytest.raises(TypeError, match="already"):
        persist(store)(f)


def test_unknown_settings_are_refused(store):
    with pytest.raises(TypeError, match="nonsense"):
        persist(store, nonsense=1)
