"""Workers that are closed on purpose: what they leave undone goes on elsewhere, and nobody died."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref
from contextlib import suppress
from typing import Any, Protocol

from persidict_dask._waiting import Here

_NAME = "persidict-leaving"
_PATIENCE = 5.0
"""Seconds for which a worker that closes waits for the store."""

_LATE = 0.5
"""Seconds by which a worker may hear later that a task is forgotten than that it has to close."""


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
        self._closing: dict[str, float] = {}
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
                self._closing.pop(address, None)
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

        That is so if it retires or the cluster becomes smaller. A worker that is restarted has been
        told to forget its tasks, but that may be on its way to it.
        """
        until = self._closing.setdefault(here.worker, time.monotonic() + _LATE)
        while (wanted := self._is_executing(here)) and time.monotonic() < until:
            time.sleep(0.01)
        return wanted

    def _is_executing(self, here: Here) -> bool:
        worker = self._workers.get(here.worker)
        if worker is None or worker.batched_stream.closed():
            return False
        tasks = [*worker.state.executing, *worker.state.long_running]
        return any(
            task.state in _RUNNING and here.task.endswith(f" {task.key!r}") for task in tasks
        )

    def close(self, worker: str) -> None:
        """Release all calls of a worker."""
        with self._lock:
            calls = list(self._calls.pop(worker, ()))
        for call in calls:
            call.release(counts=not self.is_wanted(call.here))


_CLOSING = ("closing", "closing_gracefully", "closed")
_RUNNING = ("executing", "long-running")

leaving = _Leaving()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leaving.__init__)  # type: ignore[misc]


def _plugin() -> Any:
    from distributed import WorkerPlugin

    class Leaving(WorkerPlugin):
        """Tells the calls of a worker when that is closed."""

        async def teardown(self, worker: Any) -> None:
            with suppress(TimeoutError):
                closing = asyncio.to_thread(leaving.close, worker.address)
                await asyncio.wait_for(closing, _PATIENCE)

    return Leaving()
