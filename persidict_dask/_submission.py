"""Calls on a cluster: what is stored becomes a future at once, and only the rest a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from numbers import Number
from typing import Any, NamedTuple
from uuid import uuid4

from persidict import NonEmptySafeStrTuple
from persidict_dask._digest import digest
from persidict_dask._progress import watched
from persidict_dask._savings import remember
from persidict_dask._stats import count
from persidict_dask._tasks import calling, loading, read

_FEW = 8  # keys that are asked for one by one
_WORTH = 100  # keys that may be listed for each one that is wanted
_THREADS = 16


def submit(function: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return a future of one call; see `PersistedFunction.submit`."""
    options, kwargs = _split(client, "submit", kwargs)
    if _is_for_workers(function, client, [args, kwargs]):
        return client.submit(function, *args, **options, **kwargs)
    name = options.pop("key", None)
    call = _Call(function._call(args, kwargs).key, args, name)
    return _Submission(function, client, kwargs, options).futures([call])[0]


def submit_all(
    function: Any, client: Any, iterables: tuple[Iterable[Any], ...], kwargs: dict[str, Any]
) -> list[Any]:
    """Return futures of many calls, in order; see `PersistedFunction.map`."""
    options, kwargs = _split(client, "map", kwargs)
    if not iterables:
        raise TypeError("map takes an iterable for each argument that differs between the calls")
    arguments = dict(enumerate(zip(*iterables, strict=False)))
    names, prefix = _names(options.pop("key", None), len(arguments))
    remote = [
        n for n, args in arguments.items() if _is_for_workers(function, client, [args, kwargs])
    ]
    found: dict[int, Any] = {}
    if remote:
        key = prefix or (names and [names[n] for n in remote])
        columns = map(list, zip(*(arguments[n] for n in remote), strict=True))
        futures = client.map(function, *columns, key=key, **options, **kwargs)
        found.update(zip(remote, futures, strict=True))
    calls = {
        n: _Call(function._call(args, kwargs).key, args, names and names[n])
        for n, args in arguments.items()
        if n not in found
    }
    submission = _Submission(function, client, kwargs, options, prefix)
    found.update(zip(calls, submission.futures(list(calls.values())), strict=True))
    return [found[n] for n in arguments]


class _Call(NamedTuple):
    """A call, and the name of its task if it was given one."""

    key: NonEmptySafeStrTuple
    args: tuple[Any, ...]
    name: Any


class _Submission:
    """Calls to one client that differ in their positional arguments only."""

    def __init__(
        self,
        function: Any,
        client: Any,
        kwargs: dict[str, Any],
        options: dict[str, Any],
        prefix: str | None = None,
    ) -> None:
        self._function = function
        self._client = client
        self._kwargs = kwargs
        self._options = options
        self._prefix = prefix
        self._is_pure = options.pop("pure", True)

    def futures(self, calls: list[_Call]) -> list[Any]:
        """Return the futures of calls; equal ones get the same, if they may."""
        idents = [
            (call.key, call.name, None if self._is_pure else number)
            for number, call in enumerate(calls)
        ]
        wanted = dict(zip(idents, calls, strict=True))
        found = self._known(wanted)
        found.update(self._hits({i: call for i, call in wanted.items() if i not in found}))
        found.update(self._tasks({i: call for i, call in wanted.items() if i not in found}))
        return [found[ident] for ident in idents]

    def _known(self, wanted: dict[Any, _Call]) -> dict[Any, Any]:
        """Return futures of what the client has under the given names, as it does itself."""
        from persidict_dask._hits import future_of

        named = {i: future_of(self._client, call.name) for i, call in wanted.items() if call.name}
        return {ident: future for ident, future in named.items() if future is not None}

    def _hits(self, wanted: dict[Any, _Call]) -> dict[Any, Any]:
        """Return futures of what is stored."""
        from persidict_dask._hits import Batch

        function = self._function
        stored = _stored(function, {call.key for call in wanted.values()})
        if not stored:
            return {}
        count(function._options.name, hits=len(stored))
        for key in stored:
            remember(function._options.name, key, partial(function._results.note_or_none, key))
        options = {name: value for name, value in self._options.items() if name != "batch_size"}
        load = partial(_each, function, partial(read, function))
        batch = Batch(self._client, load, loading(function, self._kwargs), options)
        return {
            ident: batch.add(call.name or self._hit_name(call), call.key, call.args)
            for ident, call in wanted.items()
            if call.key in stored
        }

    def _tasks(self, wanted: dict[Any, _Call]) -> dict[Any, Any]:
        """Return futures of calls that have to run, all submitted together."""
        from persidict_dask._hits import future_of

        names = {ident: call.name or self._task_name(call) for ident, call in wanted.items()}
        found = {i: future_of(self._client, name) for i, name in names.items()}
        found = {ident: future for ident, future in found.items() if future is not None}
        rest = [ident for ident in wanted if ident not in found]
        if rest:
            columns = zip(*((wanted[i].key, *wanted[i].args) for i in rest), strict=True)
            task, keys = calling(self._function, self._kwargs), [names[i] for i in rest]
            # with names, `pure` means nothing but a digest of all arguments
            futures = self._client.map(
                task, *map(list, columns), key=keys, pure=False, **self._options
            )
            found.update(zip(rest, futures, strict=True))
        return found

    def _name(self, call: _Call) -> str:
        """Name a call by its content and store: equal calls are one task of a cluster."""
        prefix = self._prefix or call.key[0]
        return f"{prefix}-{digest(self._function._results.token, *call.key)}"

    def _hit_name(self, call: _Call) -> str:
        """Name the task of a hit; under the name of a call the cluster may have an older result."""
        kind = "" if self._prefix else "hit-"  # loading takes other times than running
        return f"{kind}{self._name(call)}-{uuid4().hex}"

    def _task_name(self, call: _Call) -> str:
        """Name the task of a call that has no result: one that is over already has another's."""
        name = self._name(call)
        known = self._client.futures.get(name)
        is_over = known is not None and known.status != "pending"
        is_fresh = is_over or not self._is_pure or self._function._options.ttl is not None
        return f"{name}-{uuid4().hex}" if is_fresh else name


# -- keywords -------------------------------------------------------------------------------------


def _split(
    client: Any, method: str, kwargs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords that the client's method has, and those of the function."""
    from distributed import Client

    if not isinstance(client, Client):
        raise TypeError(
            f"{method} takes a distributed.Client first, as in f.{method}(client, ...), "
            f"not {client!r:.100}"
        )
    known = _keywords(getattr(type(client), method))
    options = {name: value for name, value in kwargs.items() if name in known}
    _check(options)
    return options, {name: value for name, value in kwargs.items() if name not in known}


@cache
def _keywords(method: Any) -> frozenset[str]:
    parameters = inspect.signature(method).parameters.values()
    return frozenset(one.name for one in parameters if one.kind is one.KEYWORD_ONLY)


def _check(options: dict[str, Any]) -> None:
    """Raise now what the client would raise about calls that it gets."""
    is_actor = [options.pop(name, False) for name in ("actor", "actors")]
    if any(is_actor):
        raise TypeError("an actor is nothing to be stored; client.submit makes actors")
    workers = options.get("workers")
    if workers is None and options.get("allow_other_workers"):
        raise ValueError("Only use allow_other_workers= if using workers=")
    if workers is not None and not isinstance(workers, (str, Number, list, set)):
        options["workers"] = list(workers)


def _names(key: Any, size: int) -> tuple[list[Any] | None, str | None]:
    """Return the names that were given to the calls, or what their names begin with."""
    if not key or isinstance(key, str):
        return None, key or None
    names = list(key)
    if len(names) != size:
        raise ValueError(f"{len(names)} keys were given for {size} calls")
    return names, None


# -- what is stored -------------------------------------------------------------------------------


def _stored(function: Any, keys: set[NonEmptySafeStrTuple]) -> set[NonEmptySafeStrTuple]:
    """Return those keys that have a result; none is read unless there is something to check."""
    listed = _listed(function, keys)
    options = function._options
    if listed is not None and options.ttl is None and options.validate is None:
        return listed
    hopeful = list(keys if listed is None else listed)
    looks = watched(
        _each(function, function._results.is_at_hand, hopeful), len(hopeful), "stored results"
    )
    return {key for key, is_there in zip(hopeful, looks, strict=True) if is_there}


def _each(
    function: Any, look: Callable[[NonEmptySafeStrTuple], Any], keys: list[NonEmptySafeStrTuple]
) -> Iterator[Any]:
    """Yield what a look at the store finds for each key."""
    if len(keys) <= 1 or function._results.is_near:
        yield from map(look, keys)
        return
    with ThreadPoolExecutor(_THREADS) as threads:  # each waits for a server
        yield from threads.map(look, keys)


def _listed(function: Any, wanted: set[NonEmptySafeStrTuple]) -> set[NonEmptySafeStrTuple] | None:
    """Return those keys that a listing finds; `None` if it is cheaper to ask for each."""
    if len(wanted) <= _FEW:
        return None
    found = set()
    for number, key in enumerate(function._results.keys_under(next(iter(wanted))[1])):
        if number > _WORTH * len(wanted):
            return None
        if key in wanted:
            found.add(key)
    return found


def _is_for_workers(function: Any, client: Any, arguments: Any) -> bool:
    """True if only the cluster knows the arguments, or if this thread must not wait."""
    if not function._options.enabled or client.asynchronous:
        return True
    from persidict_dask._hits import futures_in

    return any(True for _ in futures_in(arguments))
