"""Results are found in new processes and new clusters, whatever the hash seed, and only then."""

from __future__ import annotations

import json
import textwrap

import pytest

STEPS = """
from counting import ran
from persidict_dask import persist

def clean(values):
    return [v for v in values if v is not None]

@persist("{cache}")
def total(values):
    ran("total")
    return sum(clean(values))

@persist("{cache}")
def mean(values):
    ran("mean")
    return total(values) / len(clean(values))
"""

# Every kind of function that a script can define, and the calls of each.
SCRIPT = """
import json, sys, types
import dask
import steps
from counting import ran
from persidict import FileDirDict
from persidict_dask import persist

CACHE = "{cache}"
TABLE = {"b": 2, "a": 1}
NAMES = {"x", "y", "z"}
triple = lambda x: 3 * x

def helper(x, *, by=2):
    return x * by

@persist(CACHE)
def with_helper(x):
    ran("with_helper")
    return helper(x)

@persist(CACHE)
def with_globals(x):
    ran("with_globals")
    return TABLE["b"] * x if "x" in NAMES else 0

@persist(CACHE)
def with_lambda(x, y=5, *more, z, **rest):
    ran("with_lambda")
    return triple(x) + y + z + sum(more) + sum(rest.values())

def closing_over(factor, function):
    @persist(CACHE)
    def inside(x, base=1):
        ran("closure")
        return base + factor * function(x)
    return inside

closure = closing_over(4, lambda x: x + 0.5)

@persist(CACHE)
def factorial(n, product=1, *, step=1):
    ran("factorial")
    return product if n <= 0 else factorial(n - step, product * n)

@persist(CACHE)
def is_even(n, given=None):
    ran("is_even")
    return True if n == 0 else is_odd(n - 1)

@persist(CACHE)
def is_odd(n, given=None):
    ran("is_odd")
    return False if n == 0 else is_even(n - 1)

@persist(CACHE)
def outer(x):
    ran("outer")
    return with_helper(x) + steps.mean([x, None])

class Model:
    def __init__(self, weight):
        self.weight = weight

    @persist(CACHE)
    def predict(self, x, bias=0):
        ran("predict")
        return self.weight * x + bias

    @classmethod
    @persist(CACHE)
    def named(cls, x):
        ran("named")
        return [cls.__name__, x]

    @staticmethod
    @persist(CACHE)
    def halved(x):
        ran("halved")
        return x / 2

plain_in_module = persist(CACHE)(steps.clean)
on_a_dict = persist(FileDirDict(base_dir=CACHE), name="on a dict")(lambda x: [x])
versioned = persist(CACHE, version="7", name="versioned")(lambda x: ran("versioned") or x)
model = Model(3)

CALLS = {
    "module": (steps.mean, ([1, None, 5],), {}),
    "plain function of a module": (plain_in_module, ([1, None],), {}),
    "helper": (with_helper, (7,), {}),
    "globals": (with_globals, (3,), {}),
    "lambda": (with_lambda, (1, 2, 3), {"z": 4, "q": 5}),
    "defaults": (with_lambda, (1,), {"z": 4}),
    "closure": (closure, (3,), {}),
    "recursive": (factorial, (4,), {}),
    "each other": (is_even, (4,), {}),
    "outer": (outer, (3,), {}),
    "method": (model.predict, (3,), {}),
    "class method": (Model.named, (3,), {}),
    "static method": (Model.halved, (3,), {}),
    "dict": (on_a_dict, (3,), {}),
    "version": (versioned, (3,), {}),
}

def key_of(function, args, kwargs):
    if isinstance(function, types.MethodType):  # what classmethod makes of it since 3.13
        function, args = function.__func__, (function.__self__, *args)
    return list(function.key_of(*args, **kwargs))

def plainly():
    return {kind: f(*a, **k) for kind, (f, a, k) in CALLS.items()}

def by_submit(client):
    futures = {kind: client.submit(f, *a, **k) for kind, (f, a, k) in CALLS.items()}
    return client.gather(futures)

def by_delayed(client):
    tasks = {kind: dask.delayed(f)(*a, **k) for kind, (f, a, k) in CALLS.items()}
    return dask.compute(tasks)[0]

def by_map(client):
    return {kind: client.map(f, *([x] for x in a), **k)[0].result()
            for kind, (f, a, k) in CALLS.items()}

def on_cluster(way):
    from dask.distributed import Client, LocalCluster
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        results = way(client)
        keys = {kind: client.submit(key_of, *call, key="key of " + kind)
                for kind, call in CALLS.items()}
        return results, client.gather(keys)

if __name__ == "__main__":
    way = sys.argv[1]
    here = {kind: key_of(*call) for kind, call in CALLS.items()}
    results, there = (plainly(), here) if way == "plainly" else on_cluster(globals()[way])
    print(json.dumps({"results": results, "here": here, "there": there}))
"""
FOLLOWING = {"plainly": ["by_delayed"], "by_map": ["by_submit", "plainly"]}
EXECUTED = sorted(
    ["closure", "halved", "named", "outer", "predict", "versioned", "with_globals"]
    + ["factorial"] * 5
    + ["is_even"] * 3
    + ["is_odd"] * 2
    + ["mean", "total", "with_helper", "with_lambda"] * 2
)


class Session:
    """A run of the script: what it printed, and what was executed."""

    def __init__(self, project, way):
        printed = json.loads(project.run("script.py", way).splitlines()[-1])
        self.results, self.here, self.there = (printed[k] for k in ("results", "here", "there"))
        self.executed = project.executed()


@pytest.fixture(scope="module", params=FOLLOWING)
def sessions(request, new_project):
    """A first session, which computes, and others after it, each in a new process."""
    project = new_project()
    project.write("steps.py", STEPS)
    project.write("script.py", SCRIPT)
    return [Session(project, way) for way in (request.param, *FOLLOWING[request.param])]


def test_the_first_session_computes_each_call_once(sessions):
    assert sessions[0].executed == EXECUTED


def test_new_processes_and_clusters_compute_nothing(sessions):
    assert [session.executed for session in sessions[1:]] == [[]] * len(sessions[1:])


def test_new_processes_and_clusters_give_equal_results(sessions):
    for session in sessions[1:]:
        assert session.results == sessions[0].results


def test_the_results_are_right(sessions):
    assert sessions[0].results == {
        "module": 3.0,
        "plain function of a module": [1],
        "helper": 14,
        "globals": 6,
        "lambda": 17,
        "defaults": 12,
        "closure": 15.0,
        "recursive": 24,
        "each other": True,
        "outer": 9.0,
        "method": 9,
        "class method": ["Model", 3],
        "static method": 1.5,
        "dict": [3],
        "version": 3,
    }


def test_keys_are_equal_on_driver_and_workers_and_in_every_session(sessions):
    for session in sessions:
        assert session.here == session.there == sessions[0].here
    assert len({tuple(key) for key in sessions[0].here.values()}) == len(sessions[0].here)


# --- edits between sessions ----------------------------------------------------------------------

EDITED = """
import sys
from counting import ran
from persidict_dask import persist
import steps

def scaled(x):
    return x * 2  # twice

@persist("{cache}")
def first(x):
    ran("first")
    return scaled(x)

@persist("{cache}")
def second(x):
    ran("second")
    return first(x) + 1

@persist("{cache}")
def other(x):
    ran("other")
    return x

CALLS = [(second, 3), (other, 3), (steps.mean, [3, None])]

def on_cluster():
    from dask.distributed import Client, LocalCluster
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        return client.gather([client.submit(f, x) for f, x in CALLS])

if __name__ == "__main__":
    print(on_cluster() if "cluster" in sys.argv else [f(x) for f, x in CALLS])
"""


@pytest.fixture
def edited(project):
    """A script that has run once."""
    project.write("steps.py", STEPS)
    project.write("script.py", EDITED)
    assert project.run("script.py") == "[7, 3, 3.0]"
    assert project.executed() == ["first", "mean", "other", "second", "total"]
    return project


def test_an_edited_helper_recomputes_what_depends_on_it(edited):
    edited.edit("script.py", "x * 2", "x * 3")
    assert edited.run("script.py", "cluster") == "[10, 3, 3.0]"
    assert edited.executed() == ["first", "second"]


def test_an_edited_helper_in_a_module_recomputes_what_depends_on_it(edited):
    edited.edit("steps.py", "is not None", "not in (None, 0)")
    assert edited.run("script.py") == "[7, 3, 3.0]"
    assert edited.executed() == ["mean", "total"]


def test_cosmetic_edits_and_another_place_recompute_nothing(edited):
    """Comments, empty lines, another folder of the project and another current directory."""
    edited.edit("script.py", "# twice", "# two times")
    edited.edit("script.py", "def scaled", "\n\n\ndef scaled")
    elsewhere = edited.folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("script.py", "steps.py", "counting.py"):
        (edited.folder / name).rename(elsewhere / name)
    assert edited.run("elsewhere/script.py", cwd=elsewhere) == "[7, 3, 3.0]"
    assert edited.executed() == []


def test_an_edit_taken_back_finds_the_old_results(edited):
    edited.edit("script.py", "x * 2", "x * 3")
    edited.run("script.py")
    edited.executed()
    edited.edit("script.py", "x * 3", "x * 2")
    assert edited.run("script.py") == "[7, 3, 3.0]"
    assert edited.executed() == []


def test_a_relative_folder_is_that_of_the_driver(project, tmp_path):
    """Wherever workers run, they use the folder that the script or module named on the driver."""
    source = """
        import os
        from persidict_dask import persist

        @persist("results")
        def {name}(x):
            return os.getcwd()
        """
    project.write("module.py", source.replace("{name}", "imported"))
    project.write(
        "script.py",
        textwrap.dedent(source.replace("{name}", "own"))
        + textwrap.dedent(
            """
            import sys

            if __name__ == "__main__":
                from module import imported  # which workers import where they are then
                from dask.distributed import Client, LocalCluster
                with (
                    LocalCluster(n_workers=1, dashboard_address=None) as cluster,
                    Client(cluster) as client,
                ):
                    client.run(os.chdir, sys.argv[1])
                    print(*client.gather([client.submit(f, 1) for f in (own, imported)]))
                    print(own.is_cached(1), imported.is_cached(1))
            """
        ),
    )
    elsewhere = tmp_path / "worker"
    elsewhere.mkdir()
    assert project.run("script.py", elsewhere) == f"{elsewhere} {elsewhere}\nTrue True"
    assert list(elsewhere.iterdir()) == []
