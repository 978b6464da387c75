"""One script with functions of all kinds, in all places where Dask takes one; then again.

The workers are programs of their own that cannot import the script.
"""

from __future__ import annotations

import json
from collections import Counter

from persidict import FileDirDict

from .test_persist_sessions import programs

SCRIPT = """
import asyncio, json, sys
import dask, dask.array as da, dask.bag as db, dask.dataframe as dd
import numpy as np, pandas as pd
from distributed import Client
from counting import ran
from persidict_dask import persist

STORE = "{cache}"
FACTOR = 2

def helper(x):
    return FACTOR * x

@persist(STORE)
def double(x):
    ran("double")
    return helper(x)

@persist(STORE)
async def later(x):
    ran("later")
    return helper(x)

def make(factor):
    @persist(STORE)
    def inside(x):
        ran("inside")
        return factor * x
    return inside

closure = make(3)

class Model:
    def __init__(self, weight):
        self.weight = weight

    @persist(STORE)
    def method(self, x):
        ran("method")
        return self.weight * x

    @staticmethod
    @persist(STORE)
    def static(x):
        ran("static")
        return 5 * x

    @classmethod
    @persist(STORE)
    def of_class(cls, x):
        ran("of_class")
        return cls(7).weight * x

def ways(start, client):
    n = iter(range(start, 10**6))
    x = da.arange(4, chunks=2) + start
    frame = dd.from_pandas(pd.DataFrame({"a": [start, start + 1]}), npartitions=2)
    model = Model(4)
    yield "call", [double(k := next(n))], [2 * k]
    yield "delayed", [dask.delayed(double)(k := next(n)).compute()], [2 * k]
    bag = db.from_sequence([k := next(n), next(n)], npartitions=2)
    yield "bag", bag.map(double).compute(), [2 * k, 2 * k + 2]
    yield "blocks", x.map_blocks(double).compute(), 2 * (np.arange(4) + start)
    yield "partitions", frame.map_partitions(double).compute().a, [2 * start, 2 * start + 2]
    yield "method", [dask.delayed(model.method)(k := next(n)).compute()], [4 * k]
    yield "static", [dask.delayed(Model.static)(k := next(n)).compute()], [5 * k]
    yield "class", [dask.delayed(Model.of_class)(k := next(n)).compute()], [7 * k]
    yield "closure", [dask.delayed(closure)(k := next(n)).compute()], [3 * k]
    yield "coroutine", [asyncio.run(later(k := next(n)))], [2 * k]
    if client is not None:
        for name, f, times in (
            ("double", double, 2), ("later", later, 2), ("closure", closure, 3),
            ("method", model.method, 4), ("static", Model.static, 5), ("class", Model.of_class, 7),
        ):
            k = next(n)
            yield f"submit {name}", [client.submit(f, k).result()], [times * k]
            for far, mapped in (
                (500, client.map(f, [k, k + 500])), (600, f.map(client, [k, k + 600]))
            ):
                yield f"map {name}", client.gather(mapped), [times * k, times * (k + far)]

wrong = []
def check(start, client, kind):
    for name, found, wanted in ways(start, client):
        if list(found) != list(wanted):
            wrong.append(f"{kind} {name}: {found} is not {wanted}")

for start, scheduler in ((1000, "sync"), (2000, "threads")):
    with dask.config.set(scheduler=scheduler):
        check(start, None, scheduler)
with Client(scheduler_file=sys.argv[1]) as client:
    client.wait_for_workers(2)
    check(3000, client, "cluster")
print(json.dumps(wrong))
"""


# 13 calls that differ on each of three schedulers, three more for each of six on the cluster.
CALLS = 3 * 13 + 6 * 3
# Those by which Dask finds out a type, which run and are not stored.
INFERENCES = 3 * 3


def test_every_place_and_every_kind(new_project, tmp_path):
    project = new_project()
    project.write("script.py", SCRIPT)
    store = FileDirDict(base_dir=str(project.cache))
    for session in range(2):
        file = tmp_path / f"scheduler-{session}.json"
        with programs(project.folder, file):
            assert json.loads(project.run("script.py", file)) == []
        assert len(store) == CALLS
        ran = Counter(project.executed())
        assert ran.total() == INFERENCES + (CALLS if session == 0 else 0)
        kinds = {"double", "later", "inside", "method", "static", "of_class"}
        assert set(ran) == (kinds if session == 0 else {"double"})
