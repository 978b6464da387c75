"""`submit` and `map`: hits on the driver cost the cluster nothing, misses are tasks by content."""

from __future__ import annotations

import contextlib
import os
import pickle
import time

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster, as_completed, wait

from persidict import FileDirDict
from persidict_dask import UnstableKeyError, persist
from persidict_dask._progress import watched
from persidict_dask._submission import _WORTH

MODULE = """
from counting import ran
from persidict_dask import persist

@persist("{cache}")
def squared(x, *, offset=0):
    ran("squared")
    return [x * x + offset]

@persist("{cache}")
def arranged(key, workers=1, *, pure=2):
    ran("arranged")
    return [key, workers, pure]

@persist("{cache}", version="1")
def failing(x):
    ran("failing")
    raise ValueError(x)

@persist("{cache}", enabled=False)
def plain(x):
    ran("plain")
    return x

class Model:
    def __init__(self, weight):
        self.weight = weight

    @persist("{cache}")
    def predict(self, x):
        ran("predict")
        return self.weight * x

def total(parts):
    return sum(part[0] for part in parts)
"""


@pytest.fixture(scope="module")
def made(client, shared_project):
    shared_project.write("mapped.py", MODULE)
    import mapped

    client.run(lambda: __import__("mapped"))
    return mapped


@pytest.fixture
def f(made, shared_project):
    made.squared.forget_all()
    made.squared.stats()
    shared_project.executed()
    return made.squared


def tasks(client):
    """Names of all that the scheduler knows, by the way they came to it."""
    return client.run_on_scheduler(
        lambda dask_scheduler: {
            str(key): task.run_spec is not None for key, task in dask_scheduler.tasks.items()
        }
    )


def test_what_is_missing_runs_and_what_is_stored_does_not(client, f, shared_project):
    f(2)
    assert shared_project.executed() == ["squared"]
    futures = f.map(client, [1, 2, 3])
    assert client.gather(futures) == [[1], [4], [9]]
    assert shared_project.executed() == ["squared"] * 2
    del futures
    assert client.gather(f.map(client, [1, 2, 3], offset=0)) == [[1], [4], [9]]
    assert shared_project.executed() == []


def test_the_cluster_does_not_hear_of_hits_whose_result_is_asked(client, f):
    for x in range(20):
        f(x)
    before = tasks(client)
    futures = f.map(client, range(20))
    assert [future.result() for future in futures] == [[x * x] for x in range(20)]
    assert {future.status for future in futures} == {"finished"}
    assert all(future.done() for future in futures)
    assert [future.exception() for future in futures] == [None] * 20
    assert not wait(futures).not_done
    assert sorted(future.result()[0] for future in as_completed(futures)) == [
        x * x for x in range(20)
    ]
    assert "hit" in repr(futures[0])
    assert tasks(client) == before


def test_the_cluster_does_not_hear_of_hits_that_are_gathered(client, f):
    for x in range(5):
        f(x)
    before = tasks(client)
    assert client.gather(f.map(client, range(5))) == [[x * x] for x in range(5)]
    assert tasks(client) == before
    futures = f.map(client, range(5))
    assert client.gather(client.map(len, futures)) == [1] * 5
    assert len([name for name in tasks(client) if name.startswith("hit-")]) == 5


def test_one_batch_after_the_other(client, f):
    """The names of a batch that is just forgotten are not those of the next."""
    for x in range(50):
        f(x)
    for _ in range(5):
        futures = f.map(client, range(50))
        futures = f.map(client, range(50))
        assert client.gather(futures) == [[x * x] for x in range(50)]


def test_order_and_equal_calls(client, f, shared_project):
    f(3)
    futures = f.map(client, [5, 3, 5, 1, 3, 1])
    assert client.gather(futures) == [[25], [9], [25], [1], [9], [1]]
    assert len(set(futures)) == 3
    assert sorted(shared_project.executed()) == ["squared"] * 3


def test_each_result_is_an_object_of_its_own(client, f):
    f(1)
    (future,) = f.map(client, [1])
    future.result().append("changed")
    assert future.result() == [1]
    future.result().append("changed")
    assert client.gather(future) == [1]


def test_an_argument_that_changes_changes_no_future(client, store):
    @persist(store)
    def summed(values):
        return sum(values)

    values = [1, 2]
    summed(values)
    hit = summed.submit(client, values)
    assert hit.result() == 3
    values.append(100)
    assert hit.result() == 3
    assert client.gather(hit) == 3


def test_equal_names_in_two_stores_are_two_tasks(client, tmp_path):
    def make(number):
        @persist(FileDirDict(base_dir=str(tmp_path / str(number))), name="same", version="1")
        def f(x):
            return number

        return f

    one, two = make(1), make(2)
    first, second = one.submit(client, 0), two.submit(client, 0)
    assert [first.result(), second.result()] == [1, 2]
    assert one.is_cached(0)
    assert two.is_cached(0)


def test_a_task_that_is_over_is_no_result(client, f, shared_project):
    """The scheduler still has it; the store has not."""
    (kept,) = f.map(client, [11])
    assert kept.result() == [121]
    f.forget(11)
    assert f.submit(client, 11).result() == [121]
    assert f.is_cached(11)
    assert shared_project.executed() == ["squared"] * 2


def test_hits_survive_the_loss_of_workers(store):
    """Also a restart, whether the cluster has heard of them or not."""

    @persist(store)
    def seven(x):
        return 7 * x

    for x in range(3):
        seven(x)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as other,
    ):
        futures = seven.map(other, range(3))
        assert other.submit(sum, futures).result() == 21
        unsent = seven.submit(other, 2)
        other.restart()
        assert other.submit(int, unsent).result(timeout=60) == 14
        assert [future.status for future in futures] == ["finished"] * 3
        assert other.gather(futures) == [0, 7, 14]
        assert other.submit(sum, futures).result() == 21
        held = other.who_has([hit.sent() for hit in futures]).values()
        with contextlib.suppress(Exception):
            other.run(os._exit, 1, workers=[max(held)[0]])
        assert other.submit(sum, futures, pure=False).result(timeout=60) == 21
        assert other.gather(futures) == [0, 7, 14]


def test_hits_as_arguments_of_other_tasks(client, f, made):
    for x in range(4):
        f(x)
    futures = f.map(client, range(6))
    assert client.submit(made.total, futures).result() == sum(x * x for x in range(6))
    assert client.submit(made.total, [f.submit(client, 3)]).result() == 9
    delayed = dask.delayed(made.total)([f.submit(client, 2), f.submit(client, 3)])
    assert client.compute(delayed).result() == 13


def test_hits_travel_to_other_clients(client, f):
    f(7)
    future = f.submit(client, 7)
    again = pickle.loads(pickle.dumps(future))
    assert again.key == future.key
    client.publish_dataset(seven=future)
    assert client.get_dataset("seven").result() == [49]
    client.unpublish_dataset("seven")


def test_a_result_that_is_forgotten_meanwhile(client, f, shared_project):
    f(1)
    future = f.submit(client, 1)
    assert future.result() == [1]
    f.forget(1)
    assert future.result() == [1]
    assert shared_project.executed() == ["squared"] * 2


def test_submit(client, f, shared_project):
    first, second = f.submit(client, 4, offset=1), f.submit(client, 4, offset=1)
    assert first.key == second.key
    assert first.result() == second.result() == [17]
    assert f.submit(client, 4, offset=1).result() == [17]
    assert shared_project.executed() == ["squared"]


def test_futures_as_arguments_are_looked_up_by_workers(client, f, made, shared_project):
    f(6)
    six = client.submit(int, 6)
    assert f.submit(client, six).result() == [36]
    assert client.gather(f.map(client, [six, 7])) == [[36], [49]]
    assert shared_project.executed() == ["squared"] * 2
    with pytest.raises(UnstableKeyError, match="or compute it"):
        f.submit(client, dask.delayed(int)(6))


def test_d4_keywords_that_dask_has_too_are_those_of_dask(client, made):
    """As with `client.submit`; by position they are those of the function."""
    made.arranged.forget_all()
    future = made.arranged.submit(client, "k", 5, pure=False, key="mine")
    assert (future.key, future.result()) == ("mine", ["k", 5, 2])
    futures = made.arranged.map(client, ["a"], [7], workers=next(iter(client.nthreads())))
    assert client.gather(futures) == [["a", 7, 2]]


def test_failures_are_those_of_the_function(client, made, shared_project):
    shared_project.executed()
    futures = made.failing.map(client, [1, 2])
    with pytest.raises(ValueError, match="1"):
        futures[0].result()
    assert isinstance(futures[1].exception(), ValueError)
    assert shared_project.executed() == ["failing"] * 2


def test_methods(client, made, shared_project):
    model = made.Model(3)
    model.predict.forget_all()
    model.predict(1)
    shared_project.executed()
    assert client.gather(made.Model(3).predict.map(client, [1, 2])) == [3, 6]
    assert shared_project.executed() == ["predict"]


def test_disabled(client, made, shared_project):
    shared_project.executed()
    assert client.gather(made.plain.map(client, [1, 1])) == [1, 1]


def test_nothing_to_map(client, f):
    assert f.map(client, []) == []


def test_unequal_lengths_end_with_the_shortest(client, made):
    assert client.gather(made.arranged.map(client, ["a", "b"], [1])) == [["a", 1, 2]]


class Counting(FileDirDict):
    """Counts reads of values, looks, and keys of listings."""

    reads = 0
    looks = 0
    listed = 0

    def __contains__(self, key):
        type(self).looks += 1
        return super().__contains__(key)

    def __getitem__(self, key):
        type(self).reads += 1
        return super().__getitem__(key)

    def get_subdict(self, prefix_key):
        sub = super().get_subdict(prefix_key)
        mine, keys = type(self), sub.keys

        def counted():
            for key in keys():
                mine.listed += 1
                yield key

        sub.keys = counted
        return sub


@pytest.fixture
def counting(tmp_path):
    Counting.reads = Counting.listed = Counting.looks = 0

    @persist(Counting(base_dir=str(tmp_path)))
    def g(x):
        return x

    return g


def test_a_listing_where_that_is_cheaper(client, counting):
    for x in range(20):
        counting(x)
    Counting.reads = 0
    futures = counting.map(client, range(10, 110))
    assert (Counting.reads, Counting.listed, Counting.looks) == (0, 20, 0)
    assert client.gather(futures) == list(range(10, 110))


def test_few_keys_are_asked_for_one_by_one(client, counting):
    for x in range(20):
        counting(x)
    Counting.reads = Counting.looks = 0
    counting.map(client, range(3))
    assert (Counting.reads, Counting.listed, Counting.looks) == (0, 0, 3)


def test_a_listing_that_gets_too_long_is_given_up(client, counting, monkeypatch):
    monkeypatch.setattr("persidict_dask._submission._WORTH", 1)
    assert _WORTH > 1
    for x in range(50):
        counting(x)
    Counting.looks = 0
    futures = counting.map(client, range(9))
    assert (Counting.listed, Counting.looks) == (11, 9)
    assert [future.result() for future in futures] == list(range(9))


def test_large_results_go_once(client, store):
    @persist(store)
    def big(x):
        return np.full(100_000, x)

    for x in range(3):
        big(x)
    futures = big.map(client, range(3))
    assert client.gather(client.map(np.sum, futures)) == [0, 100_000, 200_000]


def test_coroutine_functions(client, store):
    @persist(store)
    async def doubled(x):
        return 2 * x

    import asyncio

    assert asyncio.run(doubled(1)) == 2
    assert client.gather(doubled.map(client, [1, 2])) == [2, 4]
    assert doubled.submit(client, 1).result() == 2


def test_asynchronous_clients(client, made, f):
    import asyncio

    from distributed import Client

    f(1)

    async def main():
        async with Client(client.scheduler.address, asynchronous=True) as other:
            assert await f.submit(other, 1) == [1]
            assert await other.gather(f.map(other, [1, 2])) == [[1], [4]]

    asyncio.run(main())


def test_a_progress_bar_for_those_who_watch(monkeypatch, capsys):
    assert list(watched(iter("abc"), 3, "looking")) == ["a", "b", "c"]
    assert "looking" not in "".join(capsys.readouterr())
    monkeypatch.setattr("persidict_dask._progress._is_watched", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(watched(iter("abc"), 3, "looking")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert "looking" not in out
    assert "looking" in err


class Failing(FileDirDict):
    """A folder that cannot be asked, on whatever process."""

    def __contains__(self, key):
        raise OSError("no answer")

    def __getitem__(self, key):
        raise OSError("no answer")


@pytest.mark.filterwarnings("ignore:.*its store fails")
def test_a_store_that_cannot_be_asked_costs_no_value(client, tmp_path):
    """What it may have counts as missing, and the workers run the calls."""

    @persist(Failing(base_dir=str(tmp_path)))
    def g(x):
        return x + 1

    assert client.gather(g.map(client, [1, 2])) == [2, 3]
    assert g.submit(client, 3).result() == 4


def test_hits_found_here_have_saved_what_runs_took_elsewhere(client, store):
    """Their notes tell, in a process that has never run the function."""

    @persist(store, name="ran_elsewhere")
    def g(x):
        time.sleep(0.05)
        return x

    client.gather(client.map(g, [1, 2]))
    assert [hit.result() for hit in g.map(client, [1, 2])] == [1, 2]
    stats = g.stats()
    assert (stats.hits, stats.misses) == (2, 0)
    assert stats.seconds_saved > 0.05
