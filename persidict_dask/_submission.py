"""Calls on a cluster: what is stored becomes a future at once, and only the rest a task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

from persidict import NonEmptySafeStrTuple
from persidict_dask._digest import digest
from persidict_dask._flights import MISSING
from persidict_dask._progress import watched

_FEW = 8  # keys that are asked for one by one
_WORTH = 100  # keys that may be listed for each one that is wanted
_THREADS = 16


def submit(function: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a future of one call; see `PersistedFunction.submit`."""
    if _is_for_workers(function, client, args, kwargs):
        return client.submit(function, *args, **kwargs)
    call = function._call(args, kwargs)
    found = function._load(call)
    if found is not MISSING:
        return _maker(client)(_name(function, call), found, partial(_again, function, call))
    name = _task_name(function, client, call)
    return client.submit(partial(function, **kwargs), *args, key=name)


def submit_all(
    function: Any, client: Any, arguments: list[tuple[Any, ...]], kwargs: dict[str, Any]
) -> list[Any]:
    """Return futures of many calls, in order; see `PersistedFunction.map`."""
    if any(_is_for_workers(function, client, args, kwargs) for args in arguments):
        return [submit(function, client, args, kwargs) for args in arguments]
    calls = [function._call(args, kwargs) for args in arguments]
    wanted = {call.key: (call, args) for call, args in zip(calls, arguments, strict=True)}
    futures: dict[NonEmptySafeStrTuple, Any] = {}
    make = _maker(client)
    for key, found in _stored(function, {key: call for key, (call, _) in wanted.items()}):
        call, _ = wanted[key]
        futures[key] = make(_name(function, call), found, partial(_again, function, call))
    missing = [one for key, one in wanted.items() if key not in futures]
    futures.update(_tasks(function, client, missing, kwargs))
    return [futures[call.key] for call in calls]


def _tasks(
    function: Any, client: Any, missing: list[tuple[Any, tuple[Any, ...]]], kwargs: dict[str, Any]
) -> Iterator[tuple[NonEmptySafeStrTuple, Any]]:
    """Yield key and future of calls that have to run, all submitted together."""
    if not missing:
        return
    calls, arguments = zip(*missing, strict=True)
    names = [_task_name(function, client, call) for call in calls]
    columns = list(zip(*arguments, strict=True))
    futures = client.map(partial(function, **kwargs), *columns, key=names)
    yield from zip((call.key for call in calls), futures, strict=True)


def _stored(
    function: Any, calls: dict[NonEmptySafeStrTuple, Any]
) -> Iterator[tuple[NonEmptySafeStrTuple, Any]]:
    """Yield key and result of those calls that have one."""
    listed = _listed(function, calls)
    hopeful = [call for key, call in calls.items() if listed is None or key in listed]
    results = watched(_loaded(function, hopeful), len(hopeful), "stored results")
    for call, found in zip(hopeful, results, strict=True):
        if found is not MISSING:
            yield call.key, found


def _loaded(function: Any, calls: list[Any]) -> Iterator[Any]:
    if len(calls) <= 1 or function._results.is_near:
        yield from map(function._load, calls)
        return
    with ThreadPoolExecutor(_THREADS) as threads:  # each waits for a server
        yield from threads.map(function._load, calls)


def _listed(
    function: Any, keys: Iterable[NonEmptySafeStrTuple]
) -> set[NonEmptySafeStrTuple] | None:
    """Return those keys that a listing finds; `None` if it is cheaper to ask for each."""
    wanted = set(keys)
    if len(wanted) <= _FEW:
        return None
    found = set()
    for count, key in enumerate(function._results.keys_under(next(iter(wanted))[1])):
        if count > _WORTH * len(wanted):
            return None
        if key in wanted:
            found.add(key)
    return found


def _is_for_workers(
    function: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """True if only the cluster knows the arguments, or if this thread must not wait."""
    if not function._options.enabled or client.asynchronous:
        return True
    return any(map(_is_remote, (*args, *kwargs.values())))


def _is_remote(value: Any) -> bool:
    from distributed import Future

    if isinstance(value, (list, tuple, set)):
        return any(map(_is_remote, value))
    if isinstance(value, dict):
        return any(map(_is_remote, value.values()))
    return isinstance(value, Future)


def _maker(client: Any) -> Any:
    from persidict_dask._hits import hit_futures

    return hit_futures(client)


def _again(function: Any, call: Any) -> Any:
    """Return the result of a call once more; its arguments may have changed since."""
    found = function._results.load(call.key)
    if found is not MISSING:
        return found
    now = function._call(call.args[len(function._instance) :], call.kwargs)
    if now.key != call.key:
        raise KeyError(f"{call.key}: the result was removed, and the arguments have changed since")
    return function._fly(now)


def _name(function: Any, call: Any) -> str:
    """Name a call by its content and store: equal calls are one task of a cluster."""
    return f"{call.key[0]}-{digest(function._results.token, *call.key)}"


def _task_name(function: Any, client: Any, call: Any) -> str:
    """Name the task of a call that has no result: one that is over already has another's."""
    name = _name(function, call)
    known = client.futures.get(name)
    is_over = known is not None and known.status != "pending"
    return f"{name}-{uuid4().hex}" if is_over or function._options.ttl is not None else name
