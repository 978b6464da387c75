"""Forks, pools, processes at the same time, and processes that are killed."""

from __future__ import annotations

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


FORKING = """
import os, threading, traceback
from counting import ran
from persidict_dask import persist, process_stats
from persidict_dask import _stats, _stores

@persist("{cache}")
def f(x):
    ran("f")
    return x * 2

def in_child(check):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        check()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

def check():
    assert f(1) == 2 and f(2) == 4
    assert (f.stats().hits, f.stats().misses) == (1, 1), f.stats()
    assert list(process_stats()) == ["__main__.f"]

f(1)
held, release = threading.Event(), threading.Event()
def hold():
    with _stats._process.lock, _stores._process.lock:
        held.set()
        release.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
signal = __import__("signal"); signal.alarm(60)
status = in_child(check)
release.set()
thread.join()
assert f.stats().hits == 0 and f.stats().misses == 1
print(status, f(2), f.stats().hits)
"""


def test_a_child_forked_at_a_bad_moment_works_and_counts_for_itself(project):
    """Another thread holds the locks of the package while the process forks."""
    project.write("script.py", FORKING)
    assert project.run("script.py") == "0 4 1"
    assert project.executed() == ["f", "f"]


def test_a_store_in_memory_is_refused_in_a_forked_child(project):
    """Its copy would silently be another store."""
    project.write(
        "script.py",
        """
        import multiprocessing, os, cloudpickle
        from persidict import LocalDict
        from persidict_dask import StoreRef
        store = LocalDict()
        store["a"] = 1
        ref = StoreRef.of(store)
        assert ref.open()["a"] == 1
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        else:
            try:
                ref.open()
            except RuntimeError as error:
                os._exit(7 if "process" in str(error) else 1)
            os._exit(0)
        """,
    )
    assert project.run("script.py") == "7"


def test_functions_go_through_pools_of_processes(project):
    """Importable ones and those of a forked script, by plain `pickle`."""
    project.write("steps.py", STEPS)
    project.write(
        "script.py",
        """
        import multiprocessing, sys
        import steps
        if __name__ == "__main__":
            with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
                print(pool.map(steps.mean, [[1], [3, 5], [1]]))
        """,
    )
    assert project.run("script.py", "spawn") == "[1.0, 4.0, 1.0]"
    executed = project.executed()
    assert set(executed) == {"mean", "total"}
    assert project.run("script.py", "fork") == "[1.0, 4.0, 1.0]"
    assert project.executed() == []


def test_processes_that_call_at_the_same_time_get_the_same_result(project):
    """Whatever was inserted first is what every process returns."""
    project.write(
        "script.py",
        """
        import multiprocessing, uuid
        from persidict_dask import persist

        @persist("{cache}")
        def draw(x):
            return uuid.uuid4().hex

        def work(start, results):
            start.wait()
            results.put([draw(x) for x in range(20)])

        context = multiprocessing.get_context("fork")
        start, results = context.Barrier(4), context.Queue()
        processes = [context.Process(target=work, args=(start, results)) for _ in range(4)]
        for process in processes:
            process.start()
        drawn = {tuple(results.get()) for _ in processes}
        for process in processes:
            process.join()
        print(len(drawn), drawn == {tuple(draw.store[draw.key_of(x)] for x in range(20))})
        """,
    )
    assert project.run("script.py") == "1 True"


def test_a_killed_run_goes_on_with_what_is_missing(project):
    """SIGKILL in the middle of a call: what was finished is found, nothing is half stored."""
    project.write(
        "script.py",
        """
        import os, signal, sys
        from counting import ran
        from persidict_dask import persist

        DEADLY = 3 if "deadly" in sys.argv else None

        def die():
            os.kill(os.getpid(), signal.SIGKILL)

        @persist("{cache}", ignore="last")
        def step(x, last=None):
            ran(f"step{x}")
            if x == last:
                die()
            return x * x

        print([step(x, DEADLY) for x in range(5)])
        """,
    )
    with pytest.raises(AssertionError):
        project.run("script.py", "deadly")
    assert project.executed() == ["step0", "step1", "step2", "step3"]
    assert project.run("script.py") == "[0, 1, 4, 9, 16]"
    assert project.executed() == ["step3", "step4"]
