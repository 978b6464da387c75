"""Objects of libraries: known by name and version, and what they wrap by value."""

from __future__ import annotations

import enum
import functools
import operator
import os
import random
import sys
import textwrap
import types
import typing

import numpy as np
import pytest

from persidict_dask import digest
from persidict_dask._errors import UnstableKeyError

PRINT_KEY = """
import calls
from persidict_dask import persist
print("/".join(persist("{cache}", name="f")(calls.f).key_of(*getattr(calls, "ARGUMENTS", (1,)))))
"""


@pytest.fixture
def keys(new_project):
    """The keys of `f` in a module `calls`, each made in a new process after some edits."""

    def found(source, *edits, before="", **files):
        made = new_project()
        made.write("calls.py", source)
        made.write("key.py", before + textwrap.dedent(PRINT_KEY))
        for name, text in files.items():
            made.write(f"{name}.py", text)
        result = [made.run("key.py")]
        for old, new in edits:
            made.edit("calls.py", old, new)
            result.append(made.run("key.py"))
        return result

    return found


# -- K1: what pickles by a name hides what is inside ----------------------------------------------

WRAPPERS = {
    "toolz.curry": "import toolz\n@toolz.curry\n",
    "a wrapt decorator": (
        "import wrapt\n@wrapt.decorator\ndef plain(wrapped, instance, args, kwargs):\n"
        "    return wrapped(*args, **kwargs)\n@plain\n"
    ),
    "deprecated": "import deprecated\n@deprecated.deprecated(version='1')\n",
    "dask.delayed": "import dask\n@dask.delayed\n",
    "numpy.vectorize": "import numpy\n@numpy.vectorize\n",
    "a vectorized signature": "import numpy\n@numpy.vectorize(otypes=[float])\n",
    "numpy.frompyfunc": "import numpy\n@lambda f: numpy.frompyfunc(f, 2, 1)\n",
    "joblib.Memory": "import joblib\n@joblib.Memory(None, verbose=0).cache\n",
    "tenacity": "import tenacity\n@tenacity.retry\n",
    "functools.singledispatch": "import functools\n@functools.singledispatch\n",
    "functools.partial": "import functools\n@lambda f: functools.partial(f, 1)\n",
    "a subclass of partial": ("import functools\nclass P(functools.partial):\n    pass\n@P\n"),
    "click": "import click\n@click.command()\n",
    "a path in __reduce__": "import by_path\n@by_path.Named\n",
    "a path, and the function in a list in a slot": "import by_path\n@by_path.Slotted\n",
}
BY_PATH = """
import functools
class Named:
    def __init__(self, function):
        functools.update_wrapper(self, function)
    def __call__(self, *args):
        return self.__wrapped__(*args)
    def __reduce__(self):
        return self.__qualname__
class Slotted:
    __slots__ = ("hooks", "module", "name")
    def __init__(self, function):
        self.hooks, self.module, self.name = [function], function.__module__, function.__name__
    def __call__(self, *args):
        return self.hooks[0](*args)
    def __reduce__(self):
        return find, (self.module, self.name)
def find(module, name):
    import importlib
    return getattr(importlib.import_module(module), name)
"""


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_k1_what_a_wrapper_of_a_library_hides_counts_by_value(keys, library, wrapper):
    """An edit of a helper under any decorator is a miss, and no edit is none."""
    library("by_path", BY_PATH)
    source = f"""{wrapper}def scale(k, x=2):
    return k * x + 1

def f(x):
    return scale(2)
"""
    before, same, after = keys(source, ("+ 1", "+ 1  # a comment"), ("x + 1", "x + 100"))
    assert before == same != after


def test_k1_a_wrapper_as_an_argument_counts_what_it_wraps():
    """Equal names are not equal functions."""
    import toolz

    def made(text):
        namespace = {"__name__": "calls"}
        exec(text, namespace)
        return namespace["scale"]

    one, same, two = (toolz.curry(made(f"def scale(k):\n    return k + {n}")) for n in (1, 1, 2))
    assert digest(one) == digest(same) != digest(two)
    assert digest(toolz.curry(operator.add, 1)) != digest(toolz.curry(operator.add, 2))


def test_k1_a_constructor_that_holds_something_is_no_name():
    """What makes the copy counts with all that was bound to it."""

    class Made:
        def __init__(self, by):
            self.by = by

        def __reduce__(self):
            return functools.partial(Made, self.by), ()

    assert digest(Made(1)) == digest(Made(1)) != digest(Made(2))


def _rebuilt(by):
    return by


# -- K2: a string from __reduce__ -----------------------------------------------------------------


class Masked:
    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        return "NOWHERE"


class Proud:
    def __init__(self, content):
        self.content = content

    def __reduce__(self):
        return "PROUD"


PROUD = Proud(1)


def test_k2_a_name_that_does_not_lead_to_the_object_is_refused():
    """As pickle refuses it."""
    with pytest.raises(UnstableKeyError, match=r"^args\[0\]\['a'\]: .*Masked.*'NOWHERE'"):
        digest({"a": Masked(1)})
    with pytest.raises(UnstableKeyError, match="'PROUD', and that does not lead to it"):
        digest(Proud(1))


def test_k2_a_name_of_the_project_is_no_content(monkeypatch):
    """What stands under a name of the project may be edited."""
    before = digest(PROUD)
    monkeypatch.setattr(PROUD, "content", 2)
    assert digest(PROUD) != before


def test_k2_functions_of_arrays_are_told_apart():
    """Those of a library by name and version, those of `frompyfunc` by their function."""
    import scipy.special

    found = [
        np.sin,
        np.cos,
        scipy.special.gamma,
        scipy.special.erf,
        np.add,
        np.linalg.norm,
        np.mean,
    ]
    assert len({digest(f) for f in found}) == len(found)
    made = [
        np.frompyfunc(lambda a: a + 1, 1, 1),
        np.frompyfunc(lambda a: a * 2, 1, 1),
        np.frompyfunc(lambda a: a + 1, 1, 1, identity=0),
        np.frompyfunc(lambda *a: 1, 2, 1),
        np.frompyfunc(lambda *a: 1, 1, 2),
    ]
    assert len({digest(f) for f in made}) == len(made)
    assert digest(np.frompyfunc(lambda a: a + 1, 1, 1)) == digest(made[0])


def test_k2_parameters_of_types_are_what_they_say():
    """They pickle by name, and often stand where no name leads to."""
    one, same = typing.TypeVar("T"), typing.TypeVar("T")
    assert digest(one) == digest(same) != digest(typing.TypeVar("S"))
    assert (
        digest(one)
        != digest(typing.TypeVar("T", bound=int))
        != digest(typing.TypeVar("T", int, str))
    )


# -- K3: an object of a library's class counts with the version -----------------------------------

LIBRARY = """
import collections, dataclasses, enum
class Go:
    def __init__(self, n=1):
        self.n = n
    def __call__(self, x):
        return x
@dataclasses.dataclass
class Data:
    n: int = 1
class Color(enum.Enum):
    RED = 1
Pair = collections.namedtuple("Pair", "a b")
class Names(set):
    pass
class Error(Exception):
    pass
class Table(dict):
    pass
go = Go()
"""
USES = {
    "a global": "from mylib import go\ndef f(x):\n    return go(x)",
    "a default": "from mylib import go\ndef f(x, g=go):\n    return g(x)",
    "in a closure": (
        "from mylib import go\ndef made(g):\n    def f(x):\n        return g(x)\n    return f\n"
        "f = made(go)"
    ),
    "an object of one's own": "import mylib\nGO = mylib.Go(5)\ndef f(x):\n    return GO(x)",
    "an argument": "import mylib\nARGUMENTS = (mylib.Go(),)\ndef f(x):\n    return x",
    "a named argument": "import mylib\nARGUMENTS = (mylib.go,)\ndef f(x):\n    return x",
    "an attribute of an argument": (
        "import mylib\nclass Job:\n    pass\njob = Job()\njob.go = mylib.Go()\n"
        "ARGUMENTS = (job,)\ndef f(x):\n    return x"
    ),
    "a method of an object": (
        "from mylib import go\nrun = go.__call__\ndef f(x):\n    return run(x)"
    ),
    **{
        made: f"import mylib\nARGUMENTS = ([mylib.{made}],)\ndef f(x):\n    return x"
        for made in (
            "Data()",
            "Color.RED",
            "Pair(1, 2)",
            "Names([1])",
            "Error(1)",
            "Table(a=1)",
            "Go",
            "go.__call__",
        )
    },
}


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Write a library into a folder that new processes have on their path."""
    folder = tmp_path / "env" / "site-packages"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.getcwd()]))

    def write(name, text, version="0.1"):
        for old in folder.glob(f"{name}-*.dist-info"):
            (old / "METADATA").unlink()
            (old / "RECORD").unlink()
            old.rmdir()
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (folder / f"{name}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(f"{name}.py,,\n")
        return folder

    return write


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_k3_an_object_of_a_library_counts_with_its_version(new_project, library, use):
    """Wherever it stands: another version may do something else with the same state."""
    made = new_project()
    made.write("calls.py", use)
    made.write("key.py", PRINT_KEY)
    found = []
    for version in ("0.1", "0.1", "0.2"):
        library("mylib", LIBRARY, version)
        found.append(made.run("key.py"))
    assert found[0] == found[1] != found[2]


# -- N2: the objects that a process shares ---------------------------------------------------------

SHARED = {
    "random.shuffle": ("from random import shuffle", "shuffle", "shuffle([1, 2])"),
    "random.random": ("from random import random", "random", "random()"),
    "numpy.random.normal": ("from numpy.random import normal", "normal", "normal(size=3)"),
    "scipy.stats.norm": ("from scipy.stats import norm", "norm", "norm.rvs(size=3)"),
    "scipy.stats.poisson": ("from scipy.stats import poisson", "poisson", "poisson(3).rvs()"),
    "os.environ": ("from os import environ", "environ", "environ.update(NEW='1')"),
    "sys.stderr": ("from sys import stderr", "stderr", "stderr.write('x')"),
    "a bound method": ("from scipy.stats import norm\npdf = norm.pdf", "pdf", "norm.rvs(size=2)"),
    "np.random's generator": (
        "import numpy\nrng = numpy.random.mtrand._rand",
        "rng",
        "rng.normal()",
    ),
    "an argument": ("import random\nARGUMENTS = (random.shuffle,)", "ARGUMENTS", "random.random()"),
}


@pytest.mark.parametrize("case", SHARED.values(), ids=SHARED)
def test_n2_what_an_installed_module_made_counts_by_name(keys, case):
    """In other processes, after use, and whatever else is loaded."""
    text, name, use = case
    source = f"{text}\ndef f(x):\n    return {name}\nNOTHING = 0\n"
    before, after_use = keys(source, ("NOTHING = 0", use))
    (beside_others,) = keys(
        source, before="import sklearn.linear_model, statistics, xarray, dask\n"
    )
    assert before == after_use == beside_others


def test_n2_generators_of_the_user_count_by_state():
    """Only those of the process have a fixed token."""
    assert digest(random.Random(3)) == digest(random.Random(3)) != digest(random.Random(4))
    one, two = np.random.RandomState(1), np.random.RandomState(2)
    assert digest(one) != digest(two) != digest(np.random.mtrand._rand)
    assert digest(np.random.default_rng(3)) != digest(np.random.default_rng(4))


def test_n2_what_functions_of_a_library_assign_is_state(library, monkeypatch):
    """A library that remembers the last object does not name it."""
    monkeypatch.syspath_prepend(
        library(
            "keeper",
            """
class Model:
    def __init__(self, n):
        self.n = n
        global last
        last = self
first = Model(0)
last = None
""",
        )
    )
    import keeper

    assert digest(keeper.Model(1)) == digest(keeper.Model(1)) != digest(keeper.Model(2))
    keeper.injected = keeper.Model(3)
    assert digest(keeper.injected) == digest(keeper.Model(3))
    before = digest(keeper.first)
    keeper.first.n = 5
    assert digest(keeper.first) == digest(keeper.Model(5)) != before
    del sys.modules["keeper"]


def test_n2_a_lazily_loaded_module_does_not_change_the_name(library, keys):
    """The module that makes an object names it, not the others that import it."""
    library("deeply_in_made", "import random\nRNG = random.Random(5)\n")
    library("a", "from deeply_in_made import RNG\n")
    source = "from deeply_in_made import RNG\ndef f(x):\n    return RNG\n"
    alone = keys(source)
    assert alone == keys(source, before="import a\n") == keys("import a\n" + source)


class Pretender:
    """Like the libraries of cffi: no module, but it says so."""

    __slots__ = ()
    __class__ = types.ModuleType


class Unbound:
    """Like proxies of werkzeug: asked outside of a request, what they are is an error."""

    @property
    def __class__(self):
        raise RuntimeError("working outside of a request")


def test_n2_modules_that_are_none_do_no_harm(monkeypatch):
    """All that is loaded is looked through for names, whatever it is."""
    module = types.ModuleType("request_of_n2")
    module.request = Unbound()
    sentinel = module.MISSING = object()
    monkeypatch.setitem(sys.modules, "pretender_of_n2", Pretender())
    monkeypatch.setitem(sys.modules, "request_of_n2", module)
    assert digest(sentinel) == digest(module.MISSING)


# -- X1: sentinels --------------------------------------------------------------------------------

SENTINELS = """
class Tag:
    pass
_MISSING = object()
OTHER = object()
A, B = Tag(), Tag()
class Holder:
    UNSET = object()
"""
PLACES = {
    "a default": "def f(x, y={}):\n    return y is {}",
    "a global": "def f(x):\n    return {}",
    "an argument": "ARGUMENTS = ({},)\ndef f(x):\n    return x",
    "in a dict": "TABLE = {{'a': {}}}\ndef f(x):\n    return TABLE",
    "in a closure": "def made(v):\n    def f(x):\n        return v\n    return f\nf = made({})",
}


@pytest.mark.parametrize("text", PLACES.values(), ids=PLACES)
def test_x1_a_sentinel_counts_by_module_and_name(keys, text):
    """Wherever it stands, whoever imports it, and told from each other one."""
    found = {}
    for name in ("_MISSING", "OTHER", "A", "B", "Holder.UNSET"):
        source = "from tags import *\nfrom tags import _MISSING\n" + text.format(name, name)
        first = keys(source, tags=SENTINELS)
        assert first == keys(
            source,
            tags=SENTINELS,
            before="import tags, another\n",
            another="from tags import *\nfrom tags import _MISSING\n",
        )
        found[name] = first[0]
    assert len(set(found.values())) == len(found)


def test_x1_a_script_has_sentinels_too(new_project):
    """Also one that is bound after the first call."""
    made = new_project()
    made.write(
        "script.py",
        """
        from persidict_dask import persist
        _MISSING = object()
        @persist("{cache}")
        def f(x, y=_MISSING):
            return y is _MISSING
        print(f.key_of(1)[-1])
        LATE = object()
        print(f.key_of(LATE)[-1])
        print(f.key_of(_MISSING)[-1])
    """,
    )
    lines = made.run("script.py").split()
    assert lines == made.run("script.py").split()
    assert len(set(lines)) == 3


class Unique(enum.Enum):
    ONE = object()
    TWO = object()  # noqa: PIE796 - no object is equal to another


def test_x1_members_that_are_nothing_but_unique_count_by_name():
    """An enum of sentinels is told apart by its names."""
    assert digest(Unique.ONE) != digest(Unique.TWO)


def test_x1_what_no_module_names_is_refused():
    """Nothing tells it from others in another process."""
    with pytest.raises(UnstableKeyError, match="no module names it"):
        digest([object()])


def test_x1_instances_with_behaviour_are_what_they_do():
    """A copy on a worker does the same, so the name does not count."""
    assert digest(STRATEGY) == digest(Strategy())


class Strategy:
    def run(self, x):
        return x


STRATEGY = Strategy()


# -- the self-check -------------------------------------------------------------------------------


class Drifting:
    """Its content is another one in each copy."""

    def __init__(self, n=0):
        self.n = n

    def __getstate__(self):
        return {"n": self.n}

    def __setstate__(self, state):
        self.n = state["n"] + 1


class Identified:
    def __reduce__(self):
        return Identified, (), {"id": id(self)}

    def __setstate__(self, state):
        pass


class Steady(Drifting):
    def __setstate__(self, state):
        self.__dict__.update(state)


class Large(Drifting):
    def __init__(self, n=0):
        super().__init__(n)
        self.data = b""

    def __getstate__(self):
        return {"n": self.n, "data": self.data}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.data = state["data"]


@pytest.mark.parametrize("made", [Drifting, Identified])
def test_an_unknown_kind_that_changes_in_a_round_trip_is_an_error(made):
    """It names the object, each time, instead of missing for ever."""
    for _ in range(2):
        with pytest.raises(
            UnstableKeyError, match=r"^args\[0\]\['a'\]\.part: .*copy made by pickle"
        ):
            digest({"a": _holding(made())})


def _holding(part):
    held = types.SimpleNamespace()
    held.part = part
    return held


def test_the_check_runs_once_per_type(monkeypatch):
    """A type that has passed is not copied again."""
    calls = []
    monkeypatch.setattr(
        Steady, "__setstate__", lambda self, state: calls.append(self.__dict__.update(state))
    )
    found = [digest([Steady(n), Steady(n)]) for n in (1, 2, 1)]
    assert found[0] == found[2] != found[1]
    assert len(calls) == 1


def test_the_check_leaves_out_what_is_large():
    """The next object of the type is tried."""
    large = Large()
    large.data = bytes(2 << 20)
    assert digest(large) == digest(large)
    with pytest.raises(UnstableKeyError, match="copy made by pickle"):
        digest(Large())


class Wired(Steady):
    def __getstate__(self):
        return {"n": self.n, "rng": self.rng, "run": self.run, "unset": self.unset}


def test_the_check_takes_code_and_named_objects_as_they_are():
    """Functions need not be importable; a copy of a generator of the process has its state."""
    wired = Wired()
    wired.rng, wired.run, wired.unset = None, lambda x: x, _UNSET
    assert digest(wired) == digest(wired)
    with pytest.raises(UnstableKeyError, match="made by pickle"):
        digest(Other(random._inst))


class Other:
    """Another kind, of which nothing was checked before."""

    def __init__(self, rng):
        self.rng = rng

    def __reduce__(self):
        return Other, (self.rng,)


_UNSET = object()


# -- refusals -------------------------------------------------------------------------------------


def test_x2_a_refusal_offers_a_way_out_for_globals():
    """`ignore=` takes arguments by name and globals by module and name."""
    with pytest.raises(UnstableKeyError, match=r"ignore=.*global as 'module.name'"):
        digest(open(os.devnull))  # noqa: SIM115


def test_x3_a_delayed_value_stays_refused():
    """The function is known, the value is not."""
    import dask

    lazy = dask.delayed(_rebuilt)
    assert digest(lazy) == digest(dask.delayed(_rebuilt)) != digest(dask.delayed(_holding))
    with pytest.raises(UnstableKeyError, match="not computed yet"):
        digest(lazy(1))
    with pytest.raises(UnstableKeyError, match="not computed yet"):
        digest(dask.delayed(5))


# -- use ------------------------------------------------------------------------------------------


def test_using_an_object_does_not_change_its_digest():
    """Caches that a call leaves are no content."""
    import toolz

    vectorized, curried = np.vectorize(_rebuilt, otypes=[float]), toolz.curry(_rebuilt)
    before = digest(vectorized, curried)
    vectorized([1.0, 2.0]), curried(1), repr(curried), curried.__signature__
    assert digest(vectorized, curried) == before


def test_large_data_of_library_objects_costs_little():
    """A list of many objects of one library class is looked up, not searched for."""
    many = [types.SimpleNamespace(a=n) for n in range(2000)]
    assert digest(many) == digest([types.SimpleNamespace(a=n) for n in range(2000)])
