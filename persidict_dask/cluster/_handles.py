"""Breakers and budgets by their handles: workers that come later look at what others have used."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from persidict_dask._stats import handles
from persidict_dask.cluster._names import NAME


def packed_handles(told_before: dict[Any, Any]) -> list[list[str]]:
    """Return the handles of this process that were not told before, as texts; asks nobody."""
    told = []
    for what, handle in handles().items():
        if told_before.get(what) is not handle:
            told_before[what] = handle
            with suppress(Exception):  # its store cannot be sent: it is of this process alone
                told.append([*what, pickle.dumps(handle).hex()])
    return told


async def handles_of_others(worker: Any) -> list[Any]:
    """Ask the scheduler of a worker for the handles that it was told; they open nothing yet."""
    function, args, kwargs = map(pickle.dumps, (known, (), {}))
    asked = {"function": function, "args": args, "kwargs": kwargs, "wait": True}
    response = await worker.scheduler.run_function(**asked)
    return [pickle.loads(bytes.fromhex(text)) for text in response.get("result", ())]


def known(dask_scheduler: Any = None) -> list[str]:
    """Return the handles that the plugin was told. Runs on the scheduler, which opens none."""
    plugin = dask_scheduler.plugins.get(NAME)
    return [] if plugin is None else plugin.ears.totals.handles()


def show(shared: Iterable[Any]) -> None:
    """Let the figures of this process tell how they stand; reads the store of each breaker."""
    for each in shared:
        with suppress(Exception):  # a figure must not cost the others
            each.show()
