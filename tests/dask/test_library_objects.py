"""Objects of libraries: known by name and version, and what they wrap by value."""

from __future__ import annotations

import enum
import functools
import json
import operator
import os
import random
import re
import shutil
import sys
import textwrap
import types
import typing

import numpy as np
import pytest

from persidict_dask import digest
from persidict_dask._errors import UnstableKeyError

PRINT_KEYS = """
import importlib, json, pathlib
from persidict_dask import persist
found = {}
for path in sorted(pathlib.Path(__file__).parent.glob("calls_*.py")):
    calls = importlib.import_module(path.stem)
    key = persist("{cache}", name="f")(calls.f).key_of(*getattr(calls, "ARGUMENTS", (1,)))
    found[path.stem] = "/".join(key)
print(json.dumps(found))
"""
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


def keys_of(project, sources, before="", **files):
    """The key of `f` in each of some modules, all made in one new process."""
    names = {what: "calls_" + re.sub(r"\W", "_", what) for what in sources}
    for what, name in names.items():
        project.write(f"{name}.py", sources[what])
    for name, text in files.items():
        project.write(f"{name}.py", text)
    project.write("keys.py", before + textwrap.dedent(PRINT_KEYS))
    found = json.loads(project.run("keys.py"))
    return {what: found[name] for what, name in names.items()}


class Libraries:
    """A folder of libraries that new processes have on their path."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder / "site-packages"
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(self.folder), os.getcwd()]))

    def __call__(self, name, text, version="0.1"):
        for old in self.folder.glob(f"{name}-*.dist-info"):
            shutil.rmtree(old)
        info = self.folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (self.folder / f"{name}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(f"{name}.py,,\n")
        return self.folder


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Write a library."""
    return Libraries(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def shared_library(tmp_path_factory):
    """Write a library, for what is made once for many tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Libraries(tmp_path_factory.mktemp("libraries"), monkeypatch)


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


SCALE = """def scale(k, x=2):
    return k * x + 1

def f(x):
    return scale(2)
"""


@pytest.fixture(scope="module")
def under_wrappers(new_project, shared_library):
    """The keys before, after an edit of the look, and after one of the meaning."""
    shared_library("by_path", BY_PATH)
    looks = (SCALE, SCALE.replace("+ 1", "+ 1  # a comment"), SCALE.replace("x + 1", "x + 100"))
    texts = [{what: wrapper + text for what, wrapper in WRAPPERS.items()} for text in looks]
    return [keys_of(new_project(), each) for each in texts]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_k1_what_a_wrapper_of_a_library_hides_counts_by_value(under_wrappers, wrapper):
    """An edit of a helper under any decorator is a miss, and no edit is none."""
    before, same, after = (keys[wrapper] for keys in under_wrappers)
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


@pytest.fixture(scope="module")
def with_versions(new_project, shared_library):
    """The keys with two equal versions of a library, and with another one."""
    made, found = new_project(), []
    for version in ("0.1", "0.1", "0.2"):
        shared_library("mylib", LIBRARY, version)
        found.append(keys_of(made, USES))
    return found


@pytest.mark.parametrize("use", USES)
def test_k3_an_object_of_a_library_counts_with_its_version(with_versions, use):
    """Wherever it stands: another version may do something else with the same state."""
    one, same, other = (keys[use] for keys in with_versions)
    assert one == same != other


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


@pytest.fixture(scope="module")
def of_shared(new_project):
    """The keys in a process, in one that has used the objects, and beside other libraries."""
    found = []
    for rest in ("", "{use}", ""):
        before = (
            "import sklearn.linear_model, statistics, xarray, dask\n" if len(found) == 2 else ""
        )
        sources = {
            what: f"{text}\ndef f(x):\n    return {name}\n{rest.format(use=use)}\n"
            for what, (text, name, use) in SHARED.items()
        }
        found.append(keys_of(new_project(), sources, before=before))
    return found


@pytest.mark.parametrize("what", SHARED)
def test_n2_what_an_installed_module_made_counts_by_name(of_shared, what):
    """In other processes, after use, and whatever else is loaded."""
    before, after_use, beside_others = (keys[what] for keys in of_shared)
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


NAMES = ("_MISSING", "OTHER", "A", "B", "Holder.UNSET")
IMPORTS = "from tags import *\nfrom tags import _MISSING\n"


@pytest.fixture(scope="module")
def of_sentinels(new_project):
    """The keys where the module that makes them is imported first, and where another one is."""
    sources = {
        f"{place} {name}": IMPORTS + text.format(name, name)
        for place, text in PLACES.items()
        for name in NAMES
    }
    one = keys_of(new_project(), sources, tags=SENTINELS)
    two = keys_of(
        new_project(), sources, before="import tags, another\n", tags=SENTINELS, another=IMPORTS
    )
    return one, two


@pytest.mark.parametrize("place", PLACES)
def test_x1_a_sentinel_counts_by_module_and_name(of_sentinels, place):
    """Wherever it stands, whoever imports it, and no two of them alike."""
    one, two = ([keys[f"{place} {name}"] for name in NAMES] for keys in of_sentinels)
    assert one == two
    assert len(set(one)) == len(NAMES)


def test_x1_a_sentinel_that_nobody_else_imports(of_sentinels, new_project):
    """Alone in its process it has the key that it has beside many."""
    what = "a default _MISSING"
    alone = keys_of(
        new_project(), {what: IMPORTS + PLACES["a default"].format(*NAMES[:1] * 2)}, tags=SENTINELS
    )
    assert alone[what] == of_sentinels[0][what]


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
    with pytest.raises(UnstableKeyError, match=r"ignore=.*'module.x' for a global"):
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
