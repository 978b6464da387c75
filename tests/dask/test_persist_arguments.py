"""A run that changes its arguments is reported: with a warning, and as a mismatch by `verify`."""

from __future__ import annotations

import asyncio
import math
import uuid
import warnings

import numpy as np
import pandas as pd
import pytest

from persidict_dask import ResultMismatchError, persist


class Box:
    def __init__(self):
        self.items = [1]

    def __persist_token__(self):
        return self.items


def drop_last(x):
    x.pop()


def zero(x):
    x[0] = 0


def add_column(x):
    x["b"] = 1


def nested(x):
    x[1]["k"].append(2)


def inside(x):
    x.items.append(2)


CHANGES = {
    "list": (lambda: [1, 2], drop_last),
    "dict": (lambda: {"a": 1}, lambda x: x.clear()),
    "set": (lambda: {1}, lambda x: x.add(2)),
    "bytearray": (lambda: bytearray(b"ab"), zero),
    "array": (lambda: np.arange(3) + 1, zero),
    "frame": (lambda: pd.DataFrame({"a": [1]}), add_column),
    "in a tuple": (lambda: (1, {"k": [1]}), nested),
    "object": (Box, inside),
}


@pytest.fixture(params=CHANGES)
def change(request):
    return CHANGES[request.param]


def recorded(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
        return [str(w.message) for w in caught if "has changed its argument" in str(w.message)]


def new_name():
    return f"f{uuid.uuid4().hex}"


def test_r5_verify_reports_an_argument_that_is_changed(store, change):
    """Although the result is the same each time."""
    make, alter = change

    @persist(store, name=new_name(), version="1", verify=1.0)
    def f(y, x):
        alter(x)
        return "the same"

    with pytest.warns(RuntimeWarning, match="'x'"):
        f(0, make())
    with pytest.raises(ResultMismatchError, match="argument 'x'") as caught:
        f(0, make())
    assert caught.value.key == f.key_of(0, make())


def test_r5_a_miss_says_once_which_argument_it_has_changed(store, change):
    make, alter = change
    name = new_name()

    @persist(store, name=name, version="1")
    def f(y, x):
        alter(x)
        return y

    told = recorded(lambda: [f(y, make()) for y in (0, 1, 0, 2)])
    assert len(told) == 1
    assert name in told[0]
    assert "'x'" in told[0]
    assert "'y'" not in told[0]


def test_r5_coroutines_and_refresh_and_methods(store):
    """Each of them reports; of a method it is the instance."""

    @persist(store, name=new_name(), version="1", verify=1.0)
    async def f(x):
        x.append(1)

    @persist(store, name=new_name(), version="1")
    def g(x):
        x.append(1)

    class Counter:
        def __init__(self):
            self.calls = 0

        @persist(store, name=new_name(), version="1")
        def count(self, x):
            self.calls += 1

    assert len(recorded(lambda: asyncio.run(f([])))) == 1
    with pytest.raises(ResultMismatchError, match="argument 'x'"):
        asyncio.run(f([]))
    assert len(recorded(lambda: g.refresh([]))) == 1
    [told] = recorded(lambda: Counter().count(1))
    assert "'self'" in told


def test_r5_what_is_not_changed_is_not_reported(store):
    """A run that reads its arguments, sorts a copy, uses an iterator over them."""

    @persist(store, name=new_name(), verify=1.0)
    def f(x, y, *more, by=None, **others):
        return [*sorted(x), y.sum(), len(more), others["z"].mean().iloc[0], next(iter(x))]

    def call():
        return f([2, 1], np.ones(3), {1}, by=drop_last, z=pd.DataFrame({"a": [1]}))

    assert recorded(lambda: [call(), call()]) == []


def test_r5_arguments_that_are_ignored_may_be_changed(store):
    @persist(store, name=new_name(), ignore="log", verify=1.0)
    def f(x, log):
        log.append(x)

    assert recorded(lambda: [f(1, []), f(1, [])]) == []


@pytest.mark.parametrize("wrong", ["no_such_module", ["os", "no_such.module"]])
def test_by_value_names_modules_that_are_there(store, wrong):
    """A name that is misspelt would leave the edits of a library unseen."""
    with pytest.raises(ValueError, match="there is no module 'no_such"):
        persist(store, by_value=wrong)


def test_by_value_takes_names_and_modules(store):
    with pytest.raises(TypeError, match="modules or their names, not 3"):
        persist(store, by_value=3)
    assert persist(store, by_value=[math, "json.decoder"])(abs)(-1) == 1
