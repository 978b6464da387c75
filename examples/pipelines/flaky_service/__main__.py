"""Run with `python -m examples.pipelines.flaky_service`; see the README beside this file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client, LocalCluster
from rich import box
from rich.console import Console
from rich.table import Table

from persidict import FileDirDict
from persidict_dask import RetryBudget

from .fetch import fetching
from .picture import picture
from .run import Run, missing, run

HERE = Path(__file__).parent
NAMES = {"alone": "policy alone", "budget": "with a retry budget"}
WINDOW = 2.0  # seconds: the outage takes three


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="flaky_service", description=__doc__)
    parser.add_argument("--store", type=Path, default=HERE / "store", help="folder of the pages")
    parser.add_argument("--output", type=Path, default=HERE / "output", help="where pictures go")
    parser.add_argument("--pages", type=int, default=360, help="how many pages there are")
    parser.add_argument("--rate", type=float, default=50.0, help="pages per second")
    parser.add_argument("--workers", type=int, default=4)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Fetch all pages twice, without a budget and with one, and show what the service has seen."""
    started = time.perf_counter()
    args = arguments(argv)
    print(
        f"{args.pages} pages, {args.rate:g} per second, {args.workers} workers;"
        f" pages go to {args.store}",
        flush=True,
    )
    runs = all_runs(args)
    show(runs)
    print(f"all {args.pages} pages are stored by both")
    args.output.mkdir(parents=True, exist_ok=True)
    file = args.output / "load.svg"
    loads = {name: each.load for name, each in runs.items()}
    file.write_text(picture(loads, next(iter(runs.values())).capacity), encoding="utf-8")
    print(f"picture: {file}")
    print(f"{time.perf_counter() - started:.1f} s")


def all_runs(args: argparse.Namespace) -> dict[str, Run]:
    """What came of the runs, of which those are made now that have something to fetch."""
    pages = {key: FileDirDict[str](base_dir=str(args.store / key)) for key in NAMES}
    budget = RetryBudget(pages["budget"], ratio=0.1, window=WINDOW)
    fetches = {"alone": fetching(pages["alone"]), "budget": fetching(pages["budget"], budget)}
    records = FileDirDict[Run](base_dir=str(args.store / "runs"))
    for key, fetch in fetches.items():
        numbers = missing(fetch, args.pages)
        print(f"{NAMES[key]}: {len(numbers)} of {args.pages} pages to fetch", flush=True)
        if numbers:
            with cluster(args.workers) as client:
                client.run(missing, fetch, 1)  # workers have imported all before time is taken
                records[key] = run(client, fetch, numbers, args.rate)
        elif key not in records:
            sys.exit(f"the pages are there, but not how they came: remove {args.store}")
    return {name: records[key] for key, name in NAMES.items()}


@contextmanager
def cluster(workers: int) -> Iterator[Client]:
    """Worker processes on this machine, which say nothing of pages that fail."""
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=8,  # they wait for answers
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=50,
        ) as local,
        Client(local) as client,
    ):
        yield client


def show(runs: dict[str, Run]) -> None:
    """Print a line for each run."""
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("requests", "in outage", "per page", "first pass", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, each in runs.items():
        table.add_row(
            name,
            f"{each.load.arrived():,}",
            f"{each.in_outage:,}",
            f"{each.in_outage / each.pages_in_outage:.2f}",
            f"{each.first:,}",
            f"{each.seconds:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
