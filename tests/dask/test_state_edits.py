"""What the user changes between two calls is never a stale hit, whatever runs change beside it.

Each entry of `edits.txt` is a module with a function `f`, and an edit that puts `n` somewhere. A
twin of the module, with the same edits, says what the plain function returns.

A change that was made before is found again: of mappings and attributes what runs have put beside
it does not count. Not so of what is changed as a whole, which is marked with `# may miss`.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import re
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from persidict import LocalDict
from persidict_dask import persist

TABLE = Path(__file__).with_name("test_state_edits") / "edits.txt"
FOUND = re.split(r"^=== (.*)\n", TABLE.read_text(), flags=re.MULTILINE)[1:]
EDITS = dict(zip(FOUND[::2], (text.split("---\n") for text in FOUND[1::2]), strict=True))
ROUNDS = 50
NUMBERS = itertools.count()


class Played:
    """A module whose function is persisted, its twin, and what the user does to both."""

    def __init__(self, project, name):
        self.source, self.edit = EDITS[name]
        self.modules = [self.written(project, role, next(NUMBERS)) for role in ("played", "twin")]
        self.f = persist(LocalDict(), name=f"edited {next(NUMBERS)}")(self.modules[0].f)
        self.stale, self.missed, self.calls = [], [], set()

    def written(self, project, role, number):
        """The module, and one of settings that it imports."""
        project.write(f"settings_{role}_{number}.py", "LIMIT = 1\nCALLS = []\n")
        text = self.source.replace("settings_of_edits", f"settings_{role}_{number}")
        project.write(f"{role}_{number}.py", text)
        importlib.invalidate_caches()
        return importlib.import_module(f"{role}_{number}")

    def change(self, n):
        """What a user does between two calls."""
        for module in self.modules:
            vars(module)["n"] = n
            exec(self.edit, vars(module))

    def counted(self, x):
        """Call; also return how often the function ran for that."""
        before = self.f.stats().misses
        return self.f(x), self.f.stats().misses - before

    def play(self):
        """Change, call twice, compare; note stale values and runs without need."""
        for turn in range(ROUNDS):
            n, x = 2 + turn % 7, turn % 3
            if turn:
                self.change(n)
            expected = self.modules[1].f(x)
            is_new = (x, repr(expected)) not in self.calls
            self.calls.add((x, repr(expected)))
            (value, ran), (again, ran_again) = self.counted(x), self.counted(x)
            if [value, again] != [expected] * 2:
                self.stale.append((turn, n, x, [value, again], expected))
            if ran_again or (ran and not is_new and "# may miss" not in self.source):
                self.missed.append((turn, n, x, ran, ran_again))
        return self


@pytest.fixture(autouse=True)
def _quiet():
    """What runs change is said elsewhere."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


@pytest.fixture(scope="module")
def alone(shared_project):
    """Each function played in this thread alone, once for all tests."""
    return functools.cache(lambda name: Played(shared_project, name).play())


@pytest.mark.parametrize("name", EDITS)
def test_a_change_between_two_calls_is_never_a_stale_hit(alone, name):
    """All values are those of the plain function, in fifty rounds."""
    assert alone(name).stale == []


@pytest.mark.parametrize("name", EDITS)
def test_a_change_between_two_calls_is_computed_once(alone, name):
    """The second of two equal calls is a hit, and so is one after a change that was made before."""
    assert alone(name).missed == []


@pytest.fixture
def _many_switches():
    """Threads take turns very often."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def together(shared_project, _many_switches):
    """All functions played at the same time, each by a thread of its own."""
    everything = {name: Played(shared_project, name) for name in EDITS}
    start = threading.Barrier(len(everything))

    def play(played):
        start.wait(60)
        played.play()

    with ThreadPoolExecutor(len(everything)) as pool:
        list(pool.map(play, everything.values()))
    return everything


def test_changes_in_threads_at_the_same_time_are_right_and_computed_once(together):
    """While one thread changes something, runs of the others are going on all the time."""
    assert {name: played.stale for name, played in together.items() if played.stale} == {}
    assert {name: played.missed for name, played in together.items() if played.missed} == {}


ONLY_READ = {
    "item of a dict": ('CONFIG = {"k": 1}', 'CONFIG["k"]', 'CONFIG["k"] = n'),
    "item of a nested dict": (
        'CONFIG = {"a": {"k": 1}}',
        'CONFIG["a"]["k"]',
        'CONFIG["a"]["k"] = n',
    ),
    "new dict": ('CONFIG = {"k": 1}', 'CONFIG["k"]', 'CONFIG = {"k": n}'),
    "list that grows": ("STEPS = [1]", "STEPS[-1]", "STEPS.append(n)"),
    "item of a list": ("STEPS = [1]", "STEPS[0]", "STEPS[0] = n"),
    "set that grows": ("ALLOWED = {*range(-999, 2)}", "max(ALLOWED)", "ALLOWED.add(n)"),
    "dict that grows": (
        "TABLE = dict.fromkeys(range(-999, 2))",
        "max(TABLE)",
        "TABLE[n] = None",
    ),
    "namespace that grows": (
        "import types\nCFG = types.SimpleNamespace(**{f'a{n}': n for n in range(999)})",
        "len(vars(CFG)) - 998",
        "vars(CFG).update({f'b{n}': n})",
    ),
    "name": ("LIMIT = 1", "LIMIT", "LIMIT = n"),
    "attribute of a module": ("import settings_of_edits as s", "s.LIMIT", "s.LIMIT = n"),
    "attribute of a namespace": (
        "import types\nCFG = types.SimpleNamespace(k=1)",
        "CFG.k",
        "CFG.k = n",
    ),
    "class attribute": ("class Config:\n    k = 1", "Config.k", "Config.k = n"),
    "instance attribute": (
        "class Config:\n    k = 1\nCFG = Config()",
        "CFG.k",
        "CFG.k = n",
    ),
    "attribute of a function": (
        "def helper():\n    return helper.k\nhelper.k = 1",
        "helper()",
        "helper.k = n",
    ),
    "helper": ("def helper():\n    return 1", "helper()", "def helper(n=n):\n    return n"),
    "element of an array": (
        "import numpy as np\nA = np.ones(4, int)",
        "int(A[0])",
        "A[0] = n",
    ),
    "bytes": ("B = bytearray([1])", "B[0]", "B[0] = n"),
}
READER = """
import time
{define}
CALLS = []
def f(x):
    CALLS.append(x)
    time.sleep(0.0005)
    return [x, {read}]
"""


@pytest.mark.usefixtures("_many_switches")
@pytest.mark.parametrize("name", ONLY_READ)
def test_a_change_while_other_calls_run_is_never_a_stale_hit(project, name):
    """Threads run the same function with other arguments; it only reads what is changed."""
    define, read, edit = ONLY_READ[name]
    project.write("settings_of_edits.py", "LIMIT = 1\n")
    project.write("reader.py", READER.replace("{define}", define).replace("{read}", read))
    importlib.invalidate_caches()
    reader = importlib.import_module("reader")
    f = persist(LocalDict(), name=f"reader {next(NUMBERS)}")(reader.f)
    begun, done, stop, wrong = [1], [1], threading.Event(), []

    def run(x):
        while not stop.is_set():
            earliest = done[-1]
            value = f(x)
            if not (value[0] == x and earliest <= value[1] <= begun[-1]):
                wrong.append((value, earliest, begun[-1]))

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(run, x) for x in (10, 11, 10)]
        for n in range(2, 2 + ROUNDS):
            begun.append(n)
            vars(reader)["n"] = n
            exec(edit, vars(reader))
            done.append(n)
            found = [f(1), f(1)]
            if found != [[1, n]] * 2:
                wrong.append((found, n))
        stop.set()
        for one in running:
            one.result(60)
    assert wrong == []
