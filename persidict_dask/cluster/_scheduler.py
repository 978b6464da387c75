"""The part of it that lives on the scheduler: it hears the workers, and tells who asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from persidict_dask.cluster._compat import forget_events
from persidict_dask.cluster._figures import Stats, stats_from
from persidict_dask.cluster._names import NAME
from persidict_dask.cluster._pages import add_pages
from persidict_dask.cluster._prometheus import add_metrics
from persidict_dask.cluster._totals import Totals


class Ears:
    """What the scheduler hears and sees; its pages and metrics ask it."""

    def __init__(self, scheduler: Any, totals: Totals) -> None:
        self.totals = totals
        self._scheduler = scheduler

    def hear(self, topic: str, message: Any) -> None:
        """Take in an event, of whatever kind it is."""
        if topic == NAME:
            self.totals.hear(message, is_here=message["worker"] in self._scheduler.workers)
            forget_events(self._scheduler, NAME)
        elif isinstance(message, Mapping):
            self._see(topic, message)

    def _see(self, topic: str, message: Mapping[str, Any]) -> None:
        action = message.get("action")
        if action == "closing-worker":
            self.totals.expect([topic])
        elif action == "remove-worker" and topic == "all":
            tasks = message["processing-tasks"]
            killed = sum(self._has_failed(key) for key in tasks)
            is_expected = message["expected"]
            self.totals.leave(
                message["worker"], expected=is_expected, tasks=len(tasks), killed=killed
            )

    def _has_failed(self, key: Any) -> bool:
        task = self._scheduler.tasks.get(key)
        return task is not None and task.state == "erred"

    def report(self, without: str = "") -> dict[str, Any]:
        """Return what is known of all processes but one."""
        report = self.totals.report(without)
        report["workers"]["now"] = len(self._scheduler.workers)
        return report

    def stats(self) -> Stats:
        """Return the figures of the cluster."""
        return stats_from(self.report())


def scheduler_plugin(*, dashboard: bool, prometheus: bool) -> Any:
    """Return the plugin for the scheduler; what it has heard is taken over by the next one."""
    from distributed import SchedulerPlugin

    class Persidict(SchedulerPlugin):
        """Hears what workers tell, and gives it to pages and metrics."""

        def __init__(self) -> None:
            self.dashboard = dashboard
            self.prometheus = prometheus

        async def start(self, scheduler: Any) -> None:
            self.ears = begin(self, scheduler)

        def log_event(self, topic: str, msg: Any) -> None:
            self.ears.hear(topic, msg)

        def restart(self, scheduler: Any) -> None:
            self.ears.totals.expect(scheduler.workers)

    return Persidict()


def begin(plugin: Any, scheduler: Any) -> Ears:
    """Take the place of the plugin that was there before, with what it has heard."""
    if plugin.dashboard:
        add_pages(scheduler)
    if plugin.prometheus:
        add_metrics(scheduler)
    before = scheduler.plugins.get(NAME)
    if before is None:
        return Ears(scheduler, Totals())
    scheduler.remove_plugin(NAME)
    return Ears(scheduler, before.ears.totals)


def report(without: str, dask_scheduler: Any = None) -> dict[str, Any] | None:
    """Return what the plugin knows; `None` if there is none. Runs on the scheduler."""
    plugin = dask_scheduler.plugins.get(NAME)
    known: dict[str, Any] | None = None if plugin is None else plugin.ears.report(without)
    return known


def is_on_workers(dask_scheduler: Any = None) -> bool:
    """True if workers have, or will get, the plugin for them. Runs on the scheduler."""
    return NAME in dask_scheduler.worker_plugins


def take_off(dask_scheduler: Any = None) -> None:
    """Take the plugin off; its pages are no more, nor are its metrics. Runs on the scheduler."""
    if NAME in dask_scheduler.plugins:
        dask_scheduler.remove_plugin(NAME)
