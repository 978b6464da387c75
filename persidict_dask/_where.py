"""Where this runs: in a task of a worker, in a process of workers, or elsewhere."""

from __future__ import annotations

import sys
from typing import Any


def running_worker() -> Any | None:
    """Return the worker of Dask that runs the task or the method of an actor in which this is."""
    workers: Any = sys.modules.get("distributed.worker")
    try:
        return None if workers is None else workers.get_worker()
    except ValueError:
        return None


def is_worker_process() -> bool:
    """True if there are workers in this process, whose scheduler is in another one."""
    if "distributed.worker" not in sys.modules:
        return False
    from distributed import Scheduler, Worker

    near = {each.address_safe for each in list(Scheduler._instances)}
    return any(_serves(each, near) for each in list(Worker._instances))


def _serves(worker: Any, near: set[str]) -> bool:
    """True for a worker at work whose scheduler is none of these."""
    address = str(getattr(getattr(worker, "scheduler", None), "address", "inproc://"))
    is_far = address not in near and not address.startswith("inproc://")
    return is_far and worker.status.name not in ("closing", "closed", "failed")
