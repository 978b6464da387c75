"""A package of the user's own counts by value wherever it is installed, and has the same keys.

Every edit of `test_code_edits` is made in a persisted function: of a package that is installed as a
copy, of the same package as an editable install, of a script, and of a cell of a notebook. The
version of the package stays.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import runpy
import site
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

if __package__:
    from .test_code_edits import EDITS
else:  # in child processes this file is a script, or imported by a cell
    from test_code_edits import EDITS

IMPORT = "from persidict_dask import persist\n"
CROSSING = {
    "another module": ("from .parts import clean\ndef f(x):\n    return clean(x)\n", "other"),
    "a module of a subpackage": (
        "from . import sub\nimport {package}.sub.deep\ndef f(x):\n    return sub.deep.clean(x)\n",
        "other",
    ),
    "an import inside": (
        "def f(x):\n    from .sub.deep import clean\n    return clean(x)\n",
        "other",
    ),
    "a base class": (
        "from .parts import Base\nclass C(Base):\n    pass\ndef f(x):\n    return C().run(x)\n",
        "other",
    ),
    "what the package exports": (
        "import {package}\ndef f(x):\n    return x + {package}.LIMIT\n",
        "other",
    ),
    "another package that is edited": (
        "import neighbour_of_k4 as n\ndef f(x):\n    return n.clean(x)\n",
        "same",
    ),
    "another package of a new version": (
        "import renewed_of_k4 as n\ndef f(x):\n    return n.clean(x)\n",
        "other",
    ),
}
"""Modules of the package that reach others, and whether an edit of those gives another key."""
PACKAGE = "package_of_k4"
PARTS = "LIMIT = VALUE\ndef clean(x):\n    return x + VALUE\n"
BASE = "class Base:\n    def run(self, x):\n        return x + VALUE\n"


def decorated(text: str) -> str:
    """The same definitions, with `f` persisted where it is defined."""
    future = "from __future__ import annotations\n"
    head = future if future in text else ""
    lines = text.replace(future, "").splitlines(keepends=True)
    tree = ast.parse("".join(lines))
    (node,) = [n for n in tree.body if getattr(n, "name", None) == "f"]
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1  # type: ignore[attr-defined]
    lines.insert(first, "@persist('unused')\n")
    return head + IMPORT + "".join(lines)


def sources(version: int) -> dict[str, str]:
    """The text of each module before or after its edit."""
    return {name: decorated(texts[version]) for name, texts in EDITS.items()}


def write_package(folder: Path, version: int) -> None:
    """The package, with modules that reach others."""
    value = str(version + 1)
    texts = sources(version) | {
        f"crossing_{n}": decorated(text.replace("{package}", PACKAGE))
        for n, (text, _) in enumerate(CROSSING.values())
    }
    texts |= {"__init__": PARTS, "parts": PARTS + BASE, "sub/__init__": "", "sub/deep": PARTS}
    (folder / PACKAGE / "sub").mkdir(parents=True)
    for name, text in texts.items():
        (folder / PACKAGE / f"{name}.py").write_text(text.replace("VALUE", value))


def write_distribution(packages: Path, name: str, version: str) -> None:
    """What an installer leaves beside a package."""
    info = packages / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}.py,,\n")
    (info / "top_level.txt").write_text(f"{name}\n")
    (info / "INSTALLER").write_text("pip\n")


def install(base: Path, place: str, version: int) -> None:
    """Fill `site-packages`: with a copy of the package, or with the way to its folder."""
    packages = base / "site-packages"
    write_distribution(packages, PACKAGE, "1.0")
    folder = packages if place == "installed" else base / "work" / "src"
    write_package(folder, version)
    if place == "editable":
        (packages / f"__editable__.{PACKAGE}-1.0.pth").write_text(f"{folder}\n")
        url = {"dir_info": {"editable": True}, "url": folder.as_uri()}
        info = packages / f"{PACKAGE}-1.0.dist-info"
        (info / "direct_url.json").write_text(json.dumps(url))
    for name, number in ("neighbour_of_k4", 1), ("renewed_of_k4", version + 1):
        write_distribution(packages, name, f"{number}.0")
        (packages / f"{name}.py").write_text(PARTS.replace("VALUE", str(version + 1)))


def key_of(f: object) -> list[str]:
    """The key of a call with a value for each argument that needs one."""
    parameters = inspect.signature(f).parameters.values()  # type: ignore[arg-type]
    needed = [p for p in parameters if p.default is p.empty and "VAR" not in p.kind.name]
    args = [1 for p in needed if p.kind is not p.KEYWORD_ONLY]
    kwargs = {p.name: 1 for p in needed if p.kind is p.KEYWORD_ONLY}
    return list(f.key_of(*args, **kwargs))  # type: ignore[attr-defined]


def keys_of_package(base: Path) -> dict[str, list[str]]:
    """In a child process: of all modules of the package that is installed there."""
    site.addsitedir(str(base / "site-packages"))
    package = importlib.import_module(PACKAGE)
    names = sorted(path.stem for path in Path(package.__file__).parent.glob("*_*.py"))
    return {
        name: key_of(importlib.import_module(f"{PACKAGE}.{name}").f)
        for name in names
        if name != "__init__"
    }


def keys_of_scripts(version: int) -> dict[str, list[str]]:
    """In a child process: of each text as a script."""
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in sources(version).items():
            path = Path(folder, f"{name}.py")
            path.write_text(text + "\nreport_key(f)\n")
            tell = {"report_key": lambda f, name=name: found.update({name: key_of(f)})}
            runpy.run_path(str(path), tell, "__main__")
    return found


REPORT = """
test_code_installs.report({name!r}, globals())
"""


def report(name: str, namespace: dict[str, object]) -> None:
    """In a cell: print the key of `f`, and take away what the cell has defined."""
    print("=", name, *key_of(namespace["f"]))
    kept = {"In", "Out", "exit", "quit", "open", "get_ipython", "test_code_installs"}
    for defined in [key for key in namespace if key[0] != "_" and key not in kept]:
        del namespace[defined]


def keys_of_cells() -> list[dict[str, list[str]]]:
    """Each text in a cell of one notebook that a real kernel executes: before, then after."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook
    from traitlets.config import Config

    begin = (
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nimport test_code_installs"
    )
    cells = [
        text + REPORT.format(name=f"{version} {name}")
        for version in (0, 1)
        for name, text in sources(version).items()
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in (begin, *cells)])
    with tempfile.TemporaryDirectory() as sockets:
        by = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        NotebookClient(notebook, timeout=100, kernel_name="python3", config=by).execute()
    printed = "".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", ()))
    found: list[dict[str, list[str]]] = [{}, {}]
    for line in printed.splitlines():
        if line.startswith("= "):
            _, version, name, *key = line.split()
            found[int(version)][name] = key
    return found


CHILDREN = {
    "package": lambda base: keys_of_package(Path(base)),
    "scripts": lambda version: keys_of_scripts(int(version)),
    "cells": lambda _: keys_of_cells(),
}


def child(what: str, argument: object, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, what, str(argument)]
    environment = os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def told(process: subprocess.Popen[str]):
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0
    return json.loads(output)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """The keys of all functions at every place, before and after their edits."""
    asked = {}
    for place in ("installed", "editable"):
        for version in (0, 1):
            base = tmp_path_factory.mktemp(f"{place}{version}")
            install(base, place, version)
            asked[place, version] = child("package", base, version + len(place))
    for version in (0, 1):
        asked["script", version] = child("scripts", version, version)
    cells = child("cells", "", 7)
    found = {place: told(process) for place, process in asked.items()}
    found["notebook", 0], found["notebook", 1] = told(cells)
    return found


@pytest.mark.parametrize("place", ["installed", "editable", "script", "notebook"])
def test_k4_a_semantic_edit_is_a_miss_and_a_cosmetic_one_a_hit(keys, place):
    """185 edits that change what is done and 89 that do not, wherever the code lies."""
    before, after = keys[place, 0], keys[place, 1]
    assert before.keys() >= EDITS.keys() <= after.keys()
    hits = {name for name in EDITS if before[name] == after[name]}
    assert hits == {name for name in EDITS if name.startswith("cosmetic")}


@pytest.mark.parametrize("version", [0, 1], ids=["before", "after"])
def test_k4_a_script_has_the_same_keys_as_a_notebook(keys, version):
    """What was tried in cells is found by the script that was made of them."""
    assert keys["script", version] == keys["notebook", version]


@pytest.mark.parametrize("version", [0, 1], ids=["before", "after"])
def test_k4_a_package_has_the_same_keys_installed_and_editable(keys, version):
    """The same files are the same functions, however they got there."""
    assert keys["installed", version] == keys["editable", version]


@pytest.mark.parametrize("place", ["installed", "editable"])
@pytest.mark.parametrize("what", CROSSING)
def test_k4_other_modules_of_the_package_count_and_other_packages_by_version(keys, what, place):
    """The top-level package of the function is its project; its neighbours are libraries."""
    name = f"crossing_{list(CROSSING).index(what)}"
    is_same = keys[place, 0][name] == keys[place, 1][name]
    assert is_same == (CROSSING[what][1] == "same")


if __name__ == "__main__":
    print(json.dumps(CHILDREN[sys.argv[1]](sys.argv[2])))
