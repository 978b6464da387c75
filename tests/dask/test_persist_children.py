"""Persisted functions of a script in child processes: of multiprocessing, futures and joblib."""

from __future__ import annotations

import pytest

SCRIPT = """
    import multiprocessing
    import sys
    from concurrent.futures import ProcessPoolExecutor

    from counting import ran
    from persidict_dask import persist

    @persist("{cache}")
    def f(x):
        ran(f"f{x}")
        return x + 1

    @persist("{cache}")
    def fib(n):
        ran(f"fib{n}")
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    class Model:
        weight = 3

        @persist("{cache}")
        def predict(self, x):
            ran(f"predict{x}")
            return self.weight * x

        @staticmethod
        @persist("{cache}")
        def square(x):
            ran(f"square{x}")
            return x * x

    def keys():
        return [f.key_of(1), fib.key_of(1), Model.square.key_of(1)]

    def results(pool):
        return [*pool.map(f, [1, 2]), *pool.map(fib, [3]), *pool.map(Model().predict, [4]),
                *pool.map(Model.square, [5])]

    if __name__ == "__main__":
        START
"""
POOL = """
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            print(results(pool), pool.apply(keys) == keys(), keys()[0][0])
"""
EXECUTOR = """
        with ProcessPoolExecutor(2, multiprocessing.get_context(sys.argv[1])) as pool:
            print(results(pool), pool.submit(keys).result() == keys(), keys()[0][0])
"""
JOBLIB = """
        import joblib
        with joblib.parallel_config("loky", n_jobs=2):
            def map_(g, xs): return joblib.Parallel()(joblib.delayed(g)(x) for x in xs)
            pool = type("Pool", (), {"map": staticmethod(map_)})
            print(results(pool), joblib.Parallel()([joblib.delayed(keys)()])[0] == keys(),
                  keys()[0][0])
"""
DASK = """
        from distributed import Client, LocalCluster
        with LocalCluster(n_workers=2, dashboard_address=None) as cluster, Client(cluster) as c:
            pool = type("Pool", (), {"map": staticmethod(lambda g, xs: c.gather(c.map(g, xs)))})
            print(results(pool), c.submit(keys).result() == keys(), keys()[0][0])
"""
WAYS = [(POOL, "fork"), (POOL, "spawn"), (POOL, "forkserver"), (EXECUTOR, "fork"),
        (EXECUTOR, "spawn"), (EXECUTOR, "forkserver"), (JOBLIB, ""), (DASK, "")]  # fmt: skip
NAMES = "pool-fork pool-spawn pool-forkserver executor-fork executor-spawn executor-forkserver"


@pytest.mark.parametrize(("start", "how"), WAYS, ids=[*NAMES.split(), "joblib", "dask"])
def test_r2_children_take_functions_of_the_script(new_project, start, how):
    """Results, keys and names are those of the script, which finds what its children stored."""
    project = new_project()
    project.write("script.py", SCRIPT.replace("START", start.strip()))
    assert project.run("script.py", how) == "[2, 3, 2, 12, 25] True __main__.f"
    ran = project.executed()
    assert set(ran) == {"f1", "f2", "fib0", "fib1", "fib2", "fib3", "predict4", "square5"}
    again = "print(f(1), f(2), fib(3), Model.square(5))"
    project.write("again.py", SCRIPT.replace("START", again))
    assert project.run("again.py") == "2 3 2 25"
    assert project.executed() == []


def test_r2_a_pickle_of_a_function_of_the_script_is_the_function(new_project):
    """For pickle and copy; for cloudpickle it is one that runs without the script."""
    project = new_project()
    start = """import copy, pickle, subprocess, cloudpickle
        for g in (f, fib, Model.square):
            assert pickle.loads(pickle.dumps(g)) is copy.deepcopy(g) is copy.copy(g) is g
        for g in (f, Model.square, Model().predict):
            code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)(7))"
            sent = [cloudpickle.dumps(g), cloudpickle.dumps({"deep": [g]})]
            assert b"ran" in sent[0] and b"ran" in sent[1]
            done = subprocess.run([sys.executable, "-c", code], input=sent[0], check=True)"""
    project.write("script.py", SCRIPT.replace("START", start))
    assert project.run("script.py").split() == ["8", "49", "21"]


def test_r2_what_the_user_registers_travels_with_its_code(new_project):
    """A module that workers cannot import, named to cloudpickle as such."""
    project = new_project()
    project.write(
        "mine.py",
        """
        from persidict_dask import persist

        @persist("{cache}")
        def f(x):
            return x + 1
        """,
    )
    project.write(
        "script.py",
        """
        import pickle, subprocess, sys, cloudpickle, mine
        by_name = len(cloudpickle.dumps(mine.f))
        cloudpickle.register_pickle_by_value(mine)
        assert pickle.loads(pickle.dumps(mine.f)) is mine.f
        sent = cloudpickle.dumps(mine.f)
        code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)(7), 'mine' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], input=sent, check=True, cwd="/")
        """,
    )
    assert project.run("script.py") == "8 False"
