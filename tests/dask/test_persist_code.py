"""Which edits of code make a stored result unfit: every one that can matter, and no other."""

from __future__ import annotations

import pytest

from persidict_dask import persist

PIPELINE = '''
"""A pipeline."""
import functools
from persidict_dask import persist

LIMIT = 10
UNUSED = 1
TABLE = {"rate": 2}
double = lambda x: x * 2

def scale(x, by=3):
    """Scale."""
    return x * by  # a comment

def helper(x):
    return scale(x) + 1

def closed(factor):
    @persist("{cache}")
    def inside(x):
        return x * factor
    return inside

class Model:
    bias = 5

    def __init__(self, weight):
        self.weight = weight

    def predict(self, x):
        return self.weight * x + self.bias

    @persist("{cache}")
    def fitted(self, x):
        return self.predict(x)

@persist("{cache}")
def plain(x):
    return x + LIMIT

@persist("{cache}")
def helped(x):
    return helper(x)

@persist("{cache}")
def with_lambda(x):
    return double(x) + TABLE["rate"]

@persist("{cache}")
def with_model(x):
    return Model(2).predict(x)

@persist("{cache}")
def inner(x):
    return plain(x) * 2

@persist("{cache}")
def outer(x):
    return inner(x) + 1

@persist("{cache}", version="1")
def versioned(x):
    return helper(x)

@persist("{cache}")
def over_versioned(x):
    return versioned(x)

@persist("{cache}")
def ping(n):
    return n if n <= 0 else pong(n - 1)

@persist("{cache}")
def pong(n):
    return n if n <= 0 else ping(n - 2)

nested = closed(4)
'''
FUNCTIONS = ["plain", "helped", "with_lambda", "with_model", "inner", "outer", "versioned",
             "over_versioned", "ping", "pong", "nested", "fitted"]  # fmt: skip


def keys_of(pipeline):
    model = pipeline.Model(2)
    found = {name: getattr(pipeline, name).key_of(1) for name in FUNCTIONS[:-1]}
    return {**found, "fitted": pipeline.Model.fitted.key_of(model, 1)}


@pytest.fixture(params=["pipeline", "__main__"])
def keys_after(project, request):
    """Keys of all functions after edits, in a module and in `__main__`."""
    project.write("pipeline.py", PIPELINE)

    def keys_after(*edits):
        for old, new in edits:
            project.edit("pipeline.py", old, new)
        return keys_of(project.load("pipeline.py", as_name=request.param))

    return keys_after


EDITS = {
    "helper of a helper": (("x * by", "x / by"), {"helped"}),
    "default of a helper": (("by=3", "by=4"), {"helped"}),
    "helper": (("scale(x) + 1", "scale(x) + 2"), {"helped"}),
    "global": (("LIMIT = 10", "LIMIT = 11"), {"plain", "inner", "outer"}),
    "global in place": (('{"rate": 2}', '{"rate": 3}'), {"with_lambda"}),
    "lambda": (("lambda x: x * 2", "lambda x: x * 3"), {"with_lambda"}),
    "closure": (("closed(4)", "closed(5)"), {"nested"}),
    "class attribute": (("bias = 5", "bias = 6"), {"with_model", "fitted"}),
    "method": (("* x + self", "* x - self"), {"with_model", "fitted"}),
    "inner persisted function": (("plain(x) * 2", "plain(x) * 3"), {"inner", "outer"}),
    "one of two that call each other": (("n - 2", "n - 3"), {"ping", "pong"}),
    "the function": (("inner(x) + 1", "inner(x) + 2"), {"outer"}),
    "version": (('version="1"', 'version="2"'), {"versioned", "over_versioned"}),
}
COSMETIC = {
    "comment": ("# a comment", "# another comment\n    # and more"),
    "docstring": ('"""Scale."""', '"""Scale it."""'),
    "lines before": ("LIMIT = 10", "\n\n\n\n\nLIMIT = 10"),
    "annotations": ("def plain(x):", "def plain(x: int) -> int:"),
    "unused global": ("UNUSED = 1", "UNUSED = 2"),
    "new function": ("def helper", "def more():\n    return 1\n\ndef helper"),
    "line breaks": ("return scale(x) + 1", "return (\n        scale(x)\n        + 1\n    )"),
    "unused import": ("import functools", "import functools, itertools"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_changes_the_keys_of_what_depends_on_it_and_no_other(keys_after, edit):
    change, affected = EDITS[edit]
    before, after = keys_after(), keys_after(change)
    assert {name for name in FUNCTIONS if before[name] != after[name]} == affected


@pytest.mark.parametrize("edit", COSMETIC)
def test_a_cosmetic_edit_changes_no_key(keys_after, edit):
    assert keys_after() == keys_after(COSMETIC[edit])


def test_the_key_does_not_depend_on_the_store(project):
    """The same pipeline in another folder finds the copied results."""
    project.write("pipeline.py", PIPELINE)
    before = keys_of(project.load("pipeline.py"))
    project.cache = project.folder / "elsewhere"
    project.write("pipeline.py", PIPELINE)
    assert keys_of(project.load("pipeline.py")) == before


def test_with_names_of_their_own_functions_survive_a_move_to_another_module(project):
    named = PIPELINE.replace("@persist(", '@persist(name="f", store=')
    project.write("one.py", named)
    one, two, main = (project.load("one.py", as_name=name) for name in ("one", "two", "__main__"))
    for name in FUNCTIONS[:-1]:
        keys = {getattr(module, name).key_of(1) for module in (one, two, main)}
        assert len(keys) == 1, name


def test_closures_of_different_content_do_not_share_results(store, runs):
    def times(factor):
        @persist(store)
        def inside(x):
            runs.append(factor)
            return factor * x

        return inside

    assert [times(2)(5), times(3)(5), times(2)(5)] == [10, 15, 10]
    assert runs == [2, 3]


def test_a_global_changed_at_run_time_is_another_call(project, store):
    """The code is looked at whenever the function is called, not once."""
    project.write(
        "settings.py", "LIMIT = 1\nTABLE = {}\ndef read():\n    return LIMIT, dict(TABLE)"
    )
    import settings

    read = persist(store)(settings.read)
    assert read() == (1, {})
    settings.LIMIT = 2
    assert read() == (2, {})
    settings.TABLE["a"] = 1
    assert read() == (2, {"a": 1})


def test_a_helper_replaced_at_run_time_is_another_call(project, store):
    project.write("tools.py", "def aid(x):\n    return 1\ndef use(x):\n    return aid(x)")
    import tools

    use = persist(store)(tools.use)
    assert use(0) == 1
    tools.aid = lambda x: 2
    assert use(0) == 2


@pytest.mark.parametrize("by_value", ["a string", "a list", "a module", "modules"])
def test_library_code_counts_when_told(project, store, by_value):
    """An installed module counts by version; with `by_value` its code counts."""
    libraries = project.folder / "site-packages"
    text = "__version__ = '1'\ndef weight(x):\n    return x * 2\n"
    project.write("site-packages/weights.py", text)

    def key(told):
        library = project.load("site-packages/weights.py")
        namespace = {"__name__": "__main__", "weights": library}
        exec("def f(x):\n    return weight(x)", namespace, namespace)
        namespace["weight"] = library.weight
        return persist(store, name="f", by_value=told)(namespace["f"]).key_of(1)

    import sys
    import types

    module = types.ModuleType("weights")
    module.__file__ = str(libraries / "weights.py")
    sys.modules["weights"] = module
    told = {"a string": "weights", "a list": ["weights"], "a module": module, "modules": [module]}
    try:
        by_name, as_told = key(()), key(told[by_value])
        project.edit("site-packages/weights.py", "x * 2", "x * 3")
        assert key(()) == by_name
        assert key(told[by_value]) != as_told
    finally:
        del sys.modules["weights"]
