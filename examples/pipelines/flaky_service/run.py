"""A run: pages are asked for at a steady rate while the service goes through its script."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from distributed import Client, wait

from persidict_dask import PersistedFunction

from .load import Load
from .served import Served, serving
from .service import FAILING, HEALTHY, LIMITED

SCRIPT = ((HEALTHY, 0.25), (FAILING, 0.35), (LIMITED, 0.25), (HEALTHY, 0.15))  # shares of the pages
CAPACITY, LIMIT = 1.4, 1.0  # of the service, in times of the rate of the pages
PASSES = 9  # after the first, at most


@dataclass(frozen=True)
class Run:
    """What came of a run.

    Args:
        pages: how many were missing before, all of which are stored after it.
        first: how many of them the first pass has fetched.
        seconds: until all were fetched.
        capacity: pages per second that the service can make.
        load: what arrived there.
    """

    pages: int
    first: int
    seconds: float
    capacity: float
    load: Load

    @property
    def in_outage(self) -> int:
        """Requests that arrived while the service was failing."""
        return self.load.arrived(*self.load.span(FAILING))

    @property
    def pages_in_outage(self) -> int:
        """Pages whose turn it was while the service was failing."""
        return round(dict(SCRIPT)[FAILING] * self.pages)


def missing(fetch: PersistedFunction[..., str], pages: int) -> list[int]:
    """The pages that are not in the store yet; the address of the service plays no part."""
    return [number for number in range(pages) if not fetch.is_cached("", number)]


def run(client: Client, fetch: PersistedFunction[..., str], numbers: list[int], rate: float) -> Run:
    """Fetch pages while the service fails and recovers; then those that have failed, again."""
    with serving(CAPACITY * rate, LIMIT * rate) as service:
        started = time.monotonic()
        failed = one_pass(client, fetch, service.url, through_script(service, numbers, rate))
        first = len(numbers) - len(failed)
        for _ in range(PASSES):
            failed = one_pass(client, fetch, service.url, paced(list(failed), rate))
        if failed:
            raise RuntimeError(f"{len(failed)} pages are missing") from next(iter(failed.values()))
        seconds = time.monotonic() - started
        return Run(len(numbers), first, seconds, CAPACITY * rate, service.load())


def one_pass(
    client: Client, fetch: PersistedFunction[..., str], url: str, numbers: Iterable[int]
) -> dict[int, BaseException]:
    """Fetch pages as they come, and return those that could not be fetched, with their errors."""
    futures = {number: fetch.submit(client, url, number) for number in numbers}
    wait(list(futures.values()))
    errors = {number: future.exception() for number, future in futures.items()}
    return {number: error for number, error in errors.items() if error is not None}


def through_script(service: Served, numbers: list[int], rate: float) -> Iterator[int]:
    """Yield pages at a rate, and put the service into the next phase when it is time."""
    begins = beginnings(len(numbers))
    for index, number in enumerate(paced(numbers, rate)):
        for phase in begins.get(index, ()):
            service.begin(phase)
        yield number


def paced(numbers: list[int], rate: float) -> Iterator[int]:
    """Yield numbers, so many per second."""
    started = time.monotonic()
    for index, number in enumerate(numbers):
        time.sleep(max(0.0, started + index / rate - time.monotonic()))
        yield number


def beginnings(pages: int) -> dict[int, list[str]]:
    """The phases that begin with a page, by its index."""
    begins: dict[int, list[str]] = {}
    share = 0.0
    for phase, part in SCRIPT:
        begins.setdefault(int(share * pages), []).append(phase)
        share += part
    return begins
