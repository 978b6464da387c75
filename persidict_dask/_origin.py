"""Where code comes from: the project (counted by value), a distribution, or Python itself."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import site
import sys
import sysconfig
import types
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, NamedTuple

PROJECT = "project"
LIBRARY = "library"
PYTHON = "python"

_OURS = frozenset({"persidict", "persidict_dask"})  # by version, also in an editable install


class Origin(NamedTuple):
    """Kind of a module's code, and what identifies it when it is not taken by value."""

    kind: str
    name: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


PYTHON_ORIGIN = Origin(PYTHON, "python", "{}.{}".format(*sys.version_info[:2]))
PROJECT_ORIGIN = Origin(PROJECT)


def module_of(obj: Any) -> str:
    """Name of the module that an object's code was written in.

    Not `__module__` of a function: `functools.wraps` copies that from another one.
    """
    if isinstance(obj, types.ModuleType):
        return obj.__name__
    if isinstance(obj, types.FunctionType):
        return str(obj.__globals__.get("__name__", "__main__"))
    module = getattr(getattr(obj, "__objclass__", obj), "__module__", None)
    return module if isinstance(module, str) else "builtins"  # some types have a descriptor there


def place(obj: Any) -> str:
    """Module and qualified name, as in `pkg.mod:Class.method`."""
    name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", type(obj).__name__)
    return f"{module_of(obj)}:{name}"


def is_by_value(obj: Any, by_value: tuple[str, ...] = ()) -> bool:
    """Does the code of a function, class or module count, and not just its name and version?"""
    return origin_of(module_of(obj), by_value).kind == PROJECT


def origin_of(module: str, by_value: tuple[str, ...] = ()) -> Origin:
    """Origin of a module by name; `by_value` names modules and packages to take by value."""
    if by_value and any(module == name or module.startswith(name + ".") for name in by_value):
        return PROJECT_ORIGIN
    return origin_of_module(module)


@functools.lru_cache(maxsize=4096)
def origin_of_module(module: str) -> Origin:
    """Origin of a module; what nobody knows was written in this session and is the project's."""
    top = module.partition(".")[0]
    if top == "__main__":
        return PROJECT_ORIGIN
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return PYTHON_ORIGIN
    if top in _OURS:
        return Origin(LIBRARY, top, _version(top, top) or "unknown")
    file = _file_of(module)
    if file is None or not _is_installed(file):
        return PROJECT_ORIGIN
    name = _distribution(top)
    return Origin(LIBRARY, name or top, _version(name or top, top) or "unknown")


def compiled_version(module: str) -> str:
    """Content hash of an extension module of the project, whose code cannot be read."""
    file = _file_of(module)
    if file is None or not file.endswith(tuple(EXTENSION_SUFFIXES)):
        return ""
    status = os.stat(file)
    return _file_hash(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _file_hash(file: str, mtime: int, size: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()[:16]


def _file_of(module: str) -> str | None:
    loaded = sys.modules.get(module) or sys.modules.get(module.partition(".")[0])
    if loaded is not None:
        file = getattr(loaded, "__file__", None) or next(
            iter(getattr(loaded, "__path__", ())), None
        )
        return None if file is None else str(file)
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or ()), None)


@functools.cache
def _installed_roots() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.realpath(path) + os.sep for path in paths if path)


def _is_installed(file: str) -> bool:
    parts = file.replace("\\", "/").split("/")
    if "site-packages" in parts or "dist-packages" in parts:
        return True
    return os.path.realpath(file).startswith(_installed_roots())


@functools.cache
def _distribution(top: str) -> str | None:
    """The distribution that brings a top-level module."""
    try:
        found = importlib.metadata.distribution(top)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        found = None
    if found is not None and _brings(found, top):
        return str(found.metadata["Name"])
    names = _all_distributions().get(top)
    return "+".join(sorted(set(names))) if names else None


@functools.cache
def _all_distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _brings(found: importlib.metadata.Distribution, top: str) -> bool:
    tops = (found.read_text("top_level.txt") or "").split()
    if tops:
        return top in tops
    record = found.read_text("RECORD") or ""
    return f"{top}/__init__.py," in record or f"\n{top}.py," in "\n" + record


def _version(name: str, top: str) -> str | None:
    try:
        return "+".join(importlib.metadata.version(part) for part in name.split("+"))
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(top), "__version__", None)


def find(module: str, qualname: str) -> Any:
    """What stands in a loaded module under a qualified name, or None."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = inspect.getattr_static(found, part, None) if found is not None else None
    return found
