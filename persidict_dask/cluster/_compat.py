"""What we use of `distributed` that it does not promise to keep."""

from __future__ import annotations

import asyncio
import sys
import time
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


def step_aside() -> None:
    """Give the place of the coroutine that a worker runs as a task to another task.

    For threads there is `distributed.secede`. Does nothing outside of tasks.
    """
    workers: Any = sys.modules.get("distributed.worker")
    running = asyncio.current_task()
    if workers is None or running is None:
        return
    with suppress(ValueError, AttributeError):
        worker = workers.get_worker()
        for task in list(worker.state.executing):
            if running.get_name() == f"execute({task.key!r})":
                _secede(worker, task)


def _secede(worker: Any, task: Any) -> None:
    from distributed.worker_state_machine import SecedeEvent

    taken = time.time() - (task.start_time or time.time())
    left = SecedeEvent(key=task.key, compute_duration=taken, stimulus_id=f"secede-{time.time()}")
    worker.loop.add_callback(worker.handle_stimulus, left)
