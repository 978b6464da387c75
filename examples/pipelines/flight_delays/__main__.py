"""Run with `python -m examples.pipelines.flight_delays`; see the README beside this file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console

HERE = Path(__file__).parent


def months(text: str) -> range:
    """The months of `1-3`; two at least, because the first is only learned from."""
    first, _, last = text.partition("-")
    chosen = range(int(first), int(last or first) + 1)
    if len(chosen) < 2 or chosen[0] < 1 or chosen[-1] > 12:
        raise argparse.ArgumentTypeError("two or more months of 1-12, such as 1-3")
    return chosen


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="flight_delays", description=__doc__)
    parser.add_argument("--store", default=str(HERE / "store"), help="folder or URL of the results")
    parser.add_argument("--output", type=Path, default=HERE / "output", help="where pictures go")
    parser.add_argument("--months", type=months, default=range(1, 13), help="such as 1-3")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Plan, run and report."""
    started = time.perf_counter()
    args = arguments(argv)
    from . import data, pipeline, report, run

    console = Console()
    step = pipeline.persisted_steps(args.store)
    sources = data.source("flights.csv.zip"), data.source("weather.csv")
    tasks = pipeline.plan(step, *sources, args.months)
    print(f"{len(tasks)} steps on {args.workers} workers; results in {args.store}", flush=True)
    with run.local_cluster(args.workers) as client:
        results, efforts = run.execute(client, step, tasks, pipeline.RESULTS, console)
    args.output.mkdir(parents=True, exist_ok=True)
    file = args.output / "flight_delays.png"
    file.write_bytes(results["picture"])
    report.show_findings(console, results)
    report.show_effort(console, efforts)
    print(f"picture: {file}")
    print(report.last_line(efforts, time.perf_counter() - started))


if __name__ == "__main__":
    main()
