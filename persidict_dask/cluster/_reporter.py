"""What a worker tells the scheduler of its process."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from persidict_dask._flights import in_thread
from persidict_dask._savings import has_to_learn, learn
from persidict_dask._stats import gauges, news, version
from persidict_dask.cluster._compat import can_send
from persidict_dask.cluster._handles import handles_of_others, packed_handles, show
from persidict_dask.cluster._names import NAME

_EVERY_MS = 500


class Reporter:
    """Tells what has changed: after each task, and now and then while tasks are long.

    What is said goes the way of all that a worker says, in order: whoever knows of the end of a
    task has heard its counts. Workers of one process each tell all of it, for the same reason.

    Args:
        worker: of Dask.
        shared: breakers and budgets that are told of before anybody uses them here.
    """

    def __init__(self, worker: Any, *shared: Any) -> None:
        from tornado.ioloop import PeriodicCallback

        self._worker = worker
        self._shared = shared
        self._named: dict[Any, Any] = {}
        self._version = 0
        self._gauges: list[list[Any]] = []
        self._clock = PeriodicCallback(self._tick, _EVERY_MS)

    def start(self) -> None:
        """Tell what there is, and go on telling."""
        self.report_all()
        self._clock.start()
        self._worker.loop.add_callback(self._show)

    async def _show(self) -> None:
        """Look at what the policy shares, and at what workers have used that may have gone."""
        await in_thread(show, self._shared)
        with suppress(Exception):  # a figure must not cost the worker
            await in_thread(show, await handles_of_others(self._worker))
        self.report_all()

    def stop(self) -> None:
        """Tell what is left to be told."""
        self._clock.stop()
        self.report_all()

    def report(self) -> None:
        """Tell what has changed in the counts; costs next to nothing if nothing has."""
        if version() != self._version:
            self._send(gauges())

    def report_all(self) -> None:
        """Tell what has changed in counts and gauges."""
        told = gauges()
        if version() != self._version or told != self._gauges:
            self._send(told)

    async def _tick(self) -> None:
        """Tell what has changed, also what notes tell: they are read beside the event loop."""
        if has_to_learn():
            await in_thread(learn)
        self.report_all()

    def _send(self, told: list[list[Any]]) -> None:
        if can_send(self._worker):
            named = packed_handles(self._named)
            message = {**news(self._version), "gauges": told, "handles": named}
            self._worker.log_event(NAME, message)
            self._version, self._gauges = message["version"], told
