"""Workers that are closed on purpose: what they leave undone goes on elsewhere, and nobody died."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from persidict_dask._waiting import Here

_NAME = "persidict-leaving"
_PATIENCE = 5.0
"""Seconds for which a worker that closes waits for the store."""

_GLANCE = 0.1
"""Seconds between two looks whether a worker closes."""

_ANSWER = 1.5
"""Seconds for which it waits for its scheduler; after four its nanny kills it."""


class Leaver(Protocol):
    """A call that runs on a worker."""

    @property
    def here(self) -> Here:
        """The task that makes the call, and its worker."""

    @property
    def is_under_way(self) -> bool:
        """True while an attempt is made, false in a pause."""

    def release(self, *, counts: bool) -> None:
        """Leave the call to the next caller, with or without the attempt that is under way."""


class _Leaving:
    """The workers of this process, and the calls that run on each."""

    def __init__(self) -> None:
        self._workers: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._calls: dict[str, weakref.WeakSet[Leaver]] = {}
        self._lock = threading.RLock()

    def attend(self) -> None:
        """Learn of it when the worker that runs this task is closed."""
        workers: Any = sys.modules.get("distributed.worker")
        if workers is None:
            return
        with suppress(ValueError):  # no worker runs this
            worker = workers.get_worker()
            if self._is_new(worker):
                worker.loop.add_callback(worker.plugin_add, _plugin(), _NAME)

    def _is_new(self, worker: Any) -> bool:
        with self._lock:
            known = self._workers.get(worker.address)
            is_new = known is not worker and (known is None or worker.status.name not in _CLOSED)
            if is_new:  # another may have had the address before
                self._workers[worker.address] = worker
                self._calls[worker.address] = weakref.WeakSet()
        return is_new

    def watch(self, call: Leaver) -> None:
        """Release the call when its worker is closed; at once, if it is."""
        with self._lock:
            calls = self._calls.get(call.here.worker)
            if calls is not None:
                calls.add(call)
        if calls is None and call.here.worker in self._workers:
            call.release(counts=not self.is_wanted(call.here))

    def is_closing(self, here: Here) -> bool:
        """True if the worker of this process is being closed."""
        known = self._workers.get(here.worker)
        return known is not None and known.status.name in _CLOSING

    def is_wanted(self, here: Here) -> bool:
        """True if the scheduler gives the task of a worker that closes to another one.

        That is so if it retires or the cluster becomes smaller. Before workers are restarted the
        scheduler forgets their tasks, and if it is gone nobody goes on with them.
        """
        return bool(self._wanted(here.worker, {here.task}))

    def close(self, worker: Any) -> None:
        """Release all calls of a worker, and first those whose end would be taken for a death."""
        with self._lock:
            is_known = self._workers.get(worker.address) is worker
            calls = list(self._calls.pop(worker.address, ())) if is_known else []
        if calls:
            wanted = self._wanted(worker.address, {call.here.task for call in calls})
            for call in sorted(calls, key=lambda call: not call.is_under_way):
                call.release(counts=call.here.task not in wanted)

    def _wanted(self, address: str, tasks: set[str]) -> set[str]:
        """Return those of the tasks that run on a worker, and that its scheduler wants."""
        worker = self._workers.get(address)
        if worker is None:
            return set()
        running = _running(worker)
        names = {task: running[key] for task in tasks if (key := _key_in(task)) in running}
        wanted = _wanted_of(worker, list(names.values()))
        return {task for task, key in names.items() if key in wanted}


_CLOSED = ("closing", "closed")
_CLOSING = ("closing_gracefully", *_CLOSED)
_RUNNING = ("executing", "long-running")
_WANTED = ("released", "waiting", "queued", "no-worker", "processing")


def _key_in(task: str) -> str:
    return task.partition(" ")[2]


def _running(worker: Any) -> dict[str, Any]:
    """Return the keys of the tasks that run on a worker, by their texts."""
    tasks = [*worker.state.executing, *worker.state.long_running]
    return {repr(each.key): each.key for each in tasks if each.state in _RUNNING}


def _wanted_of(worker: Any, keys: list[Any]) -> set[Any]:
    """Ask the scheduler which results it wants; if it is too busy, believe what it said last."""
    loop = worker.loop.asyncio_loop
    if not keys or asyncio._get_running_loop() is loop:  # which cannot wait for itself
        return set()
    question = _states(worker, keys)
    try:
        asking = asyncio.run_coroutine_threadsafe(question, loop)
    except RuntimeError:  # the loop has ended
        question.close()
        return set()
    try:
        return {key for key, state in asking.result(_ANSWER).items() if state in _WANTED}
    except TimeoutError:
        asking.cancel()
        return set() if worker.batched_stream.closed() else set(_running(worker).values())
    except Exception:
        return set()


async def _states(worker: Any, keys: list[Any]) -> dict[Any, str | None]:
    return dict(await worker.scheduler.get_task_status(keys=keys))


leaving = _Leaving()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leaving.__init__)  # type: ignore[misc]


class _Watch:
    """Tells the calls of a worker when that is closed.

    It looks for itself: a worker that closes asks its nanny first, and if that closes as well,
    as it does when a cluster becomes smaller, the answer never comes and plugins hear nothing.
    """

    def setup(self, worker: Any) -> None:
        from tornado.ioloop import PeriodicCallback

        self._is_leaving, self._has_left = False, asyncio.Event()
        self._watch = PeriodicCallback(partial(self._look, worker), _GLANCE * 1000)
        self._watch.start()

    def _look(self, worker: Any) -> None:
        if worker.status.name in _CLOSED:
            self._leave(worker)

    def _leave(self, worker: Any) -> asyncio.Event:
        """Release the calls in a thread of its own: those of the loop may all be busy."""
        self._watch.stop()
        if not self._is_leaving:
            self._is_leaving = True
            work = partial(self._release, worker, asyncio.get_running_loop())
            try:
                threading.Thread(target=work, daemon=True).start()
            except RuntimeError:  # the interpreter ends
                work()
        return self._has_left

    def _release(self, worker: Any, loop: asyncio.AbstractEventLoop) -> None:
        try:
            leaving.close(worker)
        finally:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._has_left.set)

    async def teardown(self, worker: Any) -> None:
        self._watch.stop()
        if worker.status.name in _CLOSED:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leave(worker).wait(), _PATIENCE)


def _plugin() -> Any:
    from distributed import WorkerPlugin

    class Leaving(_Watch, WorkerPlugin):
        """The same for Dask."""

    return Leaving()
