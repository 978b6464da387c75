"""Functions that come from another process: is the code here the code that the sender has?"""

from __future__ import annotations

import functools
from contextlib import suppress
from importlib import import_module
from typing import Any

from persidict_dask._errors import UnstableKeyError
from persidict_dask._stores import StoreRef
from persidict_dask._warn import warn_client

_known: dict[tuple[Any, ...], Any] = {}


def resolved(module: str, qualname: str) -> Any:
    """Return what a module has under a qualified name."""
    return functools.reduce(getattr, qualname.split("."), import_module(module))


def imported(module: str, qualname: str, ref: StoreRef, expected: str | None = None) -> Any:
    """Find a persisted function by its name, with the store that the sender uses."""
    function = resolved(module, qualname)
    if function._results.ref == ref and _is_as_expected(function, expected):
        return function
    key = (ref, module, qualname, expected)
    found = _known.get(key)
    if found is None or found.__wrapped__ is not function.__wrapped__:
        found = _known[key] = type(function)(function.__wrapped__, ref, function._options)
        found._expected = expected
    return found


def known(key: tuple[Any, ...], made: Any) -> Any:
    """Return one function per process for all equal ones that have come with their code.

    The first may hold on to what a module had before it was loaded again; then the next serves.
    """
    found = _known.setdefault(key, made)
    if found is not made and not _agrees(found):
        found = _known[key] = made
    return found


def _agrees(function: Any) -> bool:
    try:
        return function._code.digits() == function._expected  # type: ignore[no-any-return]
    except UnstableKeyError:
        return True
    except Exception:  # an error on arrival breaks the connection; the call will tell it
        return False


def has_arrived_for(found: Any, function: Any) -> bool:
    """True if the function was made from what was found, by `imported`; it may travel on."""
    same = function._expected is not None and found.__wrapped__ is function.__wrapped__
    return same and found._options is function._options


def expectation(function: Any) -> str | None:
    """Return what the code of a function should be wherever it is sent; `None` if no key has it."""
    known = function._expected_of_method if function._instance else function._expected
    if known is not None or not function._options.enabled:
        return known  # type: ignore[no-any-return]
    with suppress(Exception):  # this is asked on arrival, too; the call will tell
        owner = function._code.owner_of(function._instance[0]) if function._instance else None
        return function._code.digits(owner)  # type: ignore[no-any-return]
    return None


def _is_as_expected(function: Any, expected: str | None) -> bool:
    """True unless the code here is known to be other code."""
    return expected is None or expectation(function) in (None, expected)


def warn_of_other_code(function: Any) -> None:
    """Say that the code that runs here is not what the sender has."""
    others = function._code.others()
    what = f" ({', '.join(others)})" if others else ""
    warn_client(
        f"{function._label}: a worker has other code than the process that has sent the "
        f"call{what}: a module that was edited since the worker has imported it, or another "
        "version of a library. The worker runs what it has; the result is stored as that of the "
        "code of the worker, and not where the sender looks for it"
    )
