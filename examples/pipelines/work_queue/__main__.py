"""Run with `python -m examples.pipelines.work_queue`; see the README beside this file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console

from persidict_dask import Counter

from ..flight_delays.run import progress_of
from . import texts
from .pool import Pool, queue_state
from .worker import ATTEMPTS, queue_in

HERE = Path(__file__).parent
LOOK = 0.05  # seconds between two looks of the driver


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="work_queue", description=__doc__)
    parser.add_argument("--store", default=str(HERE / "store"), help="folder of the queue")
    parser.add_argument("--files", type=int, default=80, help="how many files there are")
    parser.add_argument("--words", type=int, default=120_000, help="words in each file")
    parser.add_argument("--workers", type=int, default=4, help="worker processes, at most")
    parser.add_argument("--kills", type=int, default=5, help="how many of them are killed")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Write the files, put them into the queue, let the pool work, and check what came out."""
    started = time.perf_counter()
    args = arguments(argv)
    paths = texts.write_files(Path(args.store) / "texts", args.files, args.words)
    queue = queue_in(args.store)
    for path in paths:
        queue.put(str(path), key=path.stem)  # what was done by an earlier run stays done
    left = len(queue)
    print(f"{args.files} files, {args.files - left} done before; queue in {args.store}", flush=True)
    before = Counter(args.store, ATTEMPTS).value
    with Pool(args.store, args.workers) as pool:
        work(args, pool, left)
    done = {key: result["words"] for key, result in queue.done.items() if key in stems(paths)}
    print(queue_state(args.store).state)
    print(
        f"{pool.started} workers started, {pool.killed} killed at their work;"
        f" {Counter(args.store, ATTEMPTS).value - before} attempts at {left} files"
    )
    print(
        f"{len(done)} of {args.files} files done once each: {sum(done.values()):,} words counted,"
        f" {args.files * args.words:,} written; {time.perf_counter() - started:.1f} s"
    )


def work(args: argparse.Namespace, pool: Pool, total: int) -> None:
    """Keep the pool in shape until all is done, and kill workers on the way."""
    queue, left = queue_in(args.store), total
    with progress_of(total, Console()) as advance:
        while left:
            pool.fit(left)
            is_time = total - left >= (pool.killed + 1) * total // (args.kills + 2)
            if is_time and pool.killed < args.kills:
                pool.kill_one_at_work()
            time.sleep(LOOK)
            still = len(queue)
            for _ in range(left - still):
                advance("counting")
            left = still


def stems(paths: list[Path]) -> set[str]:
    return {path.stem for path in paths}


if __name__ == "__main__":
    main()
