"""Definitions of scripts and notebooks inside of results: stored by name, and with their code."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import io
import logging
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from persidict.reducers import reducing
from persidict_dask._names import MAIN
from persidict_dask._origin import known_as
from persidict_dask.loading import (
    PYTHON,
    asking,
    by_name,
    code_of,
    definition,
    is_definition,
    place_of,
)

_LARGEST: Final = 1 << 20  # bytes of code and what it refers to; more stays in its script
_MADE_BY_PYTHON: Final = 1 << 9  # the flag of classes that are no part of an extension


@contextlib.contextmanager
def carrying(namespace: Mapping[str, Any]) -> Iterator[None]:
    """Let results be stored and loaded that hold what stands in a script or notebook.

    `namespace` is what the function that is asked for them sees.
    """
    with reducing(_reduced), asking(namespace):
        yield


def _reduced(obj: Any) -> Any:
    """Reduce what others would not find by its name; a reducer as pickle wants it."""
    if not is_definition(obj):
        reducer = _reducers().get(type(obj))
        return NotImplemented if reducer is None else reducer(obj)
    module = known_as(obj.__module__)
    carried = None if _is_found_by_others(obj, module) else _code_with(obj)
    if carried is None:
        return NotImplemented
    return definition, (module, obj.__qualname__, place_of(obj), code_of(obj), PYTHON, carried)


def _is_found_by_others(obj: Any, module: str) -> bool:
    if isinstance(obj, type) and not obj.__flags__ & _MADE_BY_PYTHON:
        return True
    if module == MAIN or _is_registered(module):
        return False
    return by_name(module, obj.__qualname__) is obj


def _is_registered(module: str) -> bool:
    """True if the user has told cloudpickle that others cannot import a module."""
    cloudpickle: Any = sys.modules.get("cloudpickle")
    names = cloudpickle.list_registry_pickle_by_value() if cloudpickle else ()
    return any(f"{module}.".startswith(f"{name}.") for name in names)


def _code_with(obj: Any) -> bytes | None:
    """Return a definition by value; `None` if it is better found by its name."""
    is_here = by_name(obj.__module__, obj.__qualname__) is obj
    try:
        import cloudpickle

        carried: bytes = cloudpickle.dumps(obj)
    except Exception:
        if is_here:
            return None
        raise
    return None if is_here and len(carried) > _LARGEST else carried


@functools.cache
def _reducers() -> dict[type, Callable[[Any], Any]]:
    """Return how cloudpickle reduces what pickle does not take: modules, views and the like."""
    try:
        from cloudpickle import Pickler
    except ImportError:
        return {}
    as_before = {*copyreg.dispatch_table, types.MethodType, logging.Logger, logging.RootLogger}
    # it would store the text of an open file, and bytes for a view of them
    other_values = {io.TextIOWrapper, memoryview}
    return {k: r for k, r in Pickler.dispatch_table.items() if k not in as_before | other_values}
