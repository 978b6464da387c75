"""Fingerprints of code: what they are made of, and what they refuse."""

from __future__ import annotations

import importlib
import json
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import types

import numpy as np
import pytest

from persidict_dask._code import fingerprint
from persidict_dask._errors import UnstableKeyError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules of a package `shop` and import one; nothing of it stays loaded."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(module, **texts):
        for name, text in {"__init__": "", **texts}.items():
            path = tmp_path / "shop" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return importlib.import_module(f"shop.{module}")

    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.fixture
def script():
    """Definitions as a notebook cell makes them: in a namespace called `__main__`."""
    namespace = {"__name__": "__main__"}

    def run(text):
        exec(textwrap.dedent(text), namespace)
        return types.SimpleNamespace(**namespace)

    return run


def changed(before, after):
    """Names of the components that differ."""
    pairs = before.components.items() ^ after.components.items()
    return {name for name, _ in pairs}


# -- components ---------------------------------------------------------------------------------


def test_components_name_all_that_went_in(package):
    """Functions, classes, globals, defaults, closures, libraries and Python are named."""
    module = package(
        "calls",
        calls="""
            import numpy as np
            from shop import helpers
            from shop.helpers import clean
            LIMIT = 3
            class Row:
                size = 2
            def made(by):
                def f(x, y=1):
                    return np.sum(clean(x)) + LIMIT + by + Row.size + helpers.deep(y)
                return f
            target = made(5)
        """,
        helpers="""
            OFFSET = 7
            def clean(x):
                return x + OFFSET
            def deep(x):
                return x
        """,
    )
    made = fingerprint(module.target)
    assert set(made.components) == {
        "function shop.calls.made.<locals>.f",
        "function shop.helpers.clean",
        "function shop.helpers.deep",
        "attribute shop.calls.Row.size",
        "class shop.calls.Row",
        "global shop.calls.LIMIT",
        "global shop.helpers.OFFSET",
        "default shop.calls.made.<locals>.f.y",
        "closure shop.calls.made.<locals>.f.by",
        "library numpy",
        "python",
    }
    assert made.components["library numpy"] == np.__version__
    assert made.components["python"] == "{}.{}".format(*sys.version_info[:2])
    json.dumps(made.components)


def test_the_component_that_changed_is_the_one_that_differs(script):
    """An edit of a helper shows in the helper's component alone."""
    text = "def clean(x):\n    return x + {}\ndef f(x):\n    return clean(x)\n"
    before = fingerprint(script(text.format(1)).f)
    after = fingerprint(script(text.format(2)).f)
    assert changed(before, after) == {"function __main__.clean"}
    assert before.hexdigest != after.hexdigest


def test_two_lambdas_of_one_name_are_two_components(script):
    """Components of equal names are numbered."""
    f = script("pair = (lambda: 1, lambda: 2)\ndef f():\n    return pair\n").f
    names = {name for name in fingerprint(f).components if "lambda" in name}
    assert names == {"function __main__.<lambda>", "function __main__.<lambda> #2"}


def test_a_renamed_module_keeps_the_fingerprint(package):
    """The identity of code is not its place."""
    text = "LIMIT = 1\nclass Row:\n    a = 1\ndef f(x):\n    return x + LIMIT + Row.a\n"
    one = package("one", one=text, two=text)
    two = importlib.import_module("shop.two")
    assert fingerprint(one.f).hexdigest == fingerprint(two.f).hexdigest


def test_an_import_inside_a_function_is_followed(package):
    """Relative and absolute imports, of functions and of modules, count as reads."""
    module = package(
        "calls",
        calls="""
            def one(x):
                from .helpers import clean as c
                return c(x)
            def two(x):
                import shop.helpers
                return shop.helpers.clean(x)
            def three(x):
                import shop.helpers as h
                return [h.clean(v) for v in x]
            def four(x):
                from shop import helpers
                return helpers.clean(x)
        """,
        helpers="def clean(x):\n    return x\ndef unused(x):\n    return x\n",
    )
    for f in (module.one, module.two, module.three, module.four):
        components = fingerprint(f).components
        assert "function shop.helpers.clean" in components
        assert "function shop.helpers.unused" not in components


def test_an_import_of_a_library_inside_a_function_does_not_import_it(script):
    """The version is known without the library."""
    f = script("def f(x):\n    import matplotlib.sankey\n    return x\n").f
    assert "library matplotlib" in fingerprint(f).components
    assert "matplotlib.sankey" not in sys.modules


def test_an_import_that_fails_is_a_state_of_its_own(script):
    """An optional module that is absent does not stop the key."""
    text = """
        def f(x):
            try:
                import no_such_module_anywhere as m
            except ImportError:
                return None
            return m.run(x)
    """
    assert fingerprint(script(text).f).hexdigest == fingerprint(script(text).f).hexdigest


def test_a_module_as_a_value_counts_as_a_whole(package):
    """Whoever passes a module on may read anything in it."""
    text = "def f(x):\n    return getattr(helpers, x)()\n"
    module = package(
        "calls",
        calls=f"from shop import helpers\n{text}",
        helpers="def one():\n    return 1\n",
    )
    assert "function shop.helpers.one" in fingerprint(module.f).components


def test_code_of_a_library_counts_by_version_unless_told_otherwise():
    """`by_value` takes the code of an installed package into the fingerprint."""
    import toolz.functoolz

    plain = fingerprint(toolz.functoolz.compose)
    assert set(plain.components) == {"library toolz", "python"}
    by_value = fingerprint(toolz.functoolz.compose, by_value=["toolz"])
    assert "function toolz.functoolz.compose" in by_value.components
    assert fingerprint(toolz.functoolz.compose, by_value=toolz).components == by_value.components
    assert by_value.hexdigest != plain.hexdigest


def test_a_distribution_is_found_by_what_it_brings():
    """The name of a module is not the name of its distribution."""
    import dateutil.parser
    import sklearn.linear_model

    assert "library scikit-learn" in fingerprint(sklearn.linear_model.LinearRegression).components
    assert "library python-dateutil" in fingerprint(dateutil.parser.parse).components


def test_another_version_of_a_library_is_another_fingerprint(script, monkeypatch):
    """Library code counts by its version."""
    from persidict_dask import _origin
    from persidict_dask._installed import Installed

    f = script("import toolz\ndef f(x):\n    return toolz.first(x)\n").f
    before = fingerprint(f)
    monkeypatch.setattr(_origin, "installed", lambda *_: Installed("toolz", "99"))
    _origin.origin_of_module.cache_clear()
    try:
        again = fingerprint(script("import toolz\ndef f(x):\n    return toolz.first(x)\n").f)
    finally:
        _origin.origin_of_module.cache_clear()
    assert changed(before, again) == {"library toolz"}
    assert before.hexdigest != again.hexdigest


def test_another_python_is_another_fingerprint(script, monkeypatch):
    """What is compiled anew and what is built in may behave in another way."""
    from persidict_dask._code import identity

    text = "def f(x):\n    return x\n"
    before = fingerprint(script(text).f)
    monkeypatch.setattr(identity, "PYTHON_ORIGIN", identity.PYTHON_ORIGIN._replace(version="3.99"))
    after = fingerprint(script(text).f)
    assert changed(before, after) == {"python"}
    assert before.hexdigest != after.hexdigest


# -- shapes -------------------------------------------------------------------------------------


def test_a_long_chain_of_helpers_is_followed_to_its_end(script):
    """Deeper than the stack of Python, and recursive all around."""
    text = "".join(f"def f{n}(x):\n    return f{(n + 1) % 1500}(x)\n" for n in range(1500))
    before = fingerprint(script(text).f0)
    after = fingerprint(script(text.replace("return f999(x)", "return f999(-x)")).f0)
    assert changed(before, after) == {"function __main__.f998"}
    assert before.hexdigest != after.hexdigest


def test_callables_of_each_kind_have_a_fingerprint(script):
    """Partials, methods, callable objects, classes, built-ins and wrappers of libraries."""
    namespace = script("""
        import functools, operator
        class Clean:
            def __init__(self, by):
                self.by = by
            def __call__(self, x):
                return x + self.by
            def run(self, x):
                return x - self.by
        def f(x, y):
            return x + y
        targets = [functools.partial(f, 1), Clean(1), Clean(2), Clean(1).run, Clean(2).run,
            Clean.run, Clean, len, "a".join, "b".join, str.upper, operator.itemgetter(1),
            operator.itemgetter(2), functools.lru_cache(f), functools.partial(f, 2), f]
    """)
    found = [fingerprint(target).hexdigest for target in namespace.targets]
    assert len(set(found)) == len(found)
    assert found == [fingerprint(target).hexdigest for target in namespace.targets]


def test_locks_and_loggers_serve_code_without_being_data(script):
    """A global lock, logger or thread-local is known by its type."""
    text = """
        import logging, threading, weakref
        LOCK, LOG, LOCAL = threading.RLock(), logging.getLogger({!r}), threading.local()
        EVENT, CACHE = threading.Condition(), weakref.WeakKeyDictionary()
        def f(x):
            return LOCK, LOG, LOCAL, EVENT, CACHE
    """
    first, second = fingerprint(script(text.format("a")).f), fingerprint(script(text.format("b")).f)
    assert first.hexdigest == second.hexdigest
    assert logging.getLogger("a") is not logging.getLogger("b")


def test_a_global_without_content_is_refused_by_name(script):
    """The path leads to the global of the helper, not to the function that was asked about."""
    f = script("""
        CLIENTS = {"a": [open(__import__("os").devnull)]}
        def clean(x):
            return CLIENTS
        def f(x):
            return clean(x)
    """).f
    with pytest.raises(UnstableKeyError, match=r"^__main__\.CLIENTS\['a'\]\[0\]: .*TextIO"):
        fingerprint(f)


def test_an_attribute_of_a_class_without_content_is_refused_by_name(script):
    """Members of classes have a path, too."""
    f = script("class C:\n    stream = (n for n in [])\ndef f(x):\n    return C\n").f
    with pytest.raises(UnstableKeyError, match=r"^__main__\.C\.stream: .*generator"):
        fingerprint(f)


def test_a_global_without_content_in_a_cycle_is_refused_by_name(script):
    """The path is complete where functions reach each other in a circle."""
    f = script("""
        STATE = {}
        def f(x):
            return g(x)
        def g(x):
            return f(x), STATE
        STATE["open"] = [f, (n for n in [])]
    """).f
    with pytest.raises(UnstableKeyError, match=r"^__main__\.STATE\['open'\]\[1\]: .*generator"):
        fingerprint(f)


# -- other processes ----------------------------------------------------------------------------

CHILD = """
import sys, pickle
from persidict_dask._code import fingerprint
from persidict_dask._digest import digest
targets = pickle.load(sys.stdin.buffer)
print([fingerprint(target).hexdigest for target in targets] + [digest(targets)])
"""

SENT = """
import dataclasses, enum, functools, typing, collections
import numpy as np
CONFIG = {"names": {"a", "b", "c"}, "rate": 1.5}
class Color(enum.Enum):
    RED = 1
    BLUE = "b"
@dataclasses.dataclass(order=True)
class Row:
    '''A row.'''
    a: int
    names: set = dataclasses.field(default_factory=set)
    def total(self) -> int:
        '''Of all.'''
        return self.a + helper(1)
class Pair(typing.NamedTuple):
    x: int
    y: float = 2.0
class Base:
    size = 3
    @property
    def double(self):
        return self.size * 2
class Child(Base):
    __slots__ = ("extra",)
    @classmethod
    def make(cls):
        return super().__new__(cls)
def helper(x):
    "Help."
    return np.asarray(x) in {"u", "v", "w"} or f(x)
def f(x: int, y=(1, Color.RED)) -> Row:
    def inner(z: int = 1) -> int:
        "Nested."
        return helper(z)
    return Row(inner(x)), CONFIG, Pair(1), Child.make()
def made(by):
    return lambda x: x + by
@functools.lru_cache(maxsize=None)
def cached(x):
    return helper(x)
targets = [f, helper, Row, Color, Pair, Child, made({"p", "q"}), functools.partial(f, 1),
    Row(1, {"r", "s"}), Color.BLUE, Pair(1), Row(1).total]
"""


def test_code_that_was_sent_by_value_keeps_its_fingerprint(script):
    """What cloudpickle rebuilds on a worker is the same code, under any hash seed."""
    import cloudpickle

    namespace = script(SENT)
    expected = [fingerprint(target).hexdigest for target in namespace.targets]
    from persidict_dask._digest import digest

    expected.append(digest(namespace.targets))
    data = cloudpickle.dumps(namespace.targets)
    for seed in ("1", "2"):
        child = subprocess.run(
            [sys.executable, "-c", CHILD],
            input=data,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr.decode()
        assert eval(child.stdout) == expected


def test_special_methods_count_in_code_that_has_no_file(script):
    """As of `python -c`: what a class defines itself is not taken for generated."""
    text = """
        import dataclasses
        @dataclasses.dataclass
        class C:
            x: int
            def __call__(self):
                return self.x + 1
            def __repr__(self):
                return "C"
    """
    before = fingerprint(script(text).C)
    assert before.hexdigest != fingerprint(script(text.replace("x + 1", "x + 2")).C).hexdigest
    assert before.hexdigest != fingerprint(script(text.replace('"C"', '"D"')).C).hexdigest


def test_generated_methods_are_no_components(script):
    """They are made from the fields, and those count."""
    for text in (
        "import dataclasses\n@dataclasses.dataclass(order=True)\nclass C:\n    x: int = 1\n",
        "import typing\nclass C(typing.NamedTuple):\n    x: int = 1\n",
        "import collections\nC = collections.namedtuple('C', 'x', defaults=[1])\n",
    ):
        before = fingerprint(script(text).C)
        assert not [name for name in before.components if name.startswith("function")]
        after = fingerprint(script(text.replace("1", "2")).C)
        assert before.hexdigest != after.hexdigest


def test_a_fingerprint_can_be_pickled(script):
    """It is data."""
    made = fingerprint(script("def f(x):\n    return x\n").f)
    assert pickle.loads(pickle.dumps(made)) == made
