"""Faults of keys found in use, each with its siblings: state, methods, closures, environments.

The texts lie in a folder beside: `k7.txt` (a source, an edit made by the user), `n7.txt` (edits of
`n7_class.txt`), `pairs.txt` (a source, and a module it uses before and after an edit), `x2.txt`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import pytest

from persidict import LocalDict
from persidict_dask import UnstableKeyError, persist

TEXTS = Path(__file__).with_name("test_faults_keys")
NUMBERS = itertools.count()


def entries(name: str) -> dict[str, list[str]]:
    """Entries `=== name` of a table: texts with lines `---` between them."""
    found = re.split(r"^=== (.*)\n", (TEXTS / name).read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(found[::2], found[1::2], strict=True)
    return {entry: re.split(r"^---\n", text, flags=re.MULTILINE) for entry, text in pairs}


@pytest.fixture
def module(project):
    """Write a module and import it."""

    def module(source: str, name: str = "steps"):
        project.write(f"{name}.py", source)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return module


@contextlib.contextmanager
def telling():
    """The warnings of the library about what runs have changed."""
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield told
    told += [str(one.message) for one in caught if one.category is RuntimeWarning]


def kept(function, store=None, **settings):
    """Persist a function in memory, under a name of its own: figures go by the name."""
    place = LocalDict() if store is None else store
    return persist(place, **{"name": f"kept {next(NUMBERS)}", **settings})(function)


def runs_of(f):
    """How often the function ran in this process."""
    return f.stats().misses


# --- K7: what the user changes between two calls --------------------------------------------------

K7 = entries("k7.txt")


@pytest.mark.parametrize("name", K7)
def test_k7_what_the_user_changes_between_two_calls_counts(module, name):
    """The value is that of the plain function, and not the old one; then it is a hit again."""
    source, edit = K7[name]
    module("LIMIT = 1\nSETTINGS = {'k': 1}\n", "helpers")
    steps, twin = module(source, "steps"), module(source, "twin")
    f = kept(steps.f)
    before = f(1)
    expected = [twin.f(1)]
    exec(edit, vars(steps))
    exec(edit, vars(twin))
    expected.append(twin.f(1))
    assert expected[0] != expected[1]
    assert [before, f(1), f(1)] == [*expected, expected[1]]
    assert runs_of(f) == 2


# --- N1: what a run changes -----------------------------------------------------------------------

NOTED = """
CACHE = {}
OTHER = []
LIMIT = {"k": 1}
def noted(x):
    CACHE[x] = x
    return x
def f(x):
    return noted(x) + LIMIT["k"]
def g(x):
    OTHER.append(x)
    return noted(x + 10) - 8
def pure(x):
    return x + LIMIT["k"]
"""


def test_n1_one_warning_names_what_the_runs_of_a_function_change(module):
    """Once for each function and global, and not at hits."""
    steps, store = module(NOTED), LocalDict()
    f, g = kept(steps.f, store), kept(steps.g, store)
    with telling() as told:
        assert [f(1), f(1), f(2), g(1), g(1), g(2), f(3)] == [2, 2, 3, 3, 3, 4, 4]
    about = {
        name: [text for text in told if f"steps.{name}" in text] for name in ("CACHE", "OTHER")
    }
    assert {name: len(texts) for name, texts in about.items()} == {"CACHE": 2, "OTHER": 1}
    assert not [text for text in told if "LIMIT" in text]
    assert (runs_of(f), runs_of(g)) == (3, 2)


def test_n1_nothing_is_said_where_no_run_changes_anything(module):
    """Neither of what the user changes between two calls."""
    steps = module(NOTED)
    f = kept(steps.pure)
    with telling() as told:
        assert f(1) == 2
        steps.LIMIT["k"] = 5
        assert [f(1), f(2)] == [6, 7]
    assert told == []


def test_n1_a_warning_that_is_an_error_costs_no_result(module):
    """With `-W error` too, nothing raises after a run that was successful."""
    f = kept(module(NOTED).f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(RuntimeWarning):
            f(1)
        assert f(1) == 2
    assert runs_of(f) == 1


def test_n1_an_ignored_global_counts_nothing_and_silences_the_warning(module):
    """Whoever changes it: its content is no part of the key."""
    steps = module(NOTED)
    f = kept(steps.f, ignore=("steps.CACHE",))
    with telling() as told:
        f(1), f(1)
        key = f.key_of(1)
        steps.CACHE["of the user"] = 1
        assert f.key_of(1) == key
        steps.CACHE = "another"
        assert f.key_of(1) == key
    assert (told, runs_of(f)) == ([], 1)
    steps.LIMIT["k"] = 2
    assert f.key_of(1) != key


def test_n1_an_ignored_global_of_another_module_counts_nothing(module):
    """By the module in which it stands; arguments and globals may be named together."""
    helpers = module("CACHE = {}\ndef aid(x):\n    CACHE[x] = x\n    return x\n", "helpers")
    steps = module("import helpers\ndef f(x, log=None):\n    return helpers.aid(x)\n")
    f = kept(steps.f, ignore=["log", "helpers.CACHE"])
    with telling() as told:
        assert [f(1), f(1, log=print), f(1)] == [1, 1, 1]
    helpers.CACHE["of the user"] = 1
    assert f(1) == 1
    assert (told, runs_of(f)) == ([], 1)


@pytest.mark.parametrize(
    "source",
    [
        "import sqlite3\nTHING = sqlite3.connect(':memory:')\n",
        "THING = (n for n in range(3))\n",
        "import socket\nTHING = {'a': [socket.socket()]}\n",
        "import weakref\nclass C: pass\nKEPT = C()\nTHING = weakref.ref(KEPT)\n",
    ],
)
def test_n1_a_global_without_stable_content_can_be_ignored(module, source):
    """The refusal names the way out."""
    steps = module(source + "def f(x):\n    return [x, THING is None]\n")
    with pytest.raises(UnstableKeyError, match=r"steps\.THING.*ignore") as refused:
        kept(steps.f)(1)
    assert refused.value.path.startswith("steps.THING")
    f = kept(steps.f, ignore="steps.THING")
    assert [f(1), f(1)] == [[1, False]] * 2
    assert runs_of(f) == 1


def test_n1_keys_are_the_same_before_during_and_after_runs(module):
    """Also while a run of another thread has changed the state and goes on."""
    steps = module("""
        import threading
        class Gate:
            def __init__(self):
                self.inside, self.open = threading.Event(), threading.Event()
            def __persist_token__(self):
                return "gate"
        GATE, CALLS = Gate(), []
        def f(x):
            CALLS.append(x)
            GATE.inside.set()
            GATE.open.wait(60)
            CALLS.append(x)
            return x
    """)
    f = kept(steps.f)
    before = f.key_of(1)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(f, 1)
        steps.GATE.inside.wait(60)
        during = f.key_of(1)
        steps.GATE.open.set()
        run.result(60)
    assert [during, f.key_of(1), list(f.store)] == [before, before, [before]]


def test_n1_a_failed_run_changes_no_key(module):
    """What it has changed before it failed is state, like that of all runs."""
    steps = module("""
        CALLS = []
        def f(x):
            CALLS.append(x)
            if len(CALLS) < 3:
                raise LookupError(x)
            return x
    """)
    f = kept(steps.f)
    before = f.key_of(1)
    for _ in range(2):
        with pytest.raises(LookupError):
            f(1)
    assert (f.key_of(1), f(1)) == (before, 1)
    assert f.is_cached(1)


def test_n1_runs_to_refresh_and_to_verify_change_no_key(module):
    """The state moves on with each of them."""
    steps, store = module(NOTED), LocalDict()
    f, checked = kept(steps.f, store, name="f"), kept(steps.f, store, name="f", verify=1.0)
    key = f.key_of(1)
    assert [f(1), f.refresh(1), checked(1), checked(1), f.refresh(2)] == [2, 2, 2, 2, 3]
    assert [f.key_of(1), checked.key_of(1)] == [key, key]
    assert f.forget(1)
    assert not f.is_cached(1)


def test_n1_a_run_of_an_inner_function_is_a_part_of_the_outer_run(module):
    """What the inner one changes is state of both; an inner hit changes nothing."""
    steps = module("""
        from persidict import LocalDict
        from persidict_dask import persist
        CALLS = []
        @persist(LocalDict())
        def inner(x):
            CALLS.append(x)
            return x
        @persist(LocalDict())
        def outer(x):
            return inner(x % 2) + len(str(CALLS[:0]))
    """)
    key = steps.outer.key_of(1)
    assert [steps.outer(x) for x in (1, 1, 2, 3, 1)] == [3, 3, 2, 3, 3]
    assert steps.outer.key_of(1) == key
    assert (runs_of(steps.outer), runs_of(steps.inner)) == (3, 2)


def test_n1_a_user_edit_beside_the_state_of_runs_counts(module):
    """Entries that runs have made stay at their beginning; the one of the user is new."""
    steps = module("""
        CONFIG = {"k": 1}
        def f(x):
            CONFIG["calls"] = CONFIG.get("calls", 0) + 1
            return x + CONFIG["k"]
    """)
    f = kept(steps.f)
    key = f.key_of(1)
    values = [f(1), f(1)]
    steps.CONFIG["k"] = 2
    values += [f(1), f(1)]
    steps.CONFIG["k"] = 1
    assert [*values, f(1), f.key_of(1)] == [2, 2, 3, 3, 2, key]
    assert runs_of(f) == 2


def test_n1_a_user_edit_of_what_a_run_has_put_in_counts(module):
    """The entry was state, and is an edit now."""
    steps = module("""
        CONFIG = {}
        def f(x):
            return x + CONFIG.setdefault("k", 1)
    """)
    f = kept(steps.f)
    values = [f(1), f(1), f(2)]
    steps.CONFIG["k"] = 100
    values += [f(1), f(1), f(2)]
    del steps.CONFIG["k"]
    assert [*values, f(1)] == [2, 2, 3, 101, 101, 102, 2]


READ_ONLY = {
    "item": ('CONFIG = {"k": 1}', 'CONFIG["k"]', 'CONFIG["k"] = 100', 'CONFIG["k"] = 1'),
    "name": ("K = 1", "K", "K = 100", "K = 1"),
    "attribute": (
        "import types\nCFG = types.SimpleNamespace(k=1)",
        "CFG.k",
        "CFG.k = 100",
        "CFG.k = 1",
    ),
    "class attribute": ("class CFG:\n    k = 1", "CFG.k", "CFG.k = 100", "CFG.k = 1"),
    "list": ("STEPS = [1]", "sum(STEPS)", "STEPS.append(99)", "STEPS.pop()"),
    "array": (
        "import numpy as np\nA = np.ones(1, int)",
        "int(A[0])",
        "A[0] = 100",
        "A[0] = 1",
    ),
}


AMID = """
import threading
class Gate:
    def __init__(self):
        self.inside, self.open = threading.Event(), threading.Event()
    def __persist_token__(self):
        return "gate"
GATE, CALLS = Gate(), []
{define}
def f(x):
    CALLS.append(x)
    GATE.inside.set()
    GATE.open.wait(60)
    return x + {read}
"""


@pytest.fixture(params=READ_ONLY)
def amid(module, request):
    """Another thread changes what a function only reads while it runs, before it reads that."""
    define, read, change, back = READ_ONLY[request.param]
    steps = module(AMID.replace("{define}", define).replace("{read}", read))
    f = kept(steps.f)
    before = f.key_of(1)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(f, 1)
        assert steps.GATE.inside.wait(60)
        exec(change, vars(steps))
        during = f.key_of(1)
        steps.GATE.open.set()
        assert run.result(60) == 101
    return f, before, during, lambda: exec(back, vars(steps))


def test_n1_what_is_only_read_and_changes_during_a_run_is_an_edit(amid):
    """Its key is another one, during the run and after it."""
    f, before, during, _ = amid
    assert before != during == f.key_of(1)
    assert f(1) == 101


def test_n1_a_run_amid_an_edit_leaves_nothing_wrong_under_the_old_key(amid):
    """When the edit is taken back, the value is that of the old content."""
    f, before, _, take_back = amid
    take_back()
    assert (f(1), f.key_of(1)) == (2, before)


def test_n1_an_argument_that_a_run_changes_is_said_too(module):
    """It is another argument at the next call, which the warning explains."""
    steps = module("""
        def f(rows, by=1):
            rows.append(by)
            return len(rows)
        class Model:
            calls = 0
            def predict(self, x):
                self.calls += 1
                return x
    """)
    f, rows = kept(steps.f), [1]
    predict, model = kept(steps.Model.predict), steps.Model()
    with telling() as told:
        assert [f(rows), f(rows), f([7])] == [2, 3, 2]
    assert [text for text in told if "rows" in text]
    with telling() as told:
        predict(model, 1)
    assert [text for text in told if "self" in text]


NOTES = {
    "plain": (NOTED, {}),
    "version": (NOTED, {"version": "1"}),
    "ignored global": (NOTED, {"ignore": "steps.CACHE"}),
    "name": (NOTED, {"name": "another"}),
}


@pytest.mark.parametrize("name", NOTES)
def test_n1_the_note_tells_the_fingerprint_that_made_the_key(module, name):
    """That of the key under which the result lies, however the state has changed since."""
    source, settings = NOTES[name]
    steps = module(source)
    f = kept(steps.f, **settings)
    for x in (1, 2, 1):
        f(x)
    fingerprints = [f.provenance(x)["fingerprint"] for x in (1, 2)]
    for x, fingerprint in zip((1, 2), fingerprints, strict=True):
        digits = f.key_of(x)[1]
        assert int(fingerprint, 16)
        assert digits == fingerprint[: len(digits)]
    assert fingerprints[0] == fingerprints[1]


def test_n1_after_an_edit_the_note_tells_another_fingerprint(module):
    """Each result has that of its own key, methods and refreshed results too."""
    steps = module(NOTED + "class Model:\n    def predict(self, x):\n        return f(x)\n")
    f = kept(steps.f)
    f(1)
    first = f.provenance(1)["fingerprint"]
    steps.LIMIT["k"] = 3
    f.refresh(1)
    second = f.provenance(1)["fingerprint"]
    predict, model = kept(steps.Model.predict), steps.Model()
    predict(model, 1)
    third = predict.provenance(model, 1)["fingerprint"]
    assert len({first, second, third}) == 3
    assert f.key_of(1)[1] == second[: len(f.key_of(1)[1])]
    assert predict.key_of(model, 1)[1] == third[: len(predict.key_of(model, 1)[1])]


# --- K10: with a version, values still count ------------------------------------------------------


def test_k10_with_a_version_the_values_of_closures_count(store):
    """Only the code is left out."""

    def times(n):
        @persist(store, version="1")
        def mul(x):
            return n * x

        return mul

    assert [times(2)(10), times(3)(10), times(2)(10)] == [20, 30, 20]
    assert times(2).key_of(10) == times(2).key_of(10) != times(3).key_of(10)


def test_k10_with_a_version_the_values_of_defaults_count(store):
    """Those of keywords too; an argument that is passed counts alone."""

    def made(by, more):
        @persist(store, version="1", name="scaled")
        def scaled(x, by=by, *, more=more):
            return x * by + more

        return scaled

    assert [made(2, 0)(10), made(3, 0)(10), made(2, 1)(10)] == [20, 30, 21]


def test_k10_with_a_version_values_deep_in_closures_count(store):
    """In containers and objects of the project, and of a function inside the function."""

    class Config:
        def __init__(self, by):
            self.by = {"by": [by]}

    def made(by):
        config = Config(by)

        @persist(store, version="1", name="deep")
        def deep(x):
            def inner(y):
                return y * config.by["by"][0]

            return [inner(y) for y in x]

        return deep

    assert [made(2)([1]), made(3)([1]), made(2)([1])] == [[2], [3], [2]]


def test_k10_with_a_version_code_does_not_count(store):
    """Neither that of the function nor that of helpers; equal closures are a hit."""

    def made(by, text):
        namespace = {"__name__": "__main__", "persist": persist, "store": store}
        source = f"""
def made(by):
    def helper(x):
        return {text}
    @persist(store, version="1", name="edited")
    def f(x):
        return helper(x) * by
    return f
"""
        exec(source, namespace)
        return namespace["made"](by)

    assert [made(2, "x")(10), made(2, "x + 1")(10), made(3, "x + 2")(10)] == [20, 20, 36]


def test_k10_with_a_version_globals_do_not_count(module):
    """As before: a version stands for them as for the code."""
    steps = module(NOTED)
    f = persist(LocalDict(), version="1")(steps.f)
    key = f.key_of(1)
    steps.LIMIT["k"] = 7
    assert f.key_of(1) == key


def test_k10_a_versioned_closure_has_one_key_everywhere(store):
    """Sent by value to another process, it finds its results."""

    def times(n):
        @persist(store, version="1")
        def mul(x):
            return n * x

        return mul

    sent = cloudpickle.loads(cloudpickle.dumps(times(3)))
    assert sent.key_of(10) == times(3).key_of(10) != times(2).key_of(10)


# --- N6: children of a script ---------------------------------------------------------------------

SPAWNING = """
import enum, json, multiprocessing
from counting import ran
from persidict_dask import digest, persist

class Color(enum.Enum):
    RED = 1
class Point:
    def __init__(self, x):
        self.x = x
LIMIT = 3
def helper(point):
    return point.x + LIMIT
@persist("{cache}")
def f(x):
    ran("f")
    return helper(Point(x))
@persist("{cache}")
def g(point, color=Color.RED):
    ran("g")
    return point.x
class Model(Point):
    @persist("{cache}")
    def predict(self, x):
        ran("predict")
        return self.x * x
def told():
    model = Model(2)
    keys = [list(f.key_of(3)), list(g.key_of(Point(1))), list(model.predict.key_of(3))]
    digests = [digest(thing) for thing in (Point(1), Color.RED, helper, Point, f)]
    return keys, digests, [f(3), g(Point(1)), model.predict(3)]
def child(queue):
    queue.put(told())
def other_child(queue):
    queue.put([f(4)])
def in_a_child(method, target):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=target, args=(queue,))
    process.start()
    found = queue.get(timeout=100)
    process.join()
    return found
if __name__ == "__main__":
    here = told()
    there = [in_a_child(method, child) for method in ("spawn", "forkserver")]
    first = in_a_child("spawn", other_child)
    print(json.dumps([here, *there, [*first, f(4)]]))
"""


def test_n6_children_of_a_script_have_its_keys(project):
    """Spawned and from a fork server: what one has computed the others find."""
    project.write("script.py", SPAWNING)
    here, spawned, served, both = json.loads(project.run("script.py"))
    assert here[0][0][0].endswith("__main__.f")
    assert here == spawned == served
    assert both == [7, 7]
    assert project.executed() == ["f", "f", "g", "predict"]


# --- N7: methods ----------------------------------------------------------------------------------

MODEL = (TEXTS / "n7_class.txt").read_text()
N7 = entries("n7.txt")
METHODS = re.findall(r'@persist\("{cache}"\)\n    def (\w+)', MODEL)


def keys_of_methods(project, text, name="shapes"):
    project.write("shapes.py", text)
    model = project.load("shapes.py", as_name=name).Model(2)
    return {method: getattr(model, method).key_of(1) for method in METHODS}


@pytest.mark.parametrize("place", ["shapes", "__main__"])
@pytest.mark.parametrize("edit", N7)
def test_n7_an_edit_of_a_class_touches_only_the_methods_that_reach_it(project, edit, place):
    """Through `self`: helpers, properties, attributes of the class, what is inherited."""
    old, new, affected = (text.rstrip("\n") for text in N7[edit])
    assert old in MODEL
    before = keys_of_methods(project, MODEL, place)
    after = keys_of_methods(project, MODEL.replace(old.strip(), new.strip(), 1), place)
    changed = {method for method in METHODS if before[method] != after[method]}
    assert changed == set(affected.split())


OUT_OF_SIGHT = {
    "passed on": "return reader(self)",
    "passed by keyword": "return reader(model=self)",
    "indexed": "return self[x]",
    "called": "return self()",
    "compared": "return 1 if self < x else 2",
    "measured": "return len(self)",
    "formatted": "return f'{self}'",
    "iterated": "return list(self)",
    "unpacked": "return [*self]",
    "added": "return self + x",
    "negated": "return -self",
    "tested": "return 1 if self else 2",
    "contained": "return x in self",
    "entered": "with self as entered:\n            return entered",
    "stored in a list": "kept = [self]\n        return kept[0].helper()",
    "stored in an attribute": "box = Box()\n        box.it = self\n        return box.it.helper()",
    "under another name": "other = self\n        return other.helper()",
    "in a nested function": "return (lambda: reader(self))()",
    "a computed name": "return getattr(self, 'hel' + 'per')()",
    "its class": "return type(self).helper(self)",
    "its class by attribute": "return self.__class__.helper(self)",
    "its attributes": "return sorted(dir(self)) and self.__getattribute__('helper')()",
    "as a default": "return (lambda model=self: model.helper())()",
    "by a pattern": "match self:\n            case Model(size=size):\n                return size",
}
WHOLE = """
from persidict_dask import persist
class Box:
    pass
def reader(model):
    return model.helper()
class Model:
    __match_args__ = ("size",)
    def helper(self):
        return VALUE
    size = property(helper)
    def __getitem__(self, x):
        return VALUE
    def __call__(self):
        return VALUE
    def __lt__(self, x):
        return VALUE > 50
    def __len__(self):
        return VALUE
    def __str__(self):
        return str(VALUE)
    def __iter__(self):
        return iter([VALUE])
    def __add__(self, x):
        return VALUE
    def __neg__(self):
        return VALUE
    def __bool__(self):
        return VALUE > 50
    def __contains__(self, x):
        return VALUE > 50
    def __enter__(self):
        return VALUE
    def __exit__(self, *error):
        pass
    @persist("{cache}")
    def f(self, x):
        BODY
"""


@pytest.mark.parametrize("how", OUT_OF_SIGHT)
def test_n7_the_whole_class_counts_where_self_goes_out_of_sight(project, how):
    """What is done with it there may call anything; an edit of that is never a stale hit."""
    found = []
    for value in ("1", "100"):
        text = WHOLE.replace("BODY", OUT_OF_SIGHT[how]).replace("VALUE", value)
        project.write("whole.py", text)
        model = project.load("whole.py").Model()
        plain = type(model).f.__wrapped__(model, 1)
        assert [model.f(1), model.f(1)] == [plain, plain]
        found.append(plain)
    assert found[0] != found[1]


FAMILY = """
from persidict_dask import persist
class Base:
    rate = 1
    def __init__(self, weight):
        self.weight = weight
    def helper(self, x):
        return x + self.rate
    @persist("{cache}")
    def f(self, x):
        return self.helper(x) * self.weight
class Child(Base):
    def helper(self, x):
        return x + 20
class Rated(Base):
    rate = 3
class Mixed(Rated, Child):
    pass
"""
FAMILY_EDITS = {
    "what is overridden": ("x + self.rate", "x - self.rate", "Base Rated"),
    "what overrides": ("x + 20", "x + 21", "Child Mixed"),
    "an attribute of the base": ("rate = 1", "rate = 2", "Base"),
    "an attribute of a subclass": ("rate = 3", "rate = 4", "Rated"),
    "the order of bases": ("(Rated, Child)", "(Child, Rated)", ""),
    "a method that comes before": (
        "    pass",
        "    def helper(self, x):\n        return 0",
        "Mixed",
    ),
}


@pytest.mark.parametrize("edit", FAMILY_EDITS)
def test_n7_a_method_reaches_what_the_class_of_the_instance_has(project, edit):
    """Overriding and inheriting: by `type(self)`, and not by the class that defines the method."""
    old, new, affected = FAMILY_EDITS[edit]
    names = ("Base", "Child", "Rated", "Mixed")
    found = []
    for text in (FAMILY, FAMILY.replace(old, new, 1)):
        project.write("family.py", text)
        family = project.load("family.py")
        found.append({name: getattr(family, name)(2).f.key_of(1) for name in names})
    assert {name for name in names if found[0][name] != found[1][name]} == set(affected.split())


def test_n7_instances_of_two_classes_share_no_results(project):
    """Equal attributes, other helpers: each gets its own value."""
    project.write("family.py", FAMILY)
    family = project.load("family.py")
    names = ("Base", "Child", "Rated", "Mixed")
    values = [getattr(family, name)(2).f(1) for name in names]
    assert values == [4, 42, 8, 42]
    assert [getattr(family, name)(3).f(1) for name in names] == [6, 63, 12, 63]


def test_n7_what_an_instance_hides_counts(project):
    """An attribute of the instance under the name of a method; the class at run time."""
    project.write("family.py", FAMILY)
    family = project.load("family.py")
    model = family.Rated(2)
    assert model.f(1) == 8
    model.rate = 5
    assert model.f(1) == 12
    family.Rated.helper = lambda self, x: 50
    assert model.f(1) == 100
    model.helper = lambda x: 70
    assert model.f(1) == 140


def test_n7_unbound_and_bound_calls_are_the_same(project):
    """By either spelling the key is that of the method and the instance."""
    project.write("family.py", FAMILY)
    family = project.load("family.py")
    model = family.Rated(2)
    keys = {
        model.f.key_of(1),
        family.Base.f.key_of(model, 1),
        family.Rated.f.key_of(self=model, x=1),
    }
    assert len(keys) == 1


def test_n7_class_methods_reach_what_they_read_of_the_class(project):
    """Through `cls`: attributes, other class methods, those of subclasses; and no more."""
    text = """
from persidict_dask import persist
class Model:
    rate = 1
    unused = 2
    @classmethod
    def helper(cls, x):
        return x * cls.rate
    @classmethod
    @persist("{cache}")
    def f(cls, x):
        return cls.helper(x) + 1
class Child(Model):
    rate = 10
"""

    def keys(text):
        project.write("made.py", text)
        made = project.load("made.py")
        assert [made.Model.f(3), made.Child.f(3)] == [
            made.Model.helper(3) + 1,
            made.Child.helper(3) + 1,
        ]
        return [made.Model.f.key_of(3), made.Child.f.key_of(3)]

    before = keys(text)
    assert before[0] != before[1]
    assert keys(text.replace("unused = 2", "unused = 3")) == before
    rate = keys(text.replace("rate = 1\n", "rate = 7\n"))
    assert (rate[0] != before[0], rate[1] == before[1]) == (True, True)
    helper = keys(text.replace("x * cls.rate", "x - cls.rate"))
    assert not {*helper} & {*before}


# --- X7: ignored arguments ------------------------------------------------------------------------


def test_x7_an_ignored_argument_may_arrive_among_keywords(store, runs):
    """The others there count."""

    @persist(store, ignore=("log",))
    def f(x, **more):
        runs.append(x)
        return x, sorted(more.keys() - {"log"})

    assert f(1) == f(1, log=print) == f(1, log=threading.Lock()) == (1, [])
    assert f(1, other=2, log=print) == (1, ["other"])
    assert f.key_of(1, log=1) == f.key_of(1) != f.key_of(1, other=1)
    assert runs == [1, 1]


def test_x7_an_ignored_argument_may_stand_behind_a_decorator(store, runs):
    """`functools.wraps` shows it, though the wrapper takes anything."""

    def shouting(g):
        @functools.wraps(g)
        def wrapper(*args, **kwargs):
            return g(*args, **kwargs)

        return wrapper

    @persist(store, ignore="log")
    @shouting
    @shouting
    def f(x, log=None, *, by=1):
        runs.append(x)
        return x * by

    assert f(2) == f(2, log=print) == f(2, log=threading.Lock()) == 2
    assert f(2, log=None, by=3) == 6
    assert runs == [2, 2]


def test_x7_an_ignored_argument_of_an_inner_call_by_keywords(store):
    """Methods and coroutine functions as well."""

    class Model:
        @persist(store, ignore=["log", "progress"])
        def f(self, x, *args, **kwargs):
            return x

    @persist(store, ignore="log")
    async def g(x, **kwargs):
        return x

    model = Model()
    assert model.f.key_of(1, log=io.StringIO(), progress=None) == model.f.key_of(1)
    assert model.f.key_of(1, 2) != model.f.key_of(1)
    assert asyncio.run(g(1, log=threading.Lock())) == 1
    assert g.is_cached(1)


def test_x7_a_name_that_nothing_can_bring_is_an_error(store):
    """Neither a parameter, nor behind a decorator, nor among keywords."""
    with pytest.raises(ValueError, match="lgo"):
        persist(store, ignore="lgo")(lambda x, log=None: x)
    with pytest.raises(ValueError, match="lgo"):
        persist(store, ignore="lgo")(lambda *args: args)


# --- K9, K13, N8, X2, X5: across processes --------------------------------------------------------

PAIRS = entries("pairs.txt")
SERVING = {
    line: f"serving_{n}" for n, line in enumerate((TEXTS / "x2.txt").read_text().splitlines())
}
SERVED = """
{line}
class Holder:
    thing = THING
def made(thing):
    def inner():
        return thing
    return inner
inner = made(THING)
def helper(x, thing=THING):
    return x + 1
def target(x):
    used = THING, Holder.thing, inner
    return helper(x)
"""


def _sources():
    for name, texts in PAIRS.items():
        yield name, texts[0], texts[1:]
    for line, name in SERVING.items():
        yield name, SERVED.replace("{line}", line), []


def _arrange(folder: Path, after: bool, cache: Path) -> None:
    (folder / "site-packages").mkdir(parents=True)
    (folder / "observe.py").write_text((TEXTS / "observe.py").read_text())
    for name, source, parts in _sources():
        names = {"{helpers}": f"helpers_{name}", "{vend}": f"vend_{name}", "{cache}": str(cache)}
        for old, new in names.items():
            source = source.replace(old, new)
        (folder / f"pair_{name}.py").write_text(f"CACHE = {str(cache)!r}\n{source}")
        if parts:
            (folder / f"helpers_{name}.py").write_text(parts[after])
            (folder / "site-packages" / f"vend_{name}.py").write_text(parts[after])


def _observe(folder: Path, setting: str) -> dict[str, dict]:
    environment = os.environ | {
        "USED_BY_N8": setting,
        f"NOISE_OF_{folder.name}": folder.name,
        "PYTHONHASHSEED": str(len(folder.name)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-W", "ignore", folder / "observe.py"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def observed(tmp_path_factory, told_once):
    """What happens before an edit, again in another folder, and after the edit: three processes."""
    return told_once("pairs-of-keys", lambda: _observed(*map(tmp_path_factory.mktemp, "ab")))


def _observed(base, cache):
    folders = {"before": False, "again": False, "after": True}
    found = {}
    for name, is_after in folders.items():
        folder = base / name / ("deep" * is_after) / name
        _arrange(folder, is_after, cache)
        found[name] = _observe(folder, "two" if is_after else "one")
    return found


def of_kind(kind):
    return [name for name in PAIRS if name.startswith(f"{kind}_")]


def assert_told_apart(observed, name):
    """In another folder and process the call is a hit; after the edit it is, if that is nothing."""
    before, again, after = (observed[at][name] for at in ("before", "again", "after"))
    for found in (before, again, after):
        assert "error" not in found, found["error"]
        assert found["values"] == [found["plain"]] * 2
    assert again["key"] == before["key"]
    assert (before["misses"], before["hits"]) == (1, 1)
    assert (again["misses"], again["hits"]) == (0, 2)
    texts = PAIRS.get(name, [""])
    is_other = "# after: other" in texts[0] or (len(texts) > 1 and "# after: same" not in texts[0])
    assert (after["key"] != before["key"]) == is_other
    assert after["misses"] == is_other


@pytest.mark.parametrize("name", of_kind("k9"))
def test_k9_what_an_inner_function_counts_by_value_counts_outside(observed, name):
    """An installed module that only the inner one names in `by_value`."""
    assert_told_apart(observed, name)


@pytest.mark.parametrize("name", of_kind("k13"))
def test_k13_what_a_constant_name_leads_to_counts(observed, name):
    """Modules by `import_module`, accessors that the project has given to frames of a library."""
    assert_told_apart(observed, name)


@pytest.mark.parametrize("name", of_kind("n8"))
def test_n8_where_things_lie_does_not_count(observed, name):
    """Folders, file names and names of modules; of the environment the names that are used."""
    assert_told_apart(observed, name)


def named(line: str) -> str:
    return re.search(r"import (\w+) as THING|THING = (.*)", line)[0].removeprefix("THING = ")[:40]


@pytest.mark.parametrize("line", SERVING, ids=named)
def test_x2_what_serves_code_may_stand_anywhere_in_it(observed, line):
    """As a global, in a closure, as a default, as an attribute of a class; with one key."""
    assert_told_apart(observed, SERVING[line])


SOME_CONTENT = r"getLogger|asyncio|NullHandler|stdin|stdout|stderr|logger as THING"
"""A logger and what a library has made have names; others hold nothing yet that has no content."""
REFUSED = [line for line in SERVING if not re.search(SOME_CONTENT, line)]


@pytest.mark.parametrize("line", REFUSED, ids=named)
def test_x2_what_serves_code_is_no_argument(line):
    """There it would be data; the error names it."""
    namespace: dict[str, object] = {"__name__": "serving"}
    exec(line, namespace)
    f = persist(LocalDict())(lambda x: 1)
    with pytest.raises(UnstableKeyError):
        f.key_of({"a": [namespace["THING"]]})


@pytest.mark.parametrize("name", of_kind("x5"))
def test_x5_what_can_be_called_is_persisted_or_refused_at_once(observed, name):
    """It hits in another process and misses after an edit; or the decorator says why not."""
    found = [observed[at][name] for at in ("before", "again", "after")]
    if all("refused" in one for one in found):
        for one in found:
            assert any(name in one["refused"] for name in one["names"])
            assert "signature found" not in one["refused"]
        return
    assert_told_apart(observed, name)


@pytest.mark.parametrize("name", ["function_of_numpy", "jitted", "cached", "bound_method"])
def test_x5_functions_with_a_signature_are_not_refused(observed, name):
    """They were made by `def`: their arguments can be told by name."""
    assert "refused" not in observed["before"][f"x5_{name}"]
