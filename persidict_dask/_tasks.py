"""Calls of persisted functions as tasks of a cluster, which know the key of the submitted call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any

from persidict import NonEmptySafeStrTuple
from persidict_dask._flights import MISSING, in_thread
from persidict_dask._stats import count, sizeof
from persidict_dask._warn import warn_client


def calling(function: Any, kwargs: dict[str, Any]) -> Callable[..., Any]:
    """Return a task that makes a call; it takes the expected key and the arguments."""
    return partial(_call_async if iscoroutinefunction(function) else _call, function, kwargs)


def loading(function: Any, kwargs: dict[str, Any]) -> Callable[..., Any]:
    """Return a task that loads a result, or makes the call if that was removed meanwhile."""
    return partial(_load_async if iscoroutinefunction(function) else _load, function, kwargs)


def read(function: Any, key: NonEmptySafeStrTuple) -> Any:
    """Return a result, or `MISSING`; as a hit it was counted when it was looked up."""
    begin = perf_counter()
    found = function._results.load(key)
    if found is not MISSING:
        seconds = perf_counter() - begin
        count(function._options.name, seconds_loading=seconds, bytes=sizeof(found))
    return found


def _call(function: Any, kwargs: dict[str, Any], key: NonEmptySafeStrTuple, *args: Any) -> Any:
    return function._answer(_compared(function, kwargs, key, args))


async def _call_async(
    function: Any, kwargs: dict[str, Any], key: NonEmptySafeStrTuple, *args: Any
) -> Any:
    return await function._answer(_compared(function, kwargs, key, args))


def _compared(
    function: Any, kwargs: dict[str, Any], key: NonEmptySafeStrTuple, args: tuple[Any, ...]
) -> Any:
    """Return the call by its key here, which is the one that a result belongs under."""
    call = function._call(args, kwargs)
    if (call.key[0], call.key[2]) != (key[0], key[2]):  # of code the function warns by itself
        warn_client(
            f"{function._label}: the arguments count as others on a worker than where the call was "
            "submitted: their classes, or what they refer to, have other code or another version "
            "here; the result is stored as that of the other call"
        )
    return call


def _load(function: Any, kwargs: dict[str, Any], key: NonEmptySafeStrTuple, *args: Any) -> Any:
    found = read(function, key)
    return function._answer(_same(function, kwargs, key, args)) if found is MISSING else found


async def _load_async(
    function: Any, kwargs: dict[str, Any], key: NonEmptySafeStrTuple, *args: Any
) -> Any:
    found = await in_thread(read, function, key)
    return await function._answer(_same(function, kwargs, key, args)) if found is MISSING else found


def _same(
    function: Any, kwargs: dict[str, Any], key: NonEmptySafeStrTuple, args: tuple[Any, ...]
) -> Any:
    """Return the call, if it still is the one whose result there was."""
    call = function._call(args, kwargs)
    if call.key != key:
        raise KeyError(
            f"{function._label}: the result was removed, and arguments or code have changed since"
        )
    return call
