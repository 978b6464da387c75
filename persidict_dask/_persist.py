"""`persist`: the decorator that stores the results of a function and finds them by content."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from persidict import PersiDict
from persidict.extras import is_installed
from persidict_dask._binding import takes
from persidict_dask._names import name_of, safe_name
from persidict_dask._options import Options
from persidict_dask._origin import own_package
from persidict_dask._persisted import PersistedFunction
from persidict_dask._persisted_async import persisted_class
from persidict_dask._seconds import Seconds, positive_seconds
from persidict_dask._source import source_of
from persidict_dask._stores import Store, results_store
from persidict_dask._trouble import OnStoreError
from persidict_dask.retries import RetryPolicy

P = ParamSpec("P")
R = TypeVar("R")


def persist(
    store: Store | str | os.PathLike[str],
    *,
    name: str | None = None,
    version: str | None = None,
    ignore: Iterable[str] | str = (),
    by_value: Iterable[str | ModuleType] | str | ModuleType = (),
    ttl: Seconds | None = None,
    single_flight: bool = True,
    retry: RetryPolicy | None = None,
    validate: Callable[[Any], bool] | None = None,
    verify: float = 0.0,
    enabled: bool = True,
    on_store_error: OnStoreError = "warn",
) -> Callable[[Callable[P, R]], PersistedFunction[P, R]]:
    """Return a decorator that stores the results of a function, and finds them again.

    Equal calls of equal code are computed once, in whatever process, session or cluster; the first
    result wins and is what everybody gets. Exceptions are not stored. The decorated function goes
    wherever Dask takes a function.

    Args:
        store: any `PersiDict`, or a URL, which opens a write-once store.
        name: the function's name in the store; default from module and qualified name.
        version: replaces the fingerprint of the code: only a new version invalidates.
        ignore: names of arguments that do not enter the key; and of globals, as `"module.name"`.
        by_value: modules or packages whose code belongs to the fingerprint, besides `__main__`,
            notebooks and the project of the function itself.
        ttl: seconds, or a `timedelta`, after which a result counts as missing, by the clock of
            the store.
        single_flight: equal calls that run at the same time, anywhere, run once; the others wait,
            without keeping their thread of a worker. If the runner fails, the first of them runs.
        retry: what is tried again before a call fails; default is that of `install`, if any. With
            `state`, attempts go by the key of the result.
        validate: `validate(value) -> bool`; a stored value that fails is a miss.
        verify: probability in [0, 1] with which a hit is computed again and compared;
            `ResultMismatchError` says what differs.
        enabled: `False` calls the plain function and touches no store.
        on_store_error: "warn" lets calls go on without a store that fails: the value comes back,
            and one warning tells each kind of failure. "raise" lets them fail.
    """
    if not isinstance(store, (PersiDict, str, os.PathLike)):
        raise TypeError(
            'use @persist("cache"), with a folder, a URL or a dictionary of persidict; '
            f"got {store!r}"
        )
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {type(name).__name__}")
    if retry is not None and not isinstance(retry, RetryPolicy):
        raise TypeError(f"retry is a RetryPolicy, not {retry!r}")
    lasts = None if ttl is None else positive_seconds("ttl", ttl)
    if not 0 <= verify <= 1:
        raise ValueError(f"verify must be a probability in [0, 1], not {verify!r}")
    if on_store_error not in ("warn", "raise"):
        raise ValueError(f"on_store_error is 'warn' or 'raise', not {on_store_error!r}")
    place = store if isinstance(store, PersiDict) else results_store(store)
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    modules = _checked_modules(by_value)

    caller = str(sys._getframe(1).f_globals.get("__name__", ""))

    def decorate(function: Callable[P, R]) -> PersistedFunction[P, R]:
        _check_function(function)
        safe = safe_name(name or name_of(function))
        options = Options(
            name=safe,
            given=name if name and name != safe else "",
            version=version,
            ignore=_checked_ignore(function, ignored),
            is_named=name is not None,
            by_value=_modules(modules, own_package(function, caller)),
            validate=validate,
            ttl=lasts,
            verify=verify,
            single_flight=single_flight,
            retry=retry,
            enabled=enabled,
            on_store_error=on_store_error,
            source=source_of(function),
        )
        return persisted_class(function)(function, place, options)

    return decorate


def _checked_modules(by_value: Any) -> set[str]:
    """Return the names of the modules; one that is not there would let edits go unseen."""
    named = (by_value,) if isinstance(by_value, (str, ModuleType)) else by_value
    if not isinstance(named, Iterable):
        raise TypeError(f"by_value takes modules or their names, not {by_value!r}")
    names = {str(getattr(name, "__name__", name)) for name in named}
    for name in names:
        if name not in sys.modules and not is_installed(name.partition(".")[0]):
            raise ValueError(f"by_value: there is no module {name!r}")
    return names


def _modules(named: set[str], own: str | None) -> tuple[str, ...]:
    return tuple(sorted(named | ({own} if own else set())))


def _check_function(function: Any) -> None:
    if isinstance(function, PersistedFunction):
        raise TypeError(f"{function!r} is persisted already")
    if isinstance(function, (staticmethod, classmethod, property, cached_property)):
        raise TypeError(f"put @{type(function).__name__} above @persist, not below it")
    if inspect.isclass(function) or not callable(function):
        raise TypeError(f"persist decorates functions, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name_of(function)} makes generators, which cannot be stored")


def _checked_ignore(function: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = sorted(name for name in names if "." not in name and not takes(function, name))
    if unknown:
        raise ValueError(f"{name_of(function)} has no arguments {unknown} to ignore")
    return names
