"""Results that hold classes and functions of a script: every process can load them."""

from __future__ import annotations

import pytest

DEFINED = """
    import collections
    import dataclasses
    import enum
    import functools
    import os
    import subprocess
    import sys

    import numpy as np
    from distributed import Client, LocalCluster
    from persidict_dask import persist

    def ran(what):
        with open(os.path.join(os.path.dirname("{cache}"), "log"), "a") as log:
            log.write(what)

    Fit = collections.namedtuple("Fit", "slope")

    @dataclasses.dataclass
    class Base:
        a: int = 1

    @dataclasses.dataclass
    class Child(Base):
        b: Fit = Fit(2)

        def total(self):
            return plus(self.a) + self.b.slope

    class Level(enum.Enum):
        LOW = 1
        HIGH = 2

    def plus(x, by=100):
        return x + by

    @persist("{cache}")
    def fitted(x):
        ran("fitted")

        class Inner:
            z = x

        return {"fit": Fit(x), "child": [Child(x)], "level": Level.HIGH, "plus": plus,
                "partial": functools.partial(plus, by=x), "lambda": lambda y: x * y, "class": Fit,
                "inner": Inner(), "array": (np.arange(4) * x, Fit(np.ones(20_000))),
                "module": collections, "keys": {x: 1}.keys()}

    def seen(r):
        return [r["fit"], r["child"] == [Child(5)], isinstance(r["child"][0], Base),
                r["child"][0].total(), r["level"] is Level.HIGH, r["plus"](1), r["partial"](1),
                r["lambda"](2), r["class"] is Fit, r["inner"].z, r["array"][0].tolist(),
                type(r["array"][1]) is Fit and r["array"][1].slope.sum(),
                r["module"] is collections, list(r["keys"])]

    SEEN = [Fit(5), True, True, 107, True, 101, 6, 10, True, 5, [0, 5, 10, 15], 20_000, True, [5]]
"""
RUNS = """
    def plain():
        for _ in range(2):
            r = fitted(5)
            assert seen(r) == SEEN, seen(r)
        assert r["plus"] is plus

    def on_worker():
        return seen(fitted(5)), os.getpid()

    def cluster():
        with LocalCluster(n_workers=2, dashboard_address=None) as cluster, Client(cluster) as c:
            told, pid = c.submit(on_worker).result()
            assert told == SEEN, told
            r = c.submit(fitted, 5).result()
            assert seen(r) == SEEN, seen(r)
            assert seen(fitted(5)) == SEEN
            assert pid != os.getpid()

    def command_line():
        with LocalCluster(n_workers=0, protocol="tcp", dashboard_address=None) as cluster:
            command = [sys.executable, "-m", "distributed.cli.dask_worker",
                       cluster.scheduler_address, "--no-nanny", "--no-dashboard"]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd="/") as worker:
                with Client(cluster) as client:
                    told, pid = client.submit(on_worker).result(timeout=90)
                    assert (told, pid) == (SEEN, worker.pid), told
                worker.terminate()

    if __name__ == "__main__":
        globals()[sys.argv[1]]()
"""
WAYS = ("plain", "cluster", "command_line")


@pytest.mark.parametrize("first", WAYS)
def test_r1_what_a_script_defines_is_stored_by_all_and_loaded_by_all(new_project, first):
    """Run plainly, on a cluster of processes, or by a worker that starts from the command line."""
    project = new_project()
    project.write("script.py", DEFINED + RUNS)
    project.run("script.py", first)
    assert project.executed() == ["fitted"]
    for way in WAYS:
        project.run("script.py", way)
    assert project.executed() == []


LOADED = """
    from persidict import FileDirDict
    [r] = FileDirDict(base_dir="{cache}").values()
    assert "distributed" not in __import__("sys").modules
    print(type(r["fit"]).__qualname__, r["fit"].slope, r["child"][0].total(), r["level"].name,
          r["plus"](1), r["partial"](1), r["lambda"](2), r["inner"].z,
          type(r["child"][0].b) is type(r["fit"]), r["class"] is type(r["fit"]))
"""


def test_r1_another_script_has_the_classes_if_it_has_the_code(new_project):
    """It was renamed, or it is a copy; with other code, the classes are those that were stored."""
    project = new_project()
    source = """
        import collections, enum, sys
        from persidict_dask import persist

        Fit = collections.namedtuple("Fit", "slope")

        class Level(enum.Enum):
            HIGH = 1

        @persist("{cache}", name="f", version="1")
        def f(x):
            print("run")
            return Fit(Level.HIGH)

        r = f(1)
        print(type(r) is Fit, r.slope is Level.HIGH, r.slope.name)
    """
    project.write("one.py", source)
    project.write("two.py", source + "        # a comment")
    project.write("three.py", source.replace('"slope"', '"slope other"').replace("= 1", "= 2"))
    assert project.run("one.py").split() == ["run", "True", "True", "HIGH"]
    assert project.run("two.py").split() == ["True", "True", "HIGH"]
    assert project.run("three.py").split() == ["False", "False", "HIGH"]


@pytest.mark.parametrize("first", ["plain", "cluster"])
def test_r1_items_are_the_results_for_those_who_know_nothing_of_the_script(new_project, first):
    """Another script reads the store, even if it has something else under the same names."""
    project = new_project()
    project.write("script.py", DEFINED + RUNS)
    project.run("script.py", first)
    project.write("reads.py", LOADED)
    project.write("reads_too.py", "    class Fit: pass\n    plus = Child = Level = 1\n" + LOADED)
    for script in ("reads.py", "reads_too.py"):
        assert project.run(script) == "Fit 5 107 HIGH 101 6 10 5 True True"


def test_r1_a_class_that_was_edited_is_that_of_its_script(new_project):
    """As with pickle, for results that survive the edit; elsewhere it is what was stored."""
    project = new_project()
    source = """
        import dataclasses
        from persidict_dask import persist

        @dataclasses.dataclass
        class Fit:
            slope: int

        @persist("{cache}", version="1", name="fit")
        def fit(x):
            return Fit(x)

        print(isinstance(fit(1), Fit), hasattr(fit(1), "added"))
    """
    project.write("script.py", source)
    assert project.run("script.py") == "True False"
    edited = source.replace("slope: int\n", "slope: int\n            def added(self): return 1\n")
    project.write("script.py", edited)
    assert project.run("script.py") == "True True"
    project.write("other.py", edited)
    assert project.run("other.py") == "False False"


def test_r1_what_only_its_script_can_load_is_stored_as_before(new_project):
    """A class whose methods need what cannot travel, or too much of it, is stored by name."""
    project = new_project()
    project.write(
        "script.py",
        """
        import threading
        from persidict_dask import persist

        LOCK, BIG = threading.Lock(), bytes(range(256)) * 8192

        class Locking:
            def use(self):
                return LOCK.locked()

        class Large:
            def use(self):
                return len(BIG)

        @persist("{cache}")
        def made(kind):
            print("made")
            return kind()

        print(made(Locking).use(), made(Large).use())
        """,
    )
    assert project.run("script.py").split() == ["made", "made", "False", str(256 * 8192)]
    assert project.run("script.py").split() == ["False", str(256 * 8192)]
    assert max(path.stat().st_size for path in project.cache.rglob("*.pkl")) < 1000


def test_r1_what_nobody_can_carry_names_the_function(new_project):
    """On a worker, where the script is not there to be found by name."""
    project = new_project()
    project.write(
        "script.py",
        """
        import threading
        from distributed import Client, LocalCluster
        from persidict_dask import persist

        @persist("{cache}")
        def made(x):
            lock = threading.Lock()

            class Local:
                def use(self):
                    return lock

            return Local()

        if __name__ == "__main__":
            with LocalCluster(n_workers=1, dashboard_address=None) as c, Client(c) as client:
                print(repr(client.submit(made, 1).exception()))
        """,
    )
    told = project.run("script.py")
    assert told.startswith("TypeError")
    assert "__main__.made" in told
    assert "lock" in told
