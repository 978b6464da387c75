"""What is stored and returned: results, errors, races, counts."""

from __future__ import annotations

import functools
import sys
import threading
import uuid
from dataclasses import replace
from functools import partial

import pytest

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
from persidict_dask import _stats, open_store, persist, process_stats

# --- results --------------------------------------------------------------------------------------

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
    "lambda that holds a lock": lambda: partial(lambda lock: lock, threading.Lock()),
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


class Vanishing(FileDirDict):
    """A folder in which what is in the way of an insertion has gone when it is looked at."""

    times = 1

    def _write(self, key, value, guard):
        if self.times and guard is not None:
            self.times -= 1
            return None
        return super()._write(key, value, guard)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_r10_a_result_is_stored_though_another_was_removed_in_that_moment(tmp_path, runs, times):
    """An insertion that meets an item which is old, or unfit, and which another process removes.

    The run counted as stored, and was not: the next equal call ran too, of whichever function.
    """
    store = Vanishing(base_dir=str(tmp_path))
    store.times = times
    first = persist(store, name="g", version="1", single_flight=False)(lambda x: runs.append(x))
    second = persist(store, name="g", version="1", single_flight=False)(lambda x: runs.append(x))
    first(1)
    assert first.provenance(1)
    second(1)
    assert runs == [1]


def test_r10_what_is_never_stored_has_no_note(tmp_path):
    store = Vanishing(base_dir=str(tmp_path))
    store.times = 1000
    f = persist(store, name="g", version="1", single_flight=False)(lambda x: x)
    assert f(1) == 1
    with pytest.raises(KeyError):
        f.provenance(1)


# --- threads, statistics, errors of the store -----------------------------------------------------


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


def test_seconds_saved_are_known_from_notes(store):
    """In a process that has computed nothing itself."""
    name = f"counted{uuid.uuid4().hex}"

    @persist(store, name=name)
    def f(x):
        return x

    f(1)
    f._results.annotate(f.key_of(1), f.provenance(1) | {"seconds": 100.0})
    _stats._process.counts.pop(name)
    assert f.stats().seconds_saved == 0
    f(1)
    f(1)
    assert 199 < f.stats().seconds_saved <= 200
    assert "seconds_saved" in f.stats()._repr_html_()


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
    assert replace(process_stats()[f.key_of(1)[0]], seconds_saved=stats.seconds_saved) == stats
    saved = 2 * stats.seconds_computing / 3 - stats.seconds_loading
    assert stats.seconds_saved == pytest.approx(max(0, saved))
    assert stats.bytes == sum(map(sys.getsizeof, (1, 2, 1, 1)))
    assert (stats + before).hits == 4
    assert "<td>3</td>" in stats._repr_html_()


class FullDict(FileDirDict):
    """A folder on which nothing more can be written."""

    error = OSError(28, "No space left on device")

    def _write(self, key, value, guard):
        raise self.error


def test_a_store_that_cannot_be_written_raises_its_own_error(tmp_path, runs):
    @persist(FullDict(base_dir=str(tmp_path)), on_store_error="raise")
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
    f = persist(tmp_path / "file" / "below", on_store_error="raise")(lambda x: x)
    with pytest.raises(type(plain.value), match=str(tmp_path)):
        f(1)
