"""Hits as futures: whatever takes a future takes them, nothing waits, and no value is kept."""

from __future__ import annotations

import gc
import pickle
import threading
from collections import namedtuple

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pytest
from distributed import (
    Client,
    LocalCluster,
    Queue,
    Variable,
    as_completed,
    fire_and_forget,
    futures_of,
    wait,
)

from persidict_dask import persist

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

Pair = namedtuple("Pair", "left right")


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

RANDOM_USES = '''
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
    "attribute": lambda client, hits, name: client.submit(key_of, Box(hits[0]), pure=False).result(),
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
                "as_completed": sorted([x * x] for x in set(xs)),
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
'''


def test_d1_random_uses_from_four_threads(project):
    """200 uses of all kinds at the same time: none waits for ever, and all get their values."""
    project.write("hitting.py", MODULE)
    project.write("uses.py", RANDOM_USES)
    said = project.run("uses.py").splitlines()[-1]
    assert said == "200 0 set()"
