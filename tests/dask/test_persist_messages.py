"""What users read: names as they are written, and tracebacks that begin in their own code."""

from __future__ import annotations

import asyncio
import traceback

import cloudpickle
import pytest
from tenacity import wait_none

from persidict import LocalDict
from persidict_dask import UnstableKeyError, _arguments, persist
from persidict_dask.retries import RetryPolicy
from persidict_dask.retries._subject import Subject

HERE = __file__


def outer(store, **options):
    @persist(store, **options)
    def f(x):
        x.append(1)
        return (each for each in x) if len(x) > 2 else x

    return f


NAMES = {
    "outer.<locals>.f": {},
    "läuft: gut!": {"name": "läuft: gut!"},
    "plain": {"name": "plain"},
    "long " * 50: {"name": "long " * 50},
}


def messages(f):
    """Yield what is said in warnings and errors about a function."""
    with pytest.warns(RuntimeWarning, match="has changed its argument") as caught:
        f([1])
    yield str(caught[0].message)
    with pytest.raises(TypeError, match="cannot be stored") as raised:
        f([1, 2])
    yield str(raised.value)
    with pytest.raises(KeyError) as missing:
        f.provenance([5])
    yield str(missing.value)
    yield repr(f)
    yield repr(f.forget_all())


@pytest.mark.parametrize("name", NAMES)
def test_messages_have_the_name_as_it_is_written(monkeypatch, name):
    """Keys and counts have the name in the store."""
    monkeypatch.setattr(_arguments, "_said", set())
    f = outer(LocalDict(), **NAMES[name])
    in_store = f.key_of([1])[0]
    is_the_same = in_store == name
    for said in messages(f):
        assert name in said
        assert is_the_same or in_store not in said


@pytest.mark.parametrize("name", NAMES)
def test_the_name_travels(tmp_path, name):
    f = outer(str(tmp_path), **NAMES[name])
    there = cloudpickle.loads(cloudpickle.dumps(f))
    with pytest.raises(KeyError) as raised:
        there.provenance([0])
    assert name in str(raised.value)
    assert there.key_of([0]) == f.key_of([0])


def test_only_a_name_that_the_store_cannot_have_travels_twice():
    assert outer(LocalDict(), name="plain")._options.given == ""
    assert outer(LocalDict())._options.given == ""


def test_attempts_have_the_name_too():
    f = outer(LocalDict())
    assert "outer.<locals>.f(x=" in str(f._subject(f._call(([1],), {})))
    assert str(Subject.of(outer, (1,), {})).endswith(".outer(store=int 1)")


# --- tracebacks -----------------------------------------------------------------------------------


def failing(x):
    raise ValueError(x) from LookupError("the cause")


def failing_functions():
    @persist(LocalDict())
    def f(x):
        return failing(x)

    @persist(LocalDict(), single_flight=False)
    def alone(x):
        return failing(x)

    @persist(LocalDict(), retry=RetryPolicy(attempts=2, wait=wait_none(), retry_on=ValueError))
    def retried(x):
        return failing(x)

    @persist(LocalDict())
    async def awaited(x):
        await asyncio.sleep(0)
        return failing(x)

    @persist(LocalDict())
    def nested(x):
        return f(x)

    return f, alone, retried, lambda x: asyncio.run(awaited(x)), nested


def frames(error):
    return [(each.filename, each.name) for each in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize("n", range(5))
def test_a_traceback_shows_the_code_of_the_user(n):
    f = failing_functions()[n]
    with pytest.raises(ValueError, match="7") as raised:
        f(7)
    shown = frames(raised.value)
    assert shown[-1] == (HERE, "failing")
    ours = [file for file, _ in shown if "persidict_dask" in file and file != HERE]
    assert len(ours) == (2 if n == 4 else 1)
    assert repr(raised.value.__cause__) == "LookupError('the cause')"


def test_the_errors_of_the_package_have_all_frames():
    @persist(LocalDict())
    def f(x):
        return (each for each in x)

    with pytest.raises(TypeError, match="cannot be stored") as raised:
        f([1])
    assert frames(raised.value)[-1][1] == "_inserted"
    with pytest.raises(UnstableKeyError) as unstable:
        f(object())
    assert len(frames(unstable.value)) > 3


def test_a_context_stays():
    @persist(LocalDict())
    def f(x):
        try:
            return {}["first"]
        except KeyError:
            failing_without_cause(x)

    with pytest.raises(ValueError) as raised:
        f(7)
    assert repr(raised.value.__context__) == "KeyError('first')"
    assert [name for _, name in frames(raised.value)[-2:]] == ["f", "failing_without_cause"]


def failing_without_cause(x):
    raise ValueError(x)
