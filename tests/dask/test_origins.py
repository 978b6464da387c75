"""Where code comes from: one file gives one key wherever it lies, and no edit is missed."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import textwrap
import types
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from persidict_dask import _installed, _origin, digest
from persidict_dask._names import name_of
from persidict_dask._origin import (
    LIBRARY,
    PROJECT,
    PYTHON,
    module_of,
    origin_of,
    own_package,
    place,
)

CODE = "def f(x):\n    return helper(x)\ndef helper(x):\n    return x + 1\n"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Write modules into folders that stand on the path; nothing of them stays loaded."""
    before = set(sys.modules)

    def write(folder, files, **distribution):
        root = tmp_path / folder
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        if distribution:
            _register(root, files, **distribution)
        monkeypatch.syspath_prepend(root)
        return root

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _register(root, files, *, name="mine", version="1", record=True, url=None, installer="pip"):
    info = root / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "INSTALLER").write_text(installer + "\n")
    if record:
        (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))
    if url is not None:
        (info / "direct_url.json").write_text(json.dumps(url))


MINE = {"minepkg/__init__.py": "", "minepkg/code.py": CODE}
FOLDER = {"url": "file:///home/me/mine", "dir_info": {}}
ARCHIVE = {"url": "file:///tmp/mine-1.whl", "archive_info": {}}
REPOSITORY = {"url": "https://example.org/mine", "vcs_info": {"vcs": "git", "commit_id": "a"}}
CONDA = {"url": "file:///home/conda/feedstock_root/work", "dir_info": {}}

ORIGINS = {
    "a plain folder": (PROJECT, {"folder": "src"}),
    "installed": (LIBRARY, {"folder": "site-packages", "name": "mine"}),
    "installed by another name": (LIBRARY, {"folder": "site-packages", "name": "other"}),
    "without a list of files": (
        LIBRARY,
        {"folder": "site-packages", "name": "minepkg", "record": False},
    ),
    "in a target folder": (LIBRARY, {"folder": "target", "name": "mine"}),
    "from a folder of source": (PROJECT, {"folder": "site-packages", "url": FOLDER}),
    "in a target, from a folder of source": (PROJECT, {"folder": "target", "url": FOLDER}),
    "from an archive": (LIBRARY, {"folder": "site-packages", "url": ARCHIVE}),
    "by conda": (LIBRARY, {"folder": "site-packages", "url": CONDA, "installer": "conda"}),
    "no distribution": (PROJECT, {"folder": "dist-packages"}),
    "a project below such a name": (PROJECT, {"folder": "site-packages/checkout/src"}),
}


@pytest.mark.parametrize("case", ORIGINS.values(), ids=ORIGINS)
def test_k4_what_a_file_belongs_to(folders, case):
    """By the folder it was found in, and by what the installer has noted there."""
    kind, options = case
    folders(files=MINE, **options)
    import minepkg.code

    assert origin_of(minepkg.code.__name__).kind == kind
    assert origin_of("minepkg.code", ("minepkg",)).kind == PROJECT


def test_k4_a_version_in_the_source_is_a_version(folders):
    """Somebody has copied a library without its distribution."""
    folders("site-packages", {"minepkg.py": '__version__ = "3.1"\n'})
    assert origin_of("minepkg") == (LIBRARY, "minepkg", "3.1")


def test_k4_an_egg_info_beside_the_source_is_no_install(folders):
    """An editable install has left it there."""
    root = folders("src", MINE)
    (root / "mine.egg-info").mkdir()
    (root / "mine.egg-info" / "PKG-INFO").write_text("Name: mine\nVersion: 1\n")
    (root / "mine.egg-info" / "top_level.txt").write_text("minepkg\n")
    assert origin_of("minepkg").kind == PROJECT


def test_k4_builds_of_one_version_are_told_apart(folders):
    """What came from an archive of one's own counts with the list of its files."""
    root = folders("site-packages", MINE, url=ARCHIVE)
    first = origin_of("minepkg").version
    record = root / "mine-1.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("code.py,sha256=x", "code.py,sha256=y"))
    _origin.origin_of_module.cache_clear()
    second = origin_of("minepkg").version
    assert first[:3] == second[:3] == "1 #"
    assert first != second


@pytest.mark.parametrize("loaded", [False, True])
def test_k4_namespace_packages_belong_to_several_distributions(folders, loaded):
    """Each part has a version of its own, loaded or not."""
    one = folders("site-packages", {"company/one/__init__.py": CODE}, name="company-one")
    _write_part(one)
    folders("src", {"company/mine/__init__.py": CODE})
    if loaded:
        import company.mine
        import company.one
        import company.two  # noqa: F401
    found = [origin_of(f"company.{part}") for part in ("one", "two", "mine")]
    assert found == [(LIBRARY, "company-one", "1"), (LIBRARY, "second", "2"), (PROJECT, "", "")]


def _write_part(root):
    (root / "company" / "two").mkdir()
    (root / "company" / "two" / "__init__.py").write_text("")
    _register(root, ["company/two/__init__.py"], name="second", version="2")


OWN = {
    "asked from inside": ({"name": "mine"}, "minepkg.jobs", "minepkg"),
    "asked from outside": ({"name": "mine"}, "__main__", None),
    "from an archive": ({"url": ARCHIVE}, "__main__", "minepkg"),
    "from a repository": ({"url": REPOSITORY}, "__main__", "minepkg"),
    "by conda": ({"url": CONDA, "installer": "conda"}, "__main__", None),
    "from a folder": ({"url": FOLDER}, "__main__", None),
    "of the project": ({}, "minepkg.jobs", None),
}


@pytest.mark.parametrize("case", OWN.values(), ids=OWN)
def test_k4_the_own_package_of_a_function(folders, case):
    """It counts by value, installed or not; what is the project's counts so already."""
    options, caller, expected = case
    folders("site-packages", MINE, **options)
    import minepkg.code

    assert own_package(minepkg.code.f, caller) == expected
    by_value = (expected,) if expected else ()
    by_code = expected or origin_of("minepkg").kind == PROJECT
    assert (origin_of("minepkg.code", by_value).kind == PROJECT) == bool(by_code)


def test_k4_other_packages_are_nobodys_own():
    """Libraries from an index, the standard library, the project, and this package itself."""
    import textwrap

    import toolz

    import persidict_dask

    for function in (
        toolz.pluck,
        textwrap.dedent,
        len,
        test_k4_a_version_in_the_source_is_a_version,
    ):
        assert own_package(function, "__main__") is None
    assert own_package(persidict_dask.digest, "persidict_dask.jobs") is None


KEY = """
import sys
sys.path.insert(0, sys.argv[1])
import {module}
from persidict_dask import persist
from persidict_dask._origin import own_package
f = {module}.f
own = own_package(f, {module!r})
print("/".join(persist("cache", by_value=(own,) if own else ())(f).key_of(1)), own)
"""

LAYOUTS = {
    "a package": ("minepkg.code", {"minepkg/__init__.py": "", "minepkg/code.py": CODE}),
    "a single file": ("minefile", {"minefile.py": CODE}),
    "a namespace": ("space.part.code", {"space/part/code.py": CODE}),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_k4_one_file_gives_one_key_wherever_it_is_installed(tmp_path, new_project, layout):
    """A folder, a site, a target folder, an archive; and an edit is another key everywhere."""
    module, files = layout
    made = new_project()
    made.write("key.py", KEY.format(module=module))
    found = {}
    for edit in ("+ 1", "+ 100"):
        text = {name: code.replace("+ 1", edit) for name, code in files.items()}
        for place_, options in (
            ("src", None),
            ("site-packages", {"name": "mine"}),
            ("target", {"name": "mine"}),
            ("env/site-packages", {"url": FOLDER}),
        ):
            root = tmp_path / edit.strip("+ ") / place_
            for name, code in text.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(code)
            if options:
                _register(root, files, **options)
            found.setdefault(edit, set()).add(made.run("key.py", root).split()[0])
        archive = tmp_path / f"{edit}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for name, code in text.items():
                packed.writestr(name, code)
        if "space" not in module:  # an archive has no namespace packages
            found[edit].add(made.run("key.py", archive).split()[0])
    assert [len(keys) for keys in found.values()] == [1, 1]
    assert found["+ 1"] != found["+ 100"]


# -- K8: names of the standard library ------------------------------------------------------------


@pytest.mark.parametrize("name", ["statistics", "graphlib", "this", "colorsys", "antigravity"])
def test_k8_the_file_says_it_before_the_name(project, name):
    """A module of the project may be named like one of Python."""
    kept = sys.modules.pop(name, None)
    assert origin_of(name).kind == PYTHON
    _installed._file_to_be_found.cache_clear()
    try:
        project.write(f"{name}.py", CODE)
        module = __import__(name)
        assert origin_of(name).kind == PROJECT
        assert digest(module.f) == digest(module.f)
    finally:
        sys.modules.pop(name, None)
        if kept is not None:
            sys.modules[name] = kept


def test_k8_an_edit_of_such_a_module_is_a_miss(new_project):
    """As of any other."""
    made = new_project()
    made.write("statistics.py", "def mean(x):\n    return x + 1\n")
    made.write(
        "script.py",
        """
        import statistics
        from persidict_dask import persist
        @persist("{cache}")
        def f(x):
            return statistics.mean(x)
        print(f(1))
        """,
    )
    assert made.run("script.py") == "2"
    made.edit("statistics.py", "x + 1", "x + 100")
    assert made.run("script.py") == "101"


def test_k8_modules_of_python_are_pythons():
    """Frozen, built in, compiled, in packages, with and without a file."""
    for name in ("sys", "os", "os.path", "math", "_thread", "json.decoder", "zipimport", "test"):
        assert origin_of(name).kind == PYTHON, name


def test_k8_a_package_of_the_project_may_be_named_like_a_distribution(folders):
    """What stands first on the path is what runs."""
    folders("src", {"networkx/__init__.py": CODE})
    kept = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("networkx")
    }
    try:
        module = __import__("networkx")
        assert origin_of("networkx").kind == PROJECT
        assert digest(module.f)
    finally:
        sys.modules.pop("networkx", None)
        sys.modules.update(kept)


def test_k8_a_module_that_is_loaded_from_another_place_is_looked_at_again(folders):
    """What was said of the former file does not hold for the new one."""
    folders("site-packages", {"moving.py": '__version__ = "1"\n'})
    import moving

    assert origin_of("moving").kind == LIBRARY
    del sys.modules["moving"]
    folders("src", {"moving.py": ""})
    import moving  # noqa: F811

    assert origin_of("moving").kind == PROJECT
    assert moving.__file__.endswith("moving.py")


# -- N6: children of multiprocessing --------------------------------------------------------------


def test_n6_the_script_has_one_name_in_all_processes():
    """Modules, functions, classes and the names of results."""
    module = types.ModuleType("__mp_main__")
    exec("def f(): pass\nclass C: pass", vars(module))
    assert module_of(module) == module_of(module.f) == module_of(module.C) == "__main__"
    assert place(module.C) == "__main__:C"
    assert name_of(module.f) == "__main__.f"
    assert origin_of("__mp_main__").kind == PROJECT


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_n6_children_find_what_the_parent_has_stored(new_project, method):
    """Keys of functions, classes and sentinels of the script are the same in a child."""
    assert method in multiprocessing.get_all_start_methods()
    made = new_project()
    made.write(
        "script.py",
        f"""
        import multiprocessing, toolz
        from persidict_dask import digest, persist
        UNSET = object()
        class Point:
            def __init__(self, x):
                self.x = x
        @toolz.curry
        def add(x, y):
            return x + y
        @persist("{{cache}}")
        def f(x, y=UNSET):
            return add(x)(1), Point(x).x
        def keys():
            return [*f.key_of(1), f.key_of(Point(1))[-1], digest(UNSET, add, Point(2), Point)]
        def tell(queue):
            queue.put(keys())
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            queue = context.Queue()
            child = context.Process(target=tell, args=(queue,))
            child.start()
            print(queue.get(timeout=60) == keys())
            child.join()
        """,
    )
    assert made.run("script.py") == "True"


def test_a_type_that_gives_half_a_name_is_found(monkeypatch):
    """Compiled types may say only the last part of their module's name."""
    import wrapt

    proxied = wrapt.decorator(lambda wrapped, instance, args, kwargs: 1)(os.getcwd)
    assert module_of(type(proxied)).partition(".")[0] == "wrapt"


def test_m9_a_compiled_module_changed_in_place_with_its_time_set_back_is_another(
    tmp_path, monkeypatch
):
    """Its file is read again when its time or its size is another."""
    file = tmp_path / f"fast{EXTENSION_SUFFIXES[0]}"
    monkeypatch.setattr(_origin, "file_of", lambda module: str(file))
    seen = set()
    for content in (b"one", b"three", b"eight"):
        file.write_bytes(content)
        os.utime(file, ns=(0, 10**9 * (content == b"eight")))
        seen.add(_origin.compiled_version("fast"))
        assert _origin.compiled_version("fast") in seen
    assert len(seen) == 3
