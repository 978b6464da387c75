"""`forget_all(older=True)`: only results of this very function, before an edit of its code."""

from __future__ import annotations

import pytest

from persidict import FileDirDict
from persidict_dask import persist

LOAD = """
    from persidict_dask import persist

    @persist("{cache}", name="load")
    def load(x):
        print("ran")
        return x + NUMBER
"""


@pytest.fixture
def scripts(new_project):
    """A project with scripts that have a `load` each."""
    made = new_project()

    def write(name, number):
        source = LOAD.replace("NUMBER", str(number)) + "\n    import sys\n"
        made.write(name, source + "    load(1)\n    exec(sys.argv[1])\n")
        return made

    made.script = write
    return made


FORGET = "n = load.forget_all(older=True); print(n, repr(n))"


def test_r3_scripts_with_a_function_of_one_name_keep_their_results(scripts):
    """Each finds its own result after the other has cleaned up; only its own edits count."""
    scripts.script("a.py", 1)
    scripts.script("b.py", 2)
    for script in ("a.py", "b.py"):
        assert scripts.run(script, FORGET).split()[:2] == ["ran", "0"]
    assert scripts.run("a.py", FORGET).split()[0] == "0"
    assert scripts.run("b.py", FORGET).split()[0] == "0"
    scripts.script("a.py", 3)
    told = scripts.run("a.py", FORGET)
    assert told == "ran\n1 <1 results of 1 earlier versions of load removed; 1 of other code kept>"
    assert scripts.run("b.py", "pass") == ""
    scripts.script("a.py", 1)
    assert scripts.run("a.py", "pass") == "ran"


def test_r3_results_that_another_script_shares_are_kept(scripts):
    """Two scripts with equal code, one of them edited later: the other one still has its hits."""
    scripts.script("a.py", 1)
    scripts.script("b.py", 1)
    assert scripts.run("a.py", "load(2)") == "ran\nran"
    assert scripts.run("b.py", "load(3)") == "ran"
    scripts.script("a.py", 2)
    assert scripts.run("a.py", FORGET).split()[:2] == ["ran", "0"]
    assert scripts.run("b.py", "load(2)") == ""


def test_r3_a_renamed_script_has_its_hits_and_removes_nothing(scripts):
    scripts.script("a.py", 1)
    scripts.run("a.py", "pass")
    scripts.script("renamed.py", 1)
    assert scripts.run("renamed.py", FORGET).split()[0] == "0"
    scripts.script("renamed.py", 2)
    assert scripts.run("renamed.py", FORGET).split()[:2] == ["ran", "0"]


def test_r3_results_without_a_note_are_kept(scripts):
    scripts.script("a.py", 1)
    scripts.run("a.py", "pass")
    for note in scripts.cache.rglob("*.provenance"):
        note.unlink()
    scripts.script("a.py", 2)
    assert scripts.run("a.py", FORGET).split()[:2] == ["ran", "0"]


HELPER = """
    LIMIT = 3
    def clean(x):
        return min(x, LIMIT)
"""


@pytest.mark.parametrize(("old", "new"), [("LIMIT = 3", "LIMIT = 4"), ("min(x", "max(x")])
def test_r3_an_edit_of_what_the_function_reaches_makes_results_older(scripts, old, new):
    scripts.write("helper.py", HELPER)
    scripts.script("a.py", "clean(x)")
    scripts.edit("a.py", "from persidict_dask", "from helper import clean\nfrom persidict_dask")
    scripts.run("a.py", "pass")
    scripts.edit("helper.py", old, new)
    assert scripts.run("a.py", FORGET).split()[:2] == ["ran", "1"]


def make(store, n, g, by=1):
    """A factory of functions that differ in what they close over alone."""

    def load(x, by=1):
        return [x, n, g(x), by]

    load.__defaults__, load.setting = (by,), n
    return persist(store, name="load")(load)


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


def test_r3_closures_of_one_factory_keep_their_results(store):
    """They differ in values, functions, lambdas, defaults and attributes; that is no edit."""
    siblings = [
        make(store, 2, double),
        make(store, 3, double),
        make(store, 2, triple),
        make(store, 2, lambda x: x),
        make(store, 2, lambda x: x + 1),
        make(store, 2, double, by=7),
    ]
    for f in siblings:
        f(1)
    assert len({f.key_of(1) for f in siblings}) == len(siblings)
    for f in siblings:
        assert f.forget_all(older=True) == 0
    assert all(f.is_cached(1) for f in siblings)


FACTORY = """
def make(n):
    def load(x):
        return [x, n, SOMETHING]
    return load
"""


def made_of(store, something, n):
    namespace = {"__name__": "project"}
    exec(compile(FACTORY.replace("SOMETHING", something), "/project/factory.py", "exec"), namespace)
    return persist(store, name="load")(namespace["make"](n))


def test_r3_an_edit_of_the_factory_makes_results_older(store):
    """Of all closures that it made; those that it makes now keep theirs."""
    for n in (1, 2):
        made_of(store, "'old'", n)(1)
    now = [made_of(store, "'new'", n) for n in (1, 2)]
    for f in now:
        f(1)
    assert now[0].forget_all(older=True) == 2
    assert all(f.is_cached(1) for f in now)


def test_r3_methods_of_other_classes_keep_their_results(store):
    """Of one name in the store, at two places of a file."""

    class One:
        @persist(store, name="load")
        def load(self, x):
            return x

    class Two:
        @persist(store, name="load")
        def load(self, x):
            return x + 1

    One().load(1), Two().load(1)
    assert One.load.forget_all(older=True) == Two.load.forget_all(older=True) == 0


def test_r3_the_number_says_what_was_removed(tmp_path):
    store = FileDirDict(base_dir=str(tmp_path))
    made_of(store, "1", 1)(1)
    removed = made_of(store, "2", 1).forget_all(older=True)
    assert (removed, str(removed), f"{removed}") == (1, "1", "1")
    assert (
        repr(removed) == "<1 results of 1 earlier versions of load removed; 0 of other code kept>"
    )


CELLS = [
    """
from persidict_dask import persist
@persist("CACHE", name="load")
def load(x):
    return x
load(1)
print(load.forget_all(older=True))
""",
    """
@persist("CACHE", name="load")
def load(x):
    return x + 1
load(1)
print(load.forget_all(older=True))
""",
]


def notebook(cells, folder, name=None, monkeypatch=None):
    """Execute cells with a kernel of their own; return what they print."""
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    made = nbformat.v4.new_notebook()
    made.cells = [
        nbformat.v4.new_code_cell(cell.replace("CACHE", str(folder / "cache"))) for cell in cells
    ]
    if name is not None:
        monkeypatch.setenv("JPY_SESSION_NAME", name)
    NotebookClient(made, timeout=100, kernel_name="python3").execute()
    return "".join(cell.outputs[0].text for cell in made.cells).split()


def test_r3_a_cell_that_is_run_again_replaces_its_function(tmp_path, monkeypatch):
    """In one notebook, whichever cell it is; another notebook removes nothing."""
    assert notebook(CELLS, tmp_path) == ["0", "1"]
    assert notebook(CELLS[:1], tmp_path) == ["0"]
    assert notebook(CELLS[:1], tmp_path, "/books/a.ipynb", monkeypatch) == ["0"]
    edited = [CELLS[0].replace("return x", "return x + 2")]
    assert notebook(edited, tmp_path, "/books/b.ipynb", monkeypatch) == ["0"]


def test_r3_a_notebook_is_the_same_when_its_kernel_restarts(tmp_path, monkeypatch):
    assert notebook(CELLS[:1], tmp_path, "/books/a.ipynb", monkeypatch) == ["0"]
    edited = [CELLS[0].replace("return x", "return x + 2")]
    assert notebook(edited, tmp_path, "/books/a.ipynb", monkeypatch) == ["1"]
