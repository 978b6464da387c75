"""Where code comes from: the project (counted by value), a distribution, or Python itself."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import os
import sys
import types
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Any, Final, NamedTuple

from persidict_dask._installed import file_of, installed, is_of_python, unit_of

PROJECT = "project"
LIBRARY = "library"
PYTHON = "python"

_OURS: Final = frozenset({"persidict", "persidict_dask"})  # by version, also if editable
_OF_PYTHON: Final = sys.stdlib_module_names | frozenset(sys.builtin_module_names)
_MAIN: Final = "__main__"


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
    if isinstance(obj, types.MethodType):
        return module_of(obj.__func__)
    if isinstance(obj, types.ModuleType):
        return known_as(obj.__name__)
    if isinstance(obj, types.FunctionType):
        return known_as(str(obj.__globals__.get("__name__", _MAIN)))
    module = getattr(getattr(obj, "__objclass__", obj), "__module__", None)
    if not isinstance(module, str):  # some types have a descriptor there
        return "builtins"
    if module not in sys.modules and isinstance(obj, type):
        return _module_of_compiled(obj, module)
    return known_as(module)


def known_as(module: str) -> str:
    """The name of a module; children of `multiprocessing` know the script by another one."""
    return _MAIN if module == "__mp_main__" else module


@functools.lru_cache(maxsize=64)
def _module_of_compiled(cls: type, module: str) -> str:
    """A compiled type may say only the last part of its module's name."""
    for name, loaded in list(sys.modules.items()):
        if name.endswith("." + module) and vars(loaded).get(cls.__name__) is cls:
            return name
    return module


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
    unit = unit_of(known_as(module))
    return origin_of_module(unit, file_of(unit))


@functools.lru_cache(maxsize=4096)
def origin_of_module(unit: str, file: str | None) -> Origin:
    """Origin of a top-level module or package, or of one in a namespace, that is in a file.

    The file says it before the name: a project may have a `statistics.py`. What nobody knows was
    written in this session and is the project's.
    """
    top = unit.partition(".")[0]
    if top == _MAIN:
        return PROJECT_ORIGIN
    if file is None:
        return PYTHON_ORIGIN if top in _OF_PYTHON else PROJECT_ORIGIN
    if is_of_python(file):
        return PYTHON_ORIGIN
    if top in _OURS:
        return Origin(LIBRARY, top, _our_version())
    found = installed(unit, file)
    return Origin(LIBRARY, found.name, found.version) if found else PROJECT_ORIGIN


def _our_version() -> str:
    try:
        return importlib.metadata.version("persidict")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def own_package(function: Any, caller: str) -> str | None:
    """The installed package that is a function's own, to be taken by value; None if there is none.

    It is the function's own if the module `caller`, which asks, belongs to it too, or if it was
    installed from a place of the user's: an archive or a repository.
    """
    unit = unit_of(module_of(function))
    file = file_of(unit)
    if file is None or unit in _OURS or origin_of(unit).kind != LIBRARY:
        return None
    found = installed(unit, file)
    is_own = unit_of(known_as(caller)) == unit or (found is not None and found.is_local)
    return unit if is_own else None


def compiled_version(module: str) -> str:
    """Content hash of an extension module of the project, whose code cannot be read."""
    file = file_of(module)
    if file is None or not file.endswith(tuple(EXTENSION_SUFFIXES)):
        return ""
    status = os.stat(file)
    return _file_hash(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _file_hash(file: str, mtime: int, size: int) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()[:16]


def find(module: str, qualname: str) -> Any:
    """What stands in a loaded module under a qualified name, or None."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = inspect.getattr_static(found, part, None) if found is not None else None
    return found
