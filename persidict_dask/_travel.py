"""How persisted functions travel: by name where that leads to them, else with their code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from persidict_dask._arrival import has_arrived_for, known, resolved
from persidict_dask._code import Fingerprint, fingerprint
from persidict_dask._digest import digest
from persidict_dask._function_code import CODE_DIGITS
from persidict_dask._pickler import goes_by_name
from persidict_dask._stores import StoreRef


def is_found_by_name(function: Any) -> bool:
    """True if the receiver of a pickle gets this function and its settings from its module."""
    if "<" in function.__qualname__ or not goes_by_name(function.__module__):
        return False
    try:
        found = resolved(function.__module__, function.__qualname__)
        return found is function or has_arrived_for(found, function)
    except (ImportError, AttributeError):
        return False


def bound(instance: Any, name: str, expected: str | None) -> Any:
    """Find a persisted method of an instance."""
    method = getattr(instance, name)
    if getattr(method, "__self__", None) is instance and hasattr(method, "_expected"):
        method._expected_of_method = expected  # it was made just now
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
    made._expected = None if code is None else code[""].hexdigest[:CODE_DIGITS]
    try:
        validate = options.validate and fingerprint(options.validate).hexdigest
        retry = options.retry and digest(options.retry)
    except Exception:  # an error on arrival breaks the connection; the call will tell it
        return made
    if code is None:
        return made
    # equal code of other modules is not this, nor is a method of a class that was edited
    identity = *code[""].components, *((place, one.hexdigest) for place, one in code.items())
    same = (ref, replace(options, validate=None, retry=None), validate, retry, *identity)
    return known(same, made)
