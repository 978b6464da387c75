"""stats(): the figures of a cluster as one who is connected to it sees them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from persidict_dask._flights import in_thread
from persidict_dask._savings import learn
from persidict_dask._stats import gauges, news, process_id
from persidict_dask.cluster._client import answer, check_client
from persidict_dask.cluster._figures import Stats, stats_from
from persidict_dask.cluster._scheduler import report

if TYPE_CHECKING:
    from distributed import Client


def stats(client: Client | None = None) -> Any:
    """Return the figures of all persisted functions of a cluster, and of this process with them.

    What a task has counted is in them as soon as its result is known to the client; it stays there
    when its worker is killed. What notes tell of the time saved comes a little later. Calls in
    other clients' processes are not in them. Returns a `Stats`; with asynchronous clients something
    to await. One question to the scheduler, and none to a store but for a few notes beside what
    this process has loaded.

    Without a client it is the current one. If there is none, or nothing was installed on its
    cluster, the figures are those of this process only, and `is_cluster` is `False`. A client that
    is given must have `install(client)` on its cluster, or else `RuntimeError` is raised.
    """
    asked: Any = _current_client() if client is None else client
    if asked is None:
        learn()
        return _of_process()
    check_client(asked)
    return asked.sync(_asked, asked, is_given=client is not None)


async def _asked(client: Any, *, is_given: bool) -> Stats:
    await in_thread(learn)
    told = await answer(client, client.run_on_scheduler(report, process_id()))
    if told is not None:
        return stats_from(told, _mine())
    if is_given:
        raise RuntimeError("the cluster has no figures: call persidict_dask.install(client) first")
    return _of_process()


def _of_process() -> Stats:
    return stats_from(_mine())


def _mine() -> dict[str, Any]:
    return {**news(), "gauges": gauges()}


def _current_client() -> Any | None:
    """Return the client of the code that asks, if there is one: a task has that of its worker."""
    distributed: Any = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None
