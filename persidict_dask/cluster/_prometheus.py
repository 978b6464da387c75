"""The metrics that the scheduler shows to Prometheus."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from persidict_dask.cluster._compat import asked_scheduler
from persidict_dask.cluster._names import NAME

_COUNTERS = {
    "hits": ("hits", "Calls whose result was there"),
    "misses": ("misses", "Calls that were computed"),
    "waits": ("waits", "Hits whose result others were computing"),
    "errors": ("errors", "Runs that raised"),
    "attempts": ("attempts", "Runs that began under a retry policy"),
    "retries": ("retries", "Attempts after the first"),
    "refused": ("refused", "What a budget, an open circuit or a quarantine did not let run"),
    "deaths": ("deaths", "Attempts whose process was gone"),
    "bytes": ("bytes", "Size in memory of what was loaded and stored"),
    "seconds_waiting": ("waiting_seconds", "Pauses before retries"),
    "seconds_loading": ("loading_seconds", "Time to load results"),
    "seconds_computing": ("computing_seconds", "Time to compute results"),
}
_OF_THE_CLUSTER = {
    "workers_lost": "Workers that went without a word",
    "tasks_killed": "Tasks that were given up because their workers went",
}
_STATES = {"closed": 0, "probing": 1, "open": 2}


class Metrics:
    """Collects the figures of the scheduler that is asked, for the registry of its process."""

    def __init__(self) -> None:
        self.latest: weakref.ref[Any] | None = None

    def describe(self) -> list[Any]:
        """Name nothing beforehand: there may be nothing to show."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield what there is; nothing while there is no plugin that wants it."""
        scheduler = asked_scheduler() or (self.latest() if self.latest else None)
        plugin = scheduler.plugins.get(NAME) if scheduler else None
        if plugin is not None and plugin.prometheus:
            yield from _families(plugin.ears.stats(), _prefix(scheduler))


_metrics = Metrics()


def add_metrics(scheduler: Any) -> None:
    """Show the figures of the scheduler, if Prometheus is installed where it runs."""
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return
    if _metrics.latest is None:
        REGISTRY.register(_metrics)
    _metrics.latest = weakref.ref(scheduler)


def _prefix(scheduler: Any) -> str:
    from distributed.http.prometheus import PrometheusCollector

    named: Any = PrometheusCollector(scheduler)  # type: ignore[no-untyped-call]
    named.subsystem = NAME
    return str(named.build_name(""))


def _families(stats: Any, prefix: str) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for field, (name, text) in _COUNTERS.items():
        family = CounterMetricFamily(prefix + name, text, labels=["function"])
        for function, counts in stats.functions.items():
            family.add_metric([function], getattr(counts, field))
        yield family
    for name, text in _OF_THE_CLUSTER.items():
        yield CounterMetricFamily(prefix + name, text, value=getattr(stats, name))
    yield _breakers(GaugeMetricFamily, stats, prefix)
    yield _budgets(GaugeMetricFamily, stats, prefix)
    held = len(stats.quarantined)
    yield GaugeMetricFamily(prefix + "quarantined", "Calls in quarantine", value=held)


def _breakers(family: Any, stats: Any, prefix: str) -> Any:
    text = "Circuit breakers: 0 closed, 1 probing, 2 open"
    gauge = family(prefix + "breaker", text, labels=["name"])
    for name, state in stats.breakers.items():
        if state in _STATES:
            gauge.add_metric([name], _STATES[state])
    return gauge


def _budgets(family: Any, stats: Any, prefix: str) -> Any:
    gauge = family(prefix + "budget", "Use of retry budgets", labels=["name", "of"])
    for name, use in stats.budgets.items():
        for what, value in use.items():
            gauge.add_metric([name, what], value)
    return gauge
