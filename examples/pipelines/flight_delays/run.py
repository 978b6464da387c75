"""Running a plan on a cluster: progress while it works, counts and times afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from dask.delayed import Delayed
from dask.utils import key_split
from distributed import Client, LocalCluster, as_completed, get_task_stream
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@dataclass
class Effort:
    """What one kind of step cost in a run."""

    computed: int = 0
    loaded: int = 0
    seconds: float = 0.0


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """Worker processes on this machine, reachable from nowhere else."""
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def execute(
    client: Client,
    step: SimpleNamespace,
    tasks: dict[str, Delayed],
    wanted: Iterable[str],
    console: Console,
) -> tuple[dict[str, Any], dict[str, Effort]]:
    """The values of the wanted tasks, and the effort by kind of step.

    When a step fails, the others still run to their end and are stored; then its error is raised.
    """
    with get_task_stream(client) as stream:
        futures = client.compute(list(tasks.values()))
        with progress_of(len(futures), console) as advance:
            for future in as_completed(futures):
                advance(key_split(future.key))
        by_name = dict(zip(tasks, futures, strict=True))
        results = {name: by_name[name].result() for name in wanted}
    return results, efforts(client.run(counts, step), stream.data)


@contextmanager
def progress_of(total: int, console: Console) -> Iterator[Any]:
    """A bar on a terminal; elsewhere (a log, a pipe) a plain line for each quarter."""
    bar = Progress(
        TextColumn("{task.description:<16}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    quarters = {total * n // 4 for n in (1, 2, 3, 4)}
    with bar:
        task = bar.add_task("starting", total=total)

        def advance(kind: str) -> None:
            bar.update(task, advance=1, description=kind)
            done = int(bar.tasks[0].completed)
            if bar.disable and done in quarters:
                console.print(f"{done} of {total} steps")

        yield advance


def counts(step: SimpleNamespace) -> dict[str, tuple[int, int]]:
    """Computed and loaded results of each step, in the process that runs this."""
    stats = {name: persisted.stats() for name, persisted in vars(step).items()}
    return {name: (s.misses, s.hits) for name, s in stats.items()}


def efforts(
    by_worker: dict[str, dict[str, tuple[int, int]]], stream: list[Any]
) -> dict[str, Effort]:
    """The counts of all workers together, with the time that the tasks took."""
    total: dict[str, Effort] = {}
    for steps in by_worker.values():
        for name, (computed, loaded) in steps.items():
            effort = total.setdefault(name, Effort())
            effort.computed += computed
            effort.loaded += loaded
    seconds: Counter[str] = Counter()
    for task in stream:
        spans = [s["stop"] - s["start"] for s in task["startstops"] if s["action"] == "compute"]
        seconds[key_split(task["key"]).split("-")[0]] += sum(spans)
    for name, effort in total.items():
        effort.seconds = seconds[name]
    return total
