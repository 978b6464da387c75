"""Run with `python -m examples.pipelines.rate_limited_fetch`; see the README beside this file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from distributed import as_completed
from rich.console import Console

from persidict_dask import install

from ..flight_delays.run import local_cluster, progress_of
from .fetch import STORE, fetch
from .site import busiest_second, mean_rate, serving

HERE = Path(__file__).parent


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rate_limited_fetch", description=__doc__)
    parser.add_argument("--store", default=str(HERE / "store"), help="folder of the pages")
    parser.add_argument("--pages", type=int, default=100, help="how many pages there are")
    parser.add_argument("--rate", type=float, default=20.0, help="pages per second, for all")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Start a site and a cluster, fetch all pages, and ask the site how often it was asked."""
    started = time.perf_counter()
    args = arguments(argv)
    print(
        f"{args.pages} pages, {args.workers} workers, at most {args.rate:g} pages per second;"
        f" pages go to {args.store}",
        flush=True,
    )
    with serving() as site, local_cluster(args.workers) as client:
        install(client, stores={STORE: args.store})
        numbers = range(args.pages)
        futures = client.map(fetch, [site.url] * args.pages, numbers, rate=args.rate, pure=False)
        with progress_of(args.pages, Console()) as advance:
            for future in as_completed(futures):
                future.result()
                advance("fetching")
    moments = [moment for _, moment in site.log]
    pages = {path for path, _ in site.log}
    print(f"in the log of the site: {len(moments)} requests, {len(pages)} pages")
    print(
        f"{mean_rate(moments):.1f} per second, {busiest_second(moments)} in the busiest second;"
        f" the limit is {args.rate:g}; {time.perf_counter() - started:.1f} s"
    )


if __name__ == "__main__":
    main()
