"""How persisted functions travel: by name where that leads to them, else with their code."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import import_module
from typing import Any

from persidict_dask._arrival import agrees, expectation
from persidict_dask._code import Fingerprint, fingerprint
from persidict_dask._digest import digest
from persidict_dask._errors import UnstableKeyError
from persidict_dask._pickler import goes_by_name
from persidict_dask._stores import StoreRef

_known: dict[tuple[Any, ...], Any] = {}


def is_found_by_name(function: Any) -> bool:
    """True if the receiver of a pickle gets this function and its settings from its module."""
    if "<" in function.__qualname__ or not goes_by_name(function.__module__):
        return False
    try:
        found = _resolved(function.__module__, function.__qualname__)
        return found is function or _has_arrived_for(found, function)
    except (ImportError, AttributeError):
        return False


def _has_arrived_for(found: Any, function: Any) -> bool:
    """True if the function was made from what was found, by `imported`; it may travel on."""
    same = function._expected is not None and found.__wrapped__ is function.__wrapped__
    return same and found._options is function._options


def _resolved(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), import_module(module))


def imported(module: str, qualname: str, ref: StoreRef, expected: str | None = None) -> Any:
    """Find a persisted function by its name, with the store that the sender uses."""
    function = _resolved(module, qualname)
    if function._results.ref == ref and expectation(function) in (None, expected):
        return function
    key = (ref, module, qualname, expected)
    found = _known.get(key)
    if found is None or found.__wrapped__ is not function.__wrapped__:
        found = _known[key] = type(function)(function.__wrapped__, ref, function._options)
        found._expected = expected
    return found


def bound_again(instance: Any, name: str, expected: str | None) -> Any:
    """Find a persisted method of an instance."""
    method = getattr(instance, name)
    if getattr(method, "__self__", None) is instance:
        method._expected = expected  # it was made just now
    return method


def rebuilt(
    cls: type[Any],
    function: Any,
    ref: StoreRef,
    options: Any,
    code: dict[str, Fingerprint] | None,
    names: dict[str, Any],
) -> Any:
    """Make the persisted function again; once per process, if the sender named its code.

    The function itself may be incomplete yet, if it refers to the persisted one.
    """
    made = cls(function, ref, options, code=code, names=names)
    try:
        validate = options.validate and fingerprint(options.validate).hexdigest
        retry = options.retry and digest(options.retry)
    except UnstableKeyError:
        return made
    if code is None:
        return made
    identity = code[""].hexdigest, *code[""].components  # equal code of other modules is not this
    same = (ref, replace(options, validate=None, retry=None), validate, retry, *identity)
    return _one_of(same, made)


def _one_of(key: tuple[Any, ...], made: Any) -> Any:
    """Return one function per process for all equal ones that have come with their code.

    The first may hold on to what a module had before it was loaded again; then the next serves.
    """
    found = _known.setdefault(key, made)
    if found is not made and not agrees(found):
        found = _known[key] = made
    return found
