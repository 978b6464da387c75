"""Futures of results that are stored already: tasks that load, sent when the cluster needs them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from html import escape
from itertools import islice
from typing import Any, TypeAlias

from distributed import Future
from distributed.client import FutureState
from distributed.utils_comm import pack_data

from persidict import NonEmptySafeStrTuple
from persidict_dask._flights import MISSING

Load: TypeAlias = Callable[[list[NonEmptySafeStrTuple]], Iterable[Any]]
# What asks the scheduler for keys at once, without a look at whether it knows them.
_WANT_TASKS_DONE = ("_replicate", "_rebalance", "_retry")
_WANT_TASKS_SENT = ("_publish_dataset",)


class Batch:
    """The hits of one `map`: read from the store here, and loaded by tasks on the cluster.

    Args:
        load: returns what the store has for keys; `MISSING` for what it has no more.
        task: is called on the cluster with key and arguments.
        options: keywords of `client.map` for the tasks; so are the annotations of the caller.
    """

    def __init__(
        self, client: Any, load: Load, task: Callable[..., Any], options: dict[str, Any]
    ) -> None:
        self.client = client
        self.load = load
        self.stored = FutureState("")
        self.stored.finish()  # type: ignore[no-untyped-call]
        self._task = task
        self._options = options
        self._context = copy_context()
        self._hits: list[weakref.ref[HitFuture]] = []
        self._sent = 0
        _teach(client)

    def add(self, name: Any, key: NonEmptySafeStrTuple, args: tuple[Any, ...]) -> HitFuture:
        """Return the future of one more hit; all have equally many arguments."""
        hit = HitFuture(name, key, args, len(self._hits), self)
        self._hits.append(weakref.ref(hit))
        return hit

    def send(self, first: HitFuture) -> None:
        """Send the task of a hit; with it those of as many that follow as were sent before.

        So a thousand that are asked one by one take few messages, and one that is asked takes no
        others to the memory of workers.
        """
        following = (ref() for ref in islice(self._hits, first.number + 1, None))
        unsent = (hit for hit in following if hit is not None and not hit.is_sent)
        hits = [first, *islice(unsent, self._sent)]
        columns = zip(*((hit.place, *hit.arguments) for hit in hits), strict=True)
        futures = self._context.copy().run(
            self.client.map,
            self._task,
            *map(list, columns),
            key=[hit.name for hit in hits],
            pure=False,  # names them only, and these have names
            **self._options,
        )
        for hit, future in zip(hits, futures, strict=True):
            hit.task = future
        self._sent += len(hits)


class HitFuture(Future):  # type: ignore[type-arg]
    """A future whose result was in the store when it was made.

    `result()`, `gather`, `wait` and `as_completed` ask no worker for it. Whatever asks for its key
    makes it the future of a task that loads the result, without waiting for anything.
    """

    def __init__(
        self,
        name: Any,
        place: NonEmptySafeStrTuple,
        arguments: tuple[Any, ...],
        number: int,
        batch: Batch,
    ) -> None:
        self.name = name
        self.place = place
        self.arguments = arguments
        self.number = number
        self.task: Future[Any] | None = None
        self._batch = batch
        super().__init__(name, batch.client)

    def _bind_late(self) -> None:
        """Leave the client alone: it gets to know the future of the task."""

    @property
    def key(self) -> Any:
        """The key; the cluster knows it, or will before anything that is sent to it from now on."""
        self.sent()
        return self.name

    @key.setter
    def key(self, key: Any) -> None:
        """Do nothing: the name stands."""

    @property
    def _state(self) -> Any:
        task = self.task
        return task._state if task is not None and self.is_sent else self._batch.stored

    @_state.setter
    def _state(self, state: Any) -> None:
        """Do nothing: the state is that of the task, once there is one."""

    @property
    def is_sent(self) -> bool:
        """True if the cluster knows the task; a restart makes it forget all."""
        task = self.task
        return task is not None and task._generation == self._batch.client.generation

    def sent(self) -> Future[Any] | None:
        """Return the future of the task, sent before; `None` if this one is released."""
        # the lock under which a client sends graphs: what these are made of may ask for keys
        with self._batch.client._refcount_lock:
            if not self.is_sent and not self._cleared:
                self._batch.send(self)
            return self.task

    def result(self, timeout: float | None = None) -> Any:
        """Read the result from the store; if that has it no more, it is the result of the task."""
        if not self._batch.client.asynchronous and self.status != "cancelled":
            (found,) = self._batch.load([self.place])
            if found is not MISSING:
                return found
        return super().result(timeout)

    def release(self) -> None:
        """Let the cluster forget the task, if it knows it."""
        self._cleared = True
        self.task = None

    def __repr__(self) -> str:
        state = self.status if self.is_sent else "stored"
        return f"<HitFuture: {state}, key: {self.name}>"

    def _repr_html_(self) -> str:
        return f"<code>{escape(repr(self))}</code>"


def futures_in(value: Any) -> Iterator[Any]:
    """Yield the futures in a value, wherever Dask looks for them."""
    if isinstance(value, Future):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from futures_in(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from futures_in(each)


def future_of(client: Any, name: Any) -> Any:
    """Return a future of a task that the client knows already, or `None`."""
    with client._refcount_lock:
        return Future(name, client) if name in client.futures else None


# -- what a client does not ask of futures alone ---------------------------------------------------


def _teach(client: Any) -> None:
    """Let a client know what hits are where it asks more than their keys and states."""
    plain = type(client)
    client._gather = partial(_gather, client, partial(plain._gather, client))
    for name in _WANT_TASKS_DONE:
        setattr(client, name, partial(_done_first, partial(getattr(plain, name), client)))
    for name in _WANT_TASKS_SENT:
        setattr(client, name, partial(_sent_first, partial(getattr(plain, name), client)))


async def _gather(
    client: Any, plain: Any, futures: Any, errors: str = "raise", *args: Any, **kwargs: Any
) -> Any:
    """Gather hits from the store, and the rest from the cluster."""
    everything = dict.fromkeys(futures_in(futures))
    values = await asyncio.to_thread(_read, [one for one in everything if _is_of(one, client)])
    rest = [one for one in everything if one not in values]
    if not values or (rest and errors != "raise"):  # the client knows what to leave out
        return await plain(futures, errors, *args, **kwargs)
    if rest:
        gathered = await plain(rest, errors, *args, **kwargs)
        values.update(zip(rest, gathered, strict=True))
    return pack_data(futures, values)  # type: ignore[no-untyped-call]


def _is_of(future: Any, client: Any) -> bool:
    return (
        isinstance(future, HitFuture) and future.client is client and future.status != "cancelled"
    )


def _read(hits: list[HitFuture]) -> dict[Any, Any]:
    """Return what the store still has."""
    batches: dict[Batch, list[HitFuture]] = {}
    for hit in hits:
        batches.setdefault(hit._batch, []).append(hit)
    values: dict[Any, Any] = {}
    for batch, together in batches.items():
        found = batch.load([hit.place for hit in together])
        values.update(zip(together, found, strict=True))
    return {hit: value for hit, value in values.items() if value is not MISSING}


async def _done_first(plain: Any, futures: Any = None, *args: Any, **kwargs: Any) -> Any:
    await asyncio.gather(*(task._state.wait() for task in _sent(futures)))
    return await plain(futures, *args, **kwargs)


async def _sent_first(plain: Any, *args: Any, **kwargs: Any) -> Any:
    _sent([args, kwargs])
    return await plain(*args, **kwargs)


def _sent(futures: Any) -> list[Any]:
    """Return the futures of the tasks of hits."""
    hits = [one for one in futures_in(futures) if isinstance(one, HitFuture)]
    return [task for hit in hits if (task := hit.sent()) is not None]
