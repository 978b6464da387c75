"""The distribution as users get it: light to import, typed, documented."""

import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import types
import zipfile

import pytest

import persidict
import persidict_dask

ROOT = pathlib.Path(__file__).parent.parent
HEAVY = [
    "numpy",
    "pandas",
    "boto3",
    "botocore",
    "joblib",
    "dask",
    "distributed",
    "jsonpickle",
    "lz4",
]
SHOW_LOADED = "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"


@pytest.mark.parametrize("name", HEAVY)
def test_importing_persidict_loads_no_heavy_library(python, name):
    assert name not in python(f"import persidict; {SHOW_LOADED}").split()


def test_importing_persidict_dask_loads_no_dask(python):
    loaded = python(f"import persidict_dask; {SHOW_LOADED}").split()
    assert {"persidict", "persidict_dask"} <= set(loaded)
    assert not {"dask", "distributed", "pandas", "boto3", "bokeh"} & set(loaded)


def test_star_import_loads_no_heavy_library(python):
    loaded = python(f"from persidict import *; {SHOW_LOADED}").split()
    assert not set(HEAVY) & set(loaded)


def test_importing_writes_nothing(python, tmp_path):
    python("import persidict, persidict_dask; persidict.LocalDict()['a'] = 1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", [persidict, persidict_dask], ids=lambda p: p.__name__)
def test_both_packages_are_typed(package):
    assert (pathlib.Path(package.__file__).parent / "py.typed").is_file()


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_distribution_says_what_it_needs():
    metadata = importlib.metadata.metadata("persidict")
    assert metadata["Requires-Python"] == ">=3.11"
    assert set(metadata.get_all("Provides-Extra")) >= {"aws", "dask", "cli", "examples", "dev"}


def test_every_package_is_shipped():
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("persidict", "persidict_dask")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert found == set(project()["tool"]["setuptools"]["packages"])


def test_the_licence_is_shipped():
    """The licence that the metadata names comes along as a text."""
    assert project()["project"]["license"] == "MIT"
    texts = [
        path.read_text(encoding="utf-8")
        for pattern in project()["project"]["license-files"]
        for path in ROOT.glob(pattern)
    ]
    assert [text.split("\n")[0] for text in texts] == ["MIT License"]


BUILD = """
import sys
from setuptools import build_meta
dist = sys.argv[1]  # which the build changes
build_meta.build_sdist(dist)
build_meta.build_wheel(dist)
"""
IGNORED = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".servers",
    ".hypothesis",
    ".*_cache",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "site",
    "output",
    "store",
)


def below(root):
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_the_source_distribution_is_complete(tmp_path):
    """All that is needed to build, test and document it; and a wheel has the packages alone."""
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=IGNORED)
    there = below(source)
    dist = tmp_path / "dist"
    command = [sys.executable, "-c", BUILD, str(dist)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sdist, wheel = [*dist.glob("*.tar.gz"), *dist.glob("*.whl")]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        top = sdist.name.removesuffix(".tar.gz")
        metadata = archive.extractfile(f"{top}/PKG-INFO").read().decode()
    assert there - names == set()
    assert {"Makefile", "LICENSE", ".ci/run", "tests/s3/servers.txt", "docs/index.md"} <= names
    packed = {pathlib.PurePosixPath(name) for name in zipfile.ZipFile(wheel).namelist()}
    assert {name.parts[0] for name in packed if not name.parts[0].endswith(".dist-info")} == {
        "persidict",
        "persidict_dask",
    }
    assert {str(name) for name in packed} >= {n for n in there if n.startswith("persidict")}
    assert "License-Expression: MIT" in metadata
    assert "License-File: LICENSE" in metadata
    assert re.search("^(Home-page|Project-URL|Author)", metadata, re.MULTILINE) is None


def test_heavy_libraries_are_no_dependencies():
    needed = {re.split(r"[<>=\[; ]", need)[0] for need in project()["project"]["dependencies"]}
    assert needed == {"joblib", "lz4", "jsonpickle"}


def documented():
    """The names that the API pages show from the docstrings."""
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md")]
    return set(re.findall(r"^::: ([\w.]+)$", "\n".join(pages), flags=re.MULTILINE))


@pytest.mark.parametrize(
    "name",
    [f"{p.__name__}.{n}" for p in (persidict, persidict_dask) for n in p.__all__ if n[0] != "_"],
)
def test_every_exported_name_is_documented(name):
    assert name in documented()


@pytest.mark.parametrize("package", [persidict, persidict_dask], ids=lambda p: p.__name__)
def test_everything_exported_has_a_docstring_or_is_a_constant(package):
    for name in package.__all__:
        thing = getattr(package, name)
        if isinstance(thing, type | types.FunctionType):
            assert thing.__doc__, name


def test_public_methods_say_what_they_do():
    for name in persidict.__all__:
        cls = getattr(persidict, name)
        if isinstance(cls, type) and issubclass(cls, persidict.PersiDict):
            own = [m for m in vars(cls) if not m.startswith("_") and callable(getattr(cls, m))]
            assert [m for m in own if not getattr(cls, m).__doc__] == [], name
