"""What stored results call when they are loaded: this name stands in them, and stays."""

from __future__ import annotations

import contextlib
import functools
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

from persidict_dask._code import fingerprint
from persidict_dask._errors import UnstableKeyError
from persidict_dask._names import MAIN
from persidict_dask._source import source_of, source_of_main

PYTHON = "{}.{}".format(*sys.version_info[:2])

_known: WeakValueDictionary[tuple[str, str, str], Any] = WeakValueDictionary()
_asking: ContextVar[Mapping[str, Any]] = ContextVar("_asking")


def definition(
    module: str, qualname: str, source: str, code: str, python: str, carried: bytes
) -> Any:
    """Return a class or function of a script or notebook that a result is made of.

    It is the one that goes by its name here, if that stands in the same file or has the same code;
    else the one that was stored with the result.

    Args:
        module: `__main__`, or a module that was registered with cloudpickle.
        qualname: its name in there.
        source: the file or notebook; "" if it was not known.
        code: the fingerprint; "" if it has none.
        python: the version that `carried` can be loaded with.
        carried: the definition itself, by cloudpickle.
    """
    found = _by_name(module, qualname)
    if is_definition(found) and (
        _is_known(source, place_of(found)) or _is_known(code, code_of(found))
    ):
        return found
    same = (module, qualname, code)
    if code and same in _known:
        return _known[same]
    if python != PYTHON:
        raise AttributeError(f"{module}.{qualname} was stored by Python {python}")
    made = pickle.loads(carried)
    is_shared = bool(code) and isinstance(made, type)  # a function may have a state of its own
    return _known.setdefault(same, made) if is_shared else made


@contextlib.contextmanager
def asking(namespace: Mapping[str, Any]) -> Iterator[None]:
    """Let definitions of `__main__` be looked for in what is `__main__` for some function."""
    token = _asking.set(namespace)
    try:
        yield
    finally:
        _asking.reset(token)


def by_name(module: str, qualname: str) -> Any:
    """Return what stands under a name; `None` if nothing does."""
    with contextlib.suppress(ImportError, AttributeError):
        return functools.reduce(getattr, qualname.split("."), import_module(module))
    return None


def _by_name(module: str, qualname: str) -> Any:
    namespace = _asking.get({})
    top, *below = qualname.split(".")
    if module == MAIN and namespace.get("__name__") == MAIN and top in namespace:
        with contextlib.suppress(AttributeError):
            return functools.reduce(getattr, below, namespace[top])
    return by_name(module, qualname)


def is_definition(value: Any) -> bool:
    """True for classes and functions of Python."""
    return isinstance(value, (type, types.FunctionType))


def code_of(found: Any) -> str:
    """Return the fingerprint of a definition; "" if it has none."""
    try:
        return fingerprint(found).hexdigest
    except (UnstableKeyError, TypeError):
        return ""


def place_of(found: Any) -> str:
    """Return the file or notebook of a definition; "" if nobody knows."""
    is_here = by_name(MAIN, found.__qualname__) is found
    return source_of_main() if is_here else source_of(found)


def _is_known(one: str, other: str) -> bool:
    return one == other != ""
