"""Names of functions, as parts of keys."""

from __future__ import annotations

import functools
from typing import Any

from persidict import replace_unsafe_chars
from persidict_dask._digest import digest
from persidict_dask._origin import known_as

MAIN = "__main__"
_LONGEST = 120


def name_of(function: Any) -> str:
    """Return module and qualified name of a function; of its class, if it is another object."""
    named = named_by(function)
    return f"{known_as(named.__module__)}.{named.__qualname__}"


def named_by(function: Any) -> Any:
    """Return what has the name of a callable: itself, the function of a partial, or its class."""
    if isinstance(function, functools.partial):
        return named_by(function.func)
    has_names = hasattr(function, "__qualname__") and hasattr(function, "__module__")
    return function if has_names else type(function)


def names_of(function: Any) -> dict[str, Any]:
    """Return what a decorated function takes over from the plain one."""
    names, named = functools.WRAPPER_ASSIGNMENTS, named_by(function)
    taken = {name: getattr(named, name) for name in names if hasattr(named, name)}
    return taken | {"__doc__": getattr(function, "__doc__", None)}


def safe_name(name: str) -> str:
    """Return a component of keys; different names stay different."""
    safe = replace_unsafe_chars(name, "_")
    if safe == name and len(safe) <= _LONGEST and safe.strip("."):
        return safe
    # different names must stay different after the replacement and the cut
    return f"{safe[:_LONGEST]}~{digest(name)[:8]}"
