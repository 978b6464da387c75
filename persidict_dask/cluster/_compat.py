"""What we use of `distributed` that it does not promise to keep."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

_ROUTES = ("health$", "metrics$", "info/main/workers.html$")


def can_send(worker: Any) -> bool:
    """True if what a worker sends to its scheduler now is not dropped in silence."""
    stream = worker.batched_stream
    return bool(stream and stream.comm and not stream.comm.closed())


def forget_events(scheduler: Any, topic: str) -> None:
    """Drop the events of a topic, of which a scheduler keeps a hundred thousand."""
    with suppress(AttributeError):
        scheduler._broker.truncate(topic)


def http_prefix(application: Any) -> str:
    """Return what the paths of a scheduler's pages begin with."""
    with suppress(AttributeError):
        for rule in application.wildcard_router.rules:
            path = rule.matcher.regex.pattern
            for route in _ROUTES:
                if path.endswith(f"/{route}"):
                    return str(path.removesuffix(route))
    return "/"


def asked_scheduler() -> Any | None:
    """Return the scheduler of this process whose metrics were asked for last."""
    core: Any = sys.modules.get("distributed.http.scheduler.prometheus.core")
    collectors = getattr(getattr(core, "PrometheusHandler", None), "_collectors", None)
    return collectors[0].server if collectors else None
