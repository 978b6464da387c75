"""How persisted functions travel: by name where that leads to them, else with their code."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib import import_module
from typing import Any

from persidict_dask._code import Fingerprint, fingerprint
from persidict_dask._digest import digest
from persidict_dask._errors import UnstableKeyError
from persidict_dask._pickler import goes_by_name
from persidict_dask._stores import StoreRef

_known: dict[tuple[Any, ...], Any] = {}


def is_found_by_name(function: Any) -> bool:
    """True if the receiver of a pickle gets this very object from its module."""
    if "<" in function.__qualname__ or not goes_by_name(function.__module__):
        return False
    try:
        return _resolved(function.__module__, function.__qualname__) is function
    except (ImportError, AttributeError):
        return False


def _resolved(module: str, qualname: str) -> Any:
    return functools.reduce(getattr, qualname.split("."), import_module(module))


def imported(module: str, qualname: str, ref: StoreRef) -> Any:
    """Find a persisted function by its name, with the store that the sender uses."""
    function = _resolved(module, qualname)
    if function._results.ref == ref:
        return function
    key = (ref, module, qualname)
    return _known.setdefault(key, type(function)(function.__wrapped__, ref, function._options))


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
    same = (ref, replace(options, validate=None, retry=None), validate, retry, code[""].hexdigest)
    return _known.setdefault(same, made)
