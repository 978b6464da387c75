"""Calls of functions with state, one after the other, and what each of them did."""

import asyncio
import importlib
import inspect
import json
import runpy
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
REPORT = {}
STORM = (20, 21, 22)


def runs_of(kind):
    return (HERE / "log").read_text().split().count(kind)


def called(f, x):
    value = f(x)
    return asyncio.run(value) if inspect.isawaitable(value) else value


def step(kind, call, *xs):
    """Make calls; note values, how often the function ran, and warnings of the library."""
    before = runs_of(kind)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            values = call(*xs)
        except Exception as error:
            values = f"{type(error).__name__}: {error}"
    told = [str(one.message) for one in caught if one.category is RuntimeWarning]
    return {"xs": xs, "values": values, "runs": runs_of(kind) - before, "warned": told}


class Session:
    """Where calls are made: here, on one of two workers, or by threads."""

    def __init__(self, address):
        if address:
            from distributed import Client

            self.client = Client(address)
            self.workers = sorted(self.client.scheduler_info(n_workers=-1)["workers"])

    def here(self, kind, f, *xs):
        return [step(kind, lambda x: [called(f, x)], x) for x in xs]

    def there(self, kind, f, *pairs):
        return [step(kind, lambda x, at=at: [self.on_worker(f, at, x)], x) for at, x in pairs]

    def on_worker(self, f, at, x):
        future = self.client.submit(f, x, workers=self.workers[at], pure=False)
        return future.result(timeout=100)

    def in_threads(self, kind, f, xs):
        """The same few calls in many threads, twice each."""

        def storm(*xs):
            with ThreadPoolExecutor(4) as pool:
                return list(pool.map(lambda x: called(f, x), xs))

        return [step(kind, storm, *xs, *xs)]


def first(session, kind, f):
    return {
        "equal calls": session.here(kind, f, 3, 3),
        "other calls": session.here(kind, f, 4, 3, 4),
        "threads": session.in_threads(kind, f, STORM),
        "after threads": session.here(kind, f, *STORM),
        "plain": [called(importlib.import_module(f"plain_{kind}").f, x) for x in range(30)],
    }


def second(session, kind, f):
    """Here in another order; then on workers, and what they have computed here again."""
    return {
        "found": session.here(kind, f, 4, *STORM, 3),
        "new": session.here(kind, f, 5, 5),
        "computed by workers": session.there(kind, f, (0, 6), (1, 7)),
        "found by workers": session.there(kind, f, (1, 6), (0, 7), (0, 6), (1, 3)),
        "found on the driver": session.here(kind, f, 6, 7),
    }


def script(session, kind, f, sent):
    """On workers first; then here; then there again, with what `f` keeps by now."""
    report = {}
    if sent != "never":
        report["computed by workers"] = session.there(kind, f, (0, 6), (1, 7))
        report["found by workers"] = session.there(kind, f, (1, 6), (0, 7), (0, 6))
        report["found on the driver"] = session.here(kind, f, 7, 6)
    report["equal calls"] = session.here(kind, f, 8, 8, 9, 8, 9)
    if sent == "always":
        report["found with the state of the driver"] = session.there(kind, f, (0, 8), (1, 9))
    return report


def script_again(session, kind, f, sent):
    return {"found": session.here(kind, f, 9, 8)}


def report(kind, f, *sent):
    REPORT[kind] = MODE(SESSION, kind, f, *sent)


def drive(mode, address=""):
    """Import all modules, or run all scripts; print the report."""
    global SESSION, MODE
    SESSION, MODE = Session(address), globals()[mode]
    for path in sorted(HERE.glob("script_*.py" if "script" in mode else "state_*.py")):
        kind = path.stem.partition("_")[2]
        if "script" in mode:
            runpy.run_path(str(path), run_name="__main__")
        else:
            report(kind, importlib.import_module(path.stem).f)
    json.dump(REPORT, sys.stdout)
