"""What is installed: the folders of Python and of libraries, and the distribution of a module."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import site
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, Final, NamedTuple

_SITES: Final = ("site-packages", "dist-packages")
_VERSION: Final = re.compile(
    r"""^__version__\s*(?::\s*\w+\s*)?=\s*["']([^"']+)["']""", re.MULTILINE
)


class Installed(NamedTuple):
    """A distribution, and whether it was installed from a folder, an archive or a repository."""

    name: str
    version: str
    is_local: bool = False


def file_of(module: str) -> str | None:
    """The file of a module, or of the package it was made by; of a namespace package a folder."""
    top, *rest = module.split(".")
    for name in (module, top):
        loaded = sys.modules.get(name)
        file = getattr(loaded, "__file__", None)
        if file is not None:
            return str(file)
        folders = tuple(getattr(loaded, "__path__", ()))
        if folders:
            return folders[0] if name == module else _file_below(folders, tuple(rest))
        if loaded is not None and name == top:
            return None
    return _file_to_be_found(top, tuple(rest), tuple(sys.path))


@functools.lru_cache(maxsize=1024)
def _file_to_be_found(top: str, rest: tuple[str, ...], _: tuple[str, ...]) -> str | None:
    """Where the import of a top-level module, or of a part of a namespace, would find it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.has_location:
        return None if spec is None else spec.origin
    folders = tuple(spec.submodule_search_locations or ())
    return _file_below(folders, rest) if folders else None


@functools.lru_cache(maxsize=1024)
def _file_below(folders: tuple[str, ...], rest: tuple[str, ...]) -> str | None:
    endings = (os.path.join("", "__init__.py"), ".py", *EXTENSION_SUFFIXES, "")
    paths = (os.path.join(folder, *rest) + ending for folder in folders for ending in endings)
    return next(filter(os.path.exists, paths), None)


def is_of_python(file: str) -> bool:
    """Is a file in the folders of the standard library, and not in one for libraries inside?"""
    path = _comparable(file)
    if not path.startswith(_python_roots()):
        return False
    return not any(f"{os.sep}{name}{os.sep}" in path for name in _SITES)


@functools.cache
def _python_roots() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    folders.add(os.path.dirname(os.__file__))
    zipped = "python{}{}.zip".format(*sys.version_info[:2])
    folders |= {os.path.join(os.path.dirname(folder), zipped) for folder in folders if folder}
    return tuple(sorted({_comparable(folder) + os.sep for folder in folders if folder}))


@functools.cache
def _site_roots() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(_comparable(folder) + os.sep for folder in folders if folder)


@functools.lru_cache(maxsize=4096)
def _comparable(path: str) -> str:
    """The true folder and the name in it: the file itself may be a link into a cache."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def unit_of(module: str) -> str:
    """The package or module that a distribution brings; many share a namespace package above."""
    parts = module.split(".")
    for count in range(1, len(parts)):
        unit = ".".join(parts[:count])
        if not _is_namespace(unit):
            return unit
    return module


def _is_namespace(unit: str) -> bool:
    loaded = sys.modules.get(unit)
    if loaded is not None:
        return getattr(loaded, "__file__", None) is None and bool(getattr(loaded, "__path__", ()))
    file = file_of(unit)
    return file is not None and os.path.isdir(file)


def installed(unit: str, file: str) -> Installed | None:
    """The distribution that brings a unit; None if it is of the project.

    The project is all that lies outside of folders for libraries, that was installed from a folder
    of source, or of which nothing says the version.
    """
    root = _root(unit, file)
    is_site = os.path.basename(root) in _SITES or (root + os.sep).startswith(_site_roots())
    found = _distributions(unit, root, is_site)
    if found:
        return None if any(map(_is_from_folder, found)) else _merged(unit, found)
    version = _version_in(file) if is_site else None
    return None if version is None else Installed(unit.partition(".")[0], version)


def _root(unit: str, file: str) -> str:
    """The folder of `sys.path` that a package or module was found in."""
    is_package = os.path.basename(file).partition(".")[0] == "__init__"
    path = os.path.dirname(file) if is_package else file
    for _ in unit.split("."):
        path = os.path.dirname(path)
    return os.path.realpath(path)


def _distributions(
    unit: str, root: str, is_site: bool
) -> tuple[importlib.metadata.Distribution, ...]:
    """Those in a folder that bring a unit; elsewhere than in a site only what pip has put there."""
    named = importlib.metadata.distributions(name=unit.replace(".", "-"), path=[root])
    for found in named:
        if _counts(found, is_site) and _brings(found, unit, True):
            return (found,)
    every = _by_top(root).get(unit.partition(".")[0], ())
    return tuple(found for found in every if _counts(found, is_site) and _brings(found, unit))


def _counts(found: importlib.metadata.Distribution, is_site: bool) -> bool:
    """An `egg-info` beside the source is what an editable install leaves in the project."""
    return is_site or found.read_text("METADATA") is not None


@functools.cache
def _by_top(root: str) -> dict[str, list[importlib.metadata.Distribution]]:
    """The distributions in a folder by the first names of what they bring."""
    tops: dict[str, list[importlib.metadata.Distribution]] = {}
    for found in importlib.metadata.distributions(path=[root]):
        names = {line.split(",")[0].partition("/")[0] for line in _record(found)}
        names |= set((found.read_text("top_level.txt") or "").split())
        for name in {name.partition(".")[0] for name in names}:
            tops.setdefault(name, []).append(found)
    return tops


def _record(found: importlib.metadata.Distribution) -> list[str]:
    return (found.read_text("RECORD") or "").splitlines()


def _brings(found: importlib.metadata.Distribution, unit: str, by_name: bool = False) -> bool:
    """By the list of its files; old ones have a list of names, and some nothing but a name."""
    path = unit.replace(".", "/")
    record = _record(found)
    if any(line.startswith((path + "/", path + ".")) for line in record):
        return True
    tops = (found.read_text("top_level.txt") or "").split()
    if record or tops:
        return unit.partition(".")[0] in tops
    return by_name


def _merged(unit: str, found: tuple[importlib.metadata.Distribution, ...]) -> Installed:
    known = sorted({(str(one.metadata["Name"]), one.version) for one in found})
    name, version = map("+".join, zip(*known, strict=True))
    local = [one for one in found if _source(one)]
    content = "".join(f" #{_content(unit, one)}" for one in local)
    return Installed(name, version + content, bool(local))


def _source(found: importlib.metadata.Distribution) -> dict[str, Any]:
    """What PEP 610 says of an install that did not come from an index; conda says it of all."""
    text = found.read_text("direct_url.json")
    if not text or (found.read_text("INSTALLER") or "").strip() == "conda":
        return {}
    source: dict[str, Any] = json.loads(text)
    is_local = str(source.get("url", "")).startswith("file:") or "vcs_info" in source
    return source if is_local else {}


def _is_from_folder(found: importlib.metadata.Distribution) -> bool:
    """Such a one is edited and installed anew under one version."""
    return "dir_info" in _source(found)


def _content(unit: str, found: importlib.metadata.Distribution) -> str:
    """A hash of the installed files, which tells builds of one version apart."""
    path = unit.replace(".", "/")
    lines = sorted(line for line in _record(found) if line.startswith((path + "/", path + ".")))
    return hashlib.blake2b("\n".join(lines).encode()).hexdigest()[:12]


def _version_in(file: str) -> str | None:
    """The version that a library without a distribution gives in its source."""
    try:
        with open(file, encoding="utf-8", errors="replace") as source:
            found = _VERSION.search(source.read())
    except OSError:
        return None
    return found[1] if found else None
