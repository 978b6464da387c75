"""Workers that are closed on purpose: what they leave undone goes on elsewhere, and nobody died."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from persidict_dask._waiting import Here

_NAME = "persidict-leaving"
_PATIENCE = 5.0
"""Seconds for which a worker that closes waits for the store."""

_GLANCE = 0.1
"""Seconds between two looks whether a worker closes."""

_AT_ONCE = 8
"""Calls that are released at the same time."""

_ANSWER = 1.5
"""Seconds for which it waits for its scheduler; after four its nanny kills it."""


class Leaver(Protocol):
    """A call that runs on a worker."""

    @property
    def here(self) -> Here:
        """The task that makes the call, and its worker."""

    def release(self, *, counts: bool) -> None:
        """Leave the call to the next caller, with or without the attempt that is under way."""


class _Leaving:
    """The workers of this process, and the calls that run on each."""

    def __init__(self) -> None:
        self._workers: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
        self._calls: dict[str, weakref.WeakSet[Leaver]] = {}
        self._lock = threading.Lock()

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
        address = worker.address
        with self._lock:
            is_new = self._workers.get(address) is not worker
            if is_new:  # another may have had the address before
                self._workers[address], self._calls[address] = worker, weakref.WeakSet()
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

    def close(self, worker: str) -> None:
        """Release all calls of a worker."""
        with self._lock:
            calls = list(self._calls.pop(worker, ()))
        if calls:
            wanted = self._wanted(worker, {call.here.task for call in calls})
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for call in calls:
                    pool.submit(call.release, counts=call.here.task not in wanted)

    def _wanted(self, address: str, tasks: set[str]) -> set[str]:
        """Return those of the tasks that run on a worker, and that its scheduler knows."""
        worker = self._workers.get(address)
        if worker is None:
            return set()
        running = [*worker.state.executing, *worker.state.long_running]
        keys = {repr(each.key): each.key for each in running if each.state in _RUNNING}
        names = {task: keys[key] for task in tasks if (key := task.partition(" ")[2]) in keys}
        known = _known(worker, list(names.values()))
        return {task for task, key in names.items() if key in known}


_CLOSED = ("closing", "closed")
_CLOSING = ("closing_gracefully", *_CLOSED)
_RUNNING = ("executing", "long-running")
_WANTED = ("released", "waiting", "queued", "no-worker", "processing")


def _known(worker: Any, keys: list[Any]) -> set[Any]:
    """Ask the scheduler which results it wants."""
    loop = worker.loop.asyncio_loop
    if not keys or asyncio._get_running_loop() is loop:  # which cannot wait for itself
        return set()
    asking = asyncio.run_coroutine_threadsafe(_states(worker, keys), loop)
    try:
        return {key for key, state in asking.result(_ANSWER).items() if state in _WANTED}
    except Exception:
        asking.cancel()
        return set()


async def _states(worker: Any, keys: list[Any]) -> dict[Any, str | None]:
    return dict(await worker.scheduler.get_task_status(keys=keys))


leaving = _Leaving()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leaving.__init__)  # type: ignore[misc]


def _plugin() -> Any:
    from distributed import WorkerPlugin
    from tornado.ioloop import PeriodicCallback

    class Leaving(WorkerPlugin):
        """Tells the calls of a worker when that is closed.

        It looks for itself: a worker that closes asks its nanny first, and if that closes as well,
        as it does when a cluster becomes smaller, the answer never comes and plugins hear nothing.
        """

        def setup(self, worker: Any) -> None:
            self._left: asyncio.Future[None] | None = None
            self._watch = PeriodicCallback(partial(self._look, worker), _GLANCE * 1000)
            self._watch.start()

        def _look(self, worker: Any) -> None:
            if worker.status.name in _CLOSED:
                self._leave(worker)

        def _leave(self, worker: Any) -> asyncio.Future[None]:
            self._watch.stop()
            if self._left is None:
                leave = asyncio.to_thread(leaving.close, worker.address)
                self._left = asyncio.ensure_future(leave)
            return self._left

        async def teardown(self, worker: Any) -> None:
            await asyncio.wait([self._leave(worker)], timeout=_PATIENCE)

    return Leaving()
