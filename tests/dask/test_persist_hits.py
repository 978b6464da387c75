"""Hits as futures: whatever takes a future takes them, nothing waits, and no value is kept."""

from __future__ import annotations

import gc
import threading
from typing import Any, NamedTuple

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pytest
from distributed import (
    Queue,
    Variable,
    as_completed,
    fire_and_forget,
    futures_of,
    wait,
)

MODULE = """
from counting import ran
from distributed import get_client, worker_client
from persidict_dask import persist

@persist("{cache}")
def squared(x, offset=0):
    ran("squared")
    return [x * x + offset]

@persist("{cache}")
def summed(values):
    ran("summed")
    return sum(values)

@persist("{cache}", version="1")
def fails(x):
    raise LookupError(x)

@persist("{cache}", version="1")
async def slowly(x):
    ran("slowly")
    return 2 * x

class Box:
    def __init__(self, content):
        self.content = content

def key_of(box):
    return box.content.key

def total(parts):
    return sum(part[0] for part in parts)

def inside(xs):
    client = get_client()
    hits = squared.map(client, xs)
    with worker_client() as other:
        more = squared.map(other, xs)
        return client.gather(hits), other.submit(total, more).result(), hits[0].result()
"""


class Pair(NamedTuple):
    left: Any
    right: Any


@pytest.fixture(scope="module")
def made(client, shared_project):
    shared_project.write("hitting.py", MODULE)
    import hitting

    client.run(lambda: __import__("hitting"))
    return hitting


@pytest.fixture
def hits(client, made, shared_project):
    """Return a maker of hits for some numbers."""
    for x in range(10):
        made.squared(x)
    shared_project.executed()
    yield lambda *xs: made.squared.map(client, xs)
    assert shared_project.executed() == []


def known(client):
    """What the scheduler knows of tasks that load."""
    return client.run_on_scheduler(
        lambda dask_scheduler: [str(k) for k in dask_scheduler.tasks if str(k).startswith("hit-")]
    )


# -- D1: asking for a key never waits --------------------------------------------------------------

RANDOM_USES = """
import gc, pickle, random, sys, threading, traceback
import dask
import dask.bag as db
from distributed import Client, LocalCluster, Queue, Variable, as_completed, wait
from distributed import fire_and_forget
from hitting import Box, key_of, squared, total

def closed_over(hit):
    return lambda: hit.key

def first(value):
    return value[0]

def nested(value):
    return value["a"][0][0] + value["b"][1][0][0]

def variable(client, hits, name):
    var = Variable(name, client=client)
    var.set(hits[0])
    return [var.get(timeout=60).result()]

def queue(client, hits, name):
    q = Queue(name, client=client)
    for hit in hits:
        q.put(hit)
    return [q.get(timeout=60).result() for _ in hits]

def published(client, hits, name):
    client.publish_dataset(hits, name=name)
    found = client.gather(list(client.get_dataset(name)))
    client.unpublish_dataset(name)
    return found

def replicated(client, hits, name):
    client.replicate(hits, n=2)
    return client.gather(client.map(first, hits, pure=False))

def scattered(client, hits, name):
    data = client.scatter([[1], [2]], hash=False)
    return client.submit(total, [*data, *hits], pure=False).result()

def copied(client, hits, name):
    assert pickle.loads(pickle.dumps(hits))[0].key == hits[0].key
    fire_and_forget(hits)

def bag(client, hits, name):
    return client.compute(db.from_delayed([dask.delayed(hit) for hit in hits]).sum()).result()

USES = {
    "gather": lambda client, hits, name: client.gather(hits),
    "gather nested": lambda client, hits, name: client.gather({"a": hits, "b": (hits[0], [hits])}),
    "map": lambda client, hits, name: client.gather(client.map(first, hits, pure=False)),
    "nested": lambda client, hits, name:
        client.submit(nested, {"a": hits, "b": (1, [hits[0]])}, pure=False).result(),
    "attribute": lambda client, hits, name:
        client.submit(key_of, Box(hits[0]), pure=False).result(),
    "closure": lambda client, hits, name: client.submit(closed_over(hits[0]), pure=False).result(),
    "variable": variable,
    "queue": queue,
    "wait": lambda client, hits, name: len(wait(hits, timeout=60).done),
    "as_completed": lambda client, hits, name:
        sorted(hit.result() for hit in as_completed(hits)),
    "with results": lambda client, hits, name:
        sorted(value for _, value in as_completed(hits, with_results=True)),
    "result": lambda client, hits, name: [hit.result() for hit in hits],
    "replicate": replicated,
    "published": published,
    "scattered": scattered,
    "delayed": lambda client, hits, name: dask.delayed(total)(hits).compute(),
    "compute": lambda client, hits, name: client.compute(dask.delayed(total)(hits)).result(),
    "persist": lambda client, hits, name: client.persist(dask.delayed(total)(hits)).compute(),
    "bag": bag,
    "copied": copied,
    "who has": lambda client, hits, name: len(client.who_has(hits)),
    "repr": lambda client, hits, name: [repr(hit) for hit in hits],
    "callback": lambda client, hits, name: [hit.add_done_callback(print) for hit in hits],
    "cancel": lambda client, hits, name: client.cancel(hits),
}

def use(client, seed, failures, used):
    random_ = random.Random(seed)
    for number in range(50):
        xs = [random_.randrange(10) for _ in range(random_.randrange(1, 6))]
        kind = random_.choice(list(USES))
        hits = squared.map(client, xs)
        if random_.random() < 0.3:  # some are known to the cluster already
            hits[0].key
        expected = [[x * x] for x in xs]
        try:
            got = USES[kind](client, hits, f"{seed}-{number}")
            check = {
                "gather": expected, "result": expected, "queue": None,
                "map": [x * x for x in xs], "replicate": [x * x for x in xs],
                "published": expected, "variable": expected[:1],
                "as_completed": sorted([x * x] for x in xs),
                "delayed": sum(x * x for x in xs), "compute": sum(x * x for x in xs),
                "persist": sum(x * x for x in xs), "bag": sum(x * x for x in xs),
                "scattered": 3 + sum(x * x for x in xs),
            }.get(kind)
            assert check is None or got == check, (kind, got, check)
            used.append(kind)
        except BaseException:
            failures.append((kind, traceback.format_exc()))
        del hits
        if random_.random() < 0.2:
            gc.collect()

if __name__ == "__main__":
    for x in range(10):
        squared(x)
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(sys.path.insert, 0, sys.path[0])
        failures, used = [], []
        threads = [
            threading.Thread(target=use, args=(client, seed, failures, used)) for seed in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for kind, text in failures:
            print(kind, text, file=sys.stderr)
        print(len(used), len(failures), set(USES) - set(used))
"""


def test_d1_random_uses_from_four_threads(project):
    """200 uses of all kinds at the same time: none waits for ever, and all get their values."""
    project.write("hitting.py", MODULE)
    project.write("uses.py", RANDOM_USES)
    said = project.run("uses.py").splitlines()[-1]
    assert said == "200 0 set()"


class Holder:
    """Something that pickles by value, with a future inside."""

    def __init__(self, content):
        self.content = content


HIDDEN = {
    "an attribute": lambda hit: (lambda holder: holder.content.key, Holder(hit)),
    "a closure": lambda hit: (lambda _: hit.key, None),
    "a default": lambda hit: (lambda _, hit=hit: hit.key, None),
    "a dict in a list in an attribute": lambda hit: (
        lambda holder: holder.content[0]["x"].key,
        Holder([{"x": hit}]),
    ),
}


@pytest.mark.parametrize("hidden", HIDDEN)
def test_d1_a_hit_where_dask_does_not_look(client, hits, hidden):
    """Pickling asks for its key while the client holds a lock; the cluster then knows the key."""
    (hit,) = hits(3)
    function, argument = HIDDEN[hidden](hit)
    key = client.submit(function, argument, pure=False).result(timeout=60)
    assert key == hit.key
    assert wait([hit.sent()], timeout=60).done
    assert client.who_has([hit])[key]


def test_d1_a_key_can_be_asked_while_others_send(client, hits):
    """A client sends under a lock; a thread that waits for it holds nothing that it needs."""
    begun, go = threading.Event(), threading.Event()

    class Slow:
        def __reduce__(self):
            begun.set()
            assert go.wait(60)
            return int, ()

    sender = threading.Thread(target=client.submit, args=(id, Slow()), kwargs={"pure": False})
    sender.start()
    assert begun.wait(60)
    (hit,) = hits(4)
    assert hit.result() == [16]  # no task, so no lock
    asker = threading.Thread(target=lambda: hit.key)
    asker.start()
    go.set()
    sender.join(60)
    asker.join(60)
    assert not asker.is_alive()


def test_d1_a_key_is_asked_on_the_loop(client, hits):
    (hit,) = hits(5)

    async def ask():
        return hit.key, await hit

    assert client.sync(ask) == (hit.name, [25])


# -- D2: every call that takes futures -------------------------------------------------------------


def through_variable(client, futures):
    var = Variable(client=client)
    var.set(futures[0])
    return var.get(timeout=60).result()


def through_queue(client, futures):
    queue = Queue(client=client)
    queue.put(futures[0])
    return queue.get(timeout=60).result()


def replicated(client, futures):
    client.replicate(futures, n=2)
    return [len(workers) for workers in client.who_has(futures).values()]


def rebalanced(client, futures):
    client.rebalance(futures)
    return [len(workers) for workers in client.who_has(futures).values()]


def published(client, futures):
    client.publish_dataset(these=futures)
    keys = [future.key for future in futures]
    del futures
    gc.collect()
    found = client.get_dataset("these")
    assert [future.key for future in found] == keys
    client.unpublish_dataset("these")
    return client.gather(found)


def retried(client, futures):
    client.retry(futures)
    return client.gather(futures)


def canceled(client, futures):
    client.cancel(futures)
    return [future.status for future in futures], futures[0].cancelled()


def called_back(client, futures):
    done, seen = threading.Event(), []
    futures[0].add_done_callback(lambda future: (seen.append(future.result()), done.set()))
    assert done.wait(60)
    return seen


def of_a_delayed(client, futures):
    parts = [dask.delayed(future) for future in futures]
    return client.compute(dask.delayed(sum)([part[0] for part in parts])).result()


def of_an_array(client, futures):
    blocks = [da.from_delayed(dask.delayed(np.array)(one), (1,), int) for one in futures]
    return client.compute(da.concatenate(blocks)).result().tolist()


def persisted(client, futures):
    bag = client.persist(db.from_delayed([dask.delayed(one) for one in futures]))
    assert len(futures_of(bag)) == len(futures)
    return bag.sum().compute()


def fired(client, futures):
    fire_and_forget(futures)
    return client.gather(futures)


CALLS = {
    "Variable": through_variable,
    "Queue": through_queue,
    "replicate": replicated,
    "rebalance": rebalanced,
    "publish_dataset": published,
    "retry": retried,
    "cancel": canceled,
    "add_done_callback": called_back,
    "submit": lambda c, f: c.submit(len, f).result(),
    "submit by keyword": lambda c, f: c.submit(dict, it=f[0]).result(),
    "nested": lambda c, f: c.submit(lambda d: d["a"][0][0][0], {"a": [(f[0],)]}).result(),
    "map": lambda c, f: c.gather(c.map(len, f)),
    "map of lists": lambda c, f: c.gather(c.map(len, [f, f[:1]])),
    "delayed": of_a_delayed,
    "array": of_an_array,
    "persist": persisted,
    "get": lambda c, f: c.get({"x": (len, f)}, "x"),
    "fire_and_forget": fired,
    "futures_of": lambda c, f: len(c.futures_of(f)),
    "gather": lambda c, f: c.gather(f),
    "gather one": lambda c, f: c.gather(f[0]),
    "gather nested": lambda c, f: c.gather({"a": f, "b": [Pair(f[0], {1: f[1]}), "x", None]}),
    "gather frozen": lambda c, f: c.gather([frozenset(), f[0], c.submit(int, 2)]),
    "gather an iterator": lambda c, f: list(c.gather(iter(f))),
    "gather, skipping": lambda c, f: c.gather([*f, c.submit(int, "x")], errors="skip"),
    "gather directly": lambda c, f: c.gather(f, direct=True),
    "wait for the first": lambda c, f: bool(wait(f, return_when="FIRST_COMPLETED").done),
    "as_completed": lambda c, f: sorted(each.result() for each in as_completed(f)),
    "as_completed, batches": lambda c, f: len([x for b in as_completed(f).batches() for x in b]),
    "states": lambda c, f: [(one.done(), one.exception(), one.traceback()) for one in f],
    "run": lambda c, f: set(c.run(lambda one: one.key == f[0].key, f[0]).values()),
}


@pytest.mark.parametrize("call", CALLS)
def test_d2_calls_do_with_hits_what_they_do_with_plain_futures(client, hits, call):
    plain = client.map(lambda x: [x * x], [1, 2, 3], pure=False)
    wait(plain)
    expected = CALLS[call](client, plain)
    assert CALLS[call](client, hits(1, 2, 3)) == expected


# -- D3: values are where they are used ------------------------------------------------------------

MEMORY = """
import sys
import numpy as np
import psutil
from distributed import Client, LocalCluster, wait
from persidict_dask import persist

@persist("{cache}")
def large(x):
    return np.random.default_rng(x).bytes(10_000_000)

def megabytes():
    return psutil.Process().memory_info().rss / 1e6

if __name__ == "__main__":
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        if sys.argv[1] == "fill":
            wait(large.map(client, range(40)))
        else:
            large(0), client.gather(client.map(len, [b""]))
            before = megabytes()
            hits = large.map(client, range(40))
            assert [hit.status for hit in hits] == ["finished"] * 40
            mapped = megabytes() - before
            assert client.gather(client.map(len, hits, pure=False)) == [10_000_000] * 40
            print(round(mapped), round(megabytes() - before))
"""


def test_d3_the_driver_keeps_no_values(project):
    """Neither when 40 results of 10 MB become futures, nor when workers have used them."""
    project.write("memory.py", MEMORY)
    project.run("memory.py", "fill")
    mapped, used = map(int, project.run("memory.py", "use").split())
    assert mapped < 50
    assert used < 50


def test_d3_what_is_asked_alone_is_loaded_alone(client, made, hits):
    """And what is asked in a row takes few messages."""
    these = hits(*range(10))
    names = [hit.name for hit in these]
    client.submit(len, these[4]).result()
    assert [name for name in known(client) if name in names] == [names[4]]
    assert client.gather(client.map(len, these, pure=False)) == [1] * 10
    assert {name for name in known(client) if name in names} == set(names)
    messages = []
    send, client._graph_to_futures = (
        client._graph_to_futures,
        lambda *a, **k: messages.append(a) or send(*a, **k),
    )
    try:
        these = made.squared.map(client, list(range(10)) * 10, key=[f"m-{n}" for n in range(100)])
        assert len([hit.key for hit in these]) == 100
    finally:
        del client._graph_to_futures
    assert len(messages) <= 8


def test_d3_released_hits_leave_the_cluster(client, hits):
    these = hits(1, 2)
    names = [hit.key for hit in these]
    wait([hit.sent() for hit in these])
    del these
    gc.collect()
    client.sync(client.scheduler.identity)
    while any(name in names for name in known(client)):
        pass


# -- what a hit is, whatever happens meanwhile -----------------------------------------------------


def test_values_belong_to_those_who_ask(client, hits):
    (hit,) = hits(3)
    for value in (hit.result(), client.gather(hit), client.gather([hit])[0]):
        assert value == [9]
        value.append("changed")
    hit.key
    hit.result().append("changed")
    assert hit.result() == client.gather(hit) == client.submit(list, hit).result() == [9]


def test_a_result_that_is_removed_is_computed_by_a_worker(client, made, shared_project):
    """Whether the hit is asked here or used there."""
    for use in (
        lambda hit: hit.result(),
        client.gather,
        lambda hit: client.submit(list, hit, pure=False).result(),
        lambda hit: next(iter(as_completed([hit], with_results=True)))[1],
    ):
        made.squared(20)
        hit = made.squared.submit(client, 20)
        made.squared.forget(20)
        shared_project.executed()
        before = made.squared.stats().misses
        assert use(hit) == [400]
        assert shared_project.executed() == ["squared"]
        assert made.squared.stats().misses == before
        assert made.squared.is_cached(20)


def test_a_changed_argument_is_no_other_call(client, made):
    values = [1, 2]
    made.summed(values)
    hit = made.summed.submit(client, values)
    values.append(100)
    assert client.submit(int, hit, pure=False).result() == 3
    other = made.summed.submit(client, [1, 2])
    other.arguments[0].append(1000)
    made.summed.forget([1, 2])
    with pytest.raises(KeyError, match="have changed since"):
        client.submit(int, other, pure=False).result()
    with pytest.raises(KeyError, match="have changed since"):
        other.result()


def test_hits_count_once(client, made, hits):
    """Here when they are looked up; what is read later adds bytes and seconds, also on workers."""
    before = made.squared.stats()
    there = client.run(lambda: __import__("hitting").squared.stats().hits)
    these = hits(1, 2, 2)
    assert [hit.result() for hit in these] == [[1], [4], [4]]
    assert client.gather(client.map(len, these, pure=False)) == [1, 1, 1]
    after = made.squared.stats()
    assert (after.hits - before.hits, after.misses - before.misses) == (2, 0)
    assert after.bytes > before.bytes
    assert client.run(lambda: __import__("hitting").squared.stats().hits) == there


def test_hits_inside_of_tasks(client, made, hits):
    hits(1)
    values, total, first = client.submit(made.inside, [1, 2], pure=False).result(timeout=60)
    assert (values, total, first) == ([[1], [4]], 5, [1])


def test_hits_of_coroutine_functions(client, made, shared_project):
    import asyncio

    asyncio.run(made.slowly(4))
    hit = made.slowly.submit(client, 4)
    assert hit.result() == 8
    made.slowly.forget(4)
    shared_project.executed()
    assert client.submit(int, hit, pure=False).result() == 8
    assert shared_project.executed() == ["slowly"]


def test_no_task_for_what_is_gathered(client, made, hits, shared_project):
    """Not even beside misses, and whatever the structure."""
    before = set(known(client))  # of which some may be on their way out
    made.squared.forget(30)
    futures = made.squared.map(client, [1, 30, 2])
    assert client.gather({"a": futures, "b": Pair(futures[0], [])}) == {
        "a": [[1], [900], [4]],
        "b": Pair([1], []),
    }
    assert before.issuperset(known(client))
    assert shared_project.executed() == ["squared"]
    with pytest.raises(LookupError):
        client.gather([*hits(1), made.fails.submit(client, 1)])
    assert client.gather([*hits(1), made.fails.submit(client, 1)], errors="skip") == [[1]]


def test_hits_of_another_client_are_refused(client, hits):
    from distributed import Client

    these = hits(1)
    with (
        Client(client.scheduler.address, set_as_default=False) as other,
        pytest.raises(ValueError, match="another client"),
    ):
        other.gather([*these, *made_by(other)])
    assert client.gather(these) == [[1]]


def made_by(client):
    import hitting

    return hitting.squared.map(client, [1])


def test_a_hit_that_is_canceled_is_canceled(client, hits):
    from concurrent.futures import CancelledError

    (hit,) = hits(6)
    hit.cancel()
    assert hit.cancelled()
    with pytest.raises(CancelledError):
        hit.result()
    with pytest.raises(CancelledError):
        client.gather(hit)
