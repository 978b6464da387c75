"""Explanations name what differs from the nearest stored call, with both values."""

from __future__ import annotations

import numpy as np
import pytest

from persidict import FileDirDict, LocalDict
from persidict_dask import persist

HELPERS = """
LIMIT = 10

def clean(values):
    return [v for v in values if v < LIMIT]
"""
STEPS = """
import helpers
from persidict_dask import persist

def middle(values):
    return helpers.clean(values)

@persist("{cache}")
def total(values, factor=1, *, ignored=None):
    return factor * sum(middle(values))
"""
SCRIPT = """
import json, sys
import steps
values = json.loads(sys.argv[1])
print(json.dumps([str(steps.total.explain(values)), steps.total(values)]))
"""


def lines(explanation):
    return str(explanation).splitlines()


@pytest.fixture(params=["folder", "memory"])
def f(request, tmp_path):
    store = FileDirDict(base_dir=str(tmp_path / "s")) if request.param == "folder" else LocalDict()

    @persist(store, ignore="log")
    def f(x, y=1, *more, log=None, **rest):
        return x

    return f


def test_before_the_first_call(f):
    explanation = f.explain(1)
    assert not explanation
    assert not explanation.is_hit
    assert lines(explanation) == ["miss: nothing is stored for this function"]
    assert explanation.key == f.key_of(1)
    assert explanation.nearest is None


def test_a_hit(f):
    f(1)
    explanation = f.explain(1, log=print)
    assert explanation
    assert explanation.changes == ()
    assert lines(explanation)[0].startswith("hit: the result is stored, computed 20")
    assert explanation.nearest == f.provenance(1)


def test_an_argument_that_differs(f):
    f([1, 2])
    (change,) = f.explain([1, 3]).changes
    assert change.component == "argument x"
    assert (change.stored, change.now) == ("list [1, 2]", "list [1, 3]")
    assert str(change) == "argument x: list [1, 2] -> list [1, 3]"


def test_the_nearest_is_the_one_with_the_fewest_differences(f):
    f(1, 1)
    f(2, 2)
    f(2, 3)
    assert [c.component for c in f.explain(2, 4).changes] == ["argument y"]
    assert [c.component for c in f.explain(1, 4).changes] == ["argument y"]
    assert f.explain(1, 4).changes[0].stored == "int 1"
    assert len(f.explain(3, 4).changes) == 2


def test_types_and_values_that_look_the_same(f):
    f(1)
    (change,) = f.explain(1.0).changes
    assert (change.stored, change.now) == ("int 1", "float 1.0")
    f(np.zeros(1000), 2)
    one = np.zeros(1000)
    one[7] = 1
    (change,) = f.explain(one, 2).changes
    assert change.stored != change.now
    assert change.stored.startswith("ndarray shape (1000,) (")


def test_a_result_that_is_gone(f):
    f(1)
    f.store.discard(f.key_of(1))
    explanation = f.explain(1)
    assert not explanation.is_hit
    assert "its result is gone" in str(explanation)


def test_a_result_that_is_not_valid(f):
    f(1)
    checked = persist(f.store, name=f.key_of(1)[0], ignore="log", validate=lambda v: False)(
        f.__wrapped__
    )
    assert "too old, or not valid" in str(checked.explain(1))


def test_notes_that_cannot_be_read_are_left_out(f):
    f(1)
    f._results._notes[f.key_of(1)] = "{"
    assert lines(f.explain(2)) == ["miss: nothing is stored for this function"]
    assert f.explain(1).is_hit


def test_a_picture_for_notebooks(f):
    f("<b>")
    html = f.explain("<i>")._repr_html_()
    assert "<code>str &#x27;&lt;b&gt;&#x27;</code>" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 2
    assert "<tr>" not in f.explain("<b>")._repr_html_()


def test_nothing_is_computed_or_stored(f):
    f(1)
    before = f.stats()
    f.explain(1)
    f.explain(2)
    assert len(f.store) == 1
    assert (f.stats().hits, f.stats().misses) == (before.hits, before.misses)


def test_changes_of_the_code_in_new_processes(new_project):
    project = new_project()
    project.write("helpers.py", HELPERS)
    project.write("steps.py", STEPS)
    project.write("script.py", SCRIPT)

    def told():
        import json

        return json.loads(project.run("script.py", "[1, 2, 30]"))

    assert told() == ["miss: nothing is stored for this function", 3]
    assert told()[0].startswith("hit")
    project.edit("helpers.py", "LIMIT = 10", "LIMIT = 100")
    text, result = told()
    assert text.splitlines()[1:] == ["    global helpers.LIMIT: int 10 -> int 100"]
    assert result == 33
    project.edit("helpers.py", "v < LIMIT", "v <= LIMIT")
    (line,) = told()[0].splitlines()[1:]
    assert line.startswith("    function helpers.clean: ")
    project.edit("steps.py", "return helpers.clean(values)", "return list(values)")
    found = told()[0].splitlines()[1:]
    assert [line.split(":")[0].strip() for line in found] == [
        "function steps.middle",
        "function helpers.clean",
        "global helpers.LIMIT",
    ]
    assert "gone, it was int 100" in found[2]
    project.edit("steps.py", "factor * sum", "factor + sum")
    (line,) = told()[0].splitlines()[1:]
    assert line.startswith("    function steps.total: ")


def test_a_version_is_a_component(store):
    def f(x):
        return x

    persist(store, version="1")(f)(1)
    (change,) = persist(store, version="2")(f).explain(1).changes
    assert (change.component, change.stored, change.now) == ("version", "1", "2")
