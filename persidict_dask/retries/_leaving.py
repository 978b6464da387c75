"""Workers that are closed on purpose: what they leave undone goes on elsewhere, and nobody died."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import weakref
from contextlib import suppress
from typing import Any, Protocol

_NAME = "persidict-leaving"
_PATIENCE = 5.0
"""Seconds for which a worker that closes waits for the store."""


class Leaver(Protocol):
    """A call that runs on a worker."""

    @property
    def worker(self) -> str:
        """The address of the worker."""

    def release(self, *, counts: bool) -> None:
        """Leave the call to the next caller, with or without the attempt that is under way."""


class _Leaving:
    """The workers of this process, and the calls that run on each."""

    def __init__(self) -> None:
        self._workers: dict[str, Any] = {}
        self._calls: dict[str, weakref.WeakSet[Leaver]] = {}
        self._retiring: set[str] = set()
        self._lock = threading.Lock()

    def attend(self) -> None:
        """Learn of it when the worker that runs this task is closed."""
        workers: Any = sys.modules.get("distributed.worker")
        if workers is None:
            return
        with suppress(ValueError):  # no worker runs this
            worker = workers.get_worker()
            with self._lock:
                is_known = worker.address in self._workers
                self._workers[worker.address] = worker
                self._calls.setdefault(worker.address, weakref.WeakSet())
            if not is_known:
                worker.loop.add_callback(worker.plugin_add, _plugin(), _NAME)

    def watch(self, call: Leaver) -> None:
        """Release the call when its worker is closed."""
        with self._lock:
            if call.worker in self._calls:
                self._calls[call.worker].add(call)

    def is_closing(self, worker: str) -> bool:
        """True if the worker of this process is being closed."""
        known = self._workers.get(worker)
        return known is not None and known.status.name.startswith("clos")

    def is_retiring(self, worker: str) -> bool:
        """True if the scheduler has moved the tasks of the worker to others, without an accident.

        A worker that is restarted is closed as well, but its tasks are forgotten.
        """
        return worker in self._retiring

    def retire(self, worker: str) -> None:
        """Note that the scheduler is going to close a worker, and to move its tasks."""
        self._retiring.add(worker)

    def stay(self, worker: str) -> None:
        """Note that the scheduler has thought better of it."""
        self._retiring.discard(worker)

    def close(self, worker: str) -> None:
        """Release all calls of a worker."""
        with self._lock:
            calls = list(self._calls.pop(worker, ()))
        for call in calls:
            with suppress(Exception):  # then it will be found to be gone
                call.release(counts=not self.is_retiring(worker))


leaving = _Leaving()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=leaving.__init__)  # type: ignore[misc]


def _plugin() -> Any:
    from distributed import WorkerPlugin

    class Leaving(WorkerPlugin):
        """Tells the calls of a worker when that is closed."""

        def setup(self, worker: Any) -> None:
            handle = worker.stream_handlers["worker-status-change"]

            def heard(status: str, **told: Any) -> Any:
                """Listen to what the scheduler says: retirement has no hook of its own."""
                is_retired = status == "closing_gracefully"
                (leaving.retire if is_retired else leaving.stay)(worker.address)
                return handle(status=status, **told)

            worker.stream_handlers["worker-status-change"] = heard

        async def teardown(self, worker: Any) -> None:
            with suppress(TimeoutError):
                closing = asyncio.to_thread(leaving.close, worker.address)
                await asyncio.wait_for(closing, _PATIENCE)

    return Leaving()
