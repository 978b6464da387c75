"""What must be true of all that processes have written down."""

from __future__ import annotations

from collections import defaultdict
from typing import Any


def spans(fleet: Any) -> list[tuple[float, float]]:
    """Return the times in which holders certainly could see that they hold.

    From when it was acquired to just before the last look that said so.
    """
    last: dict[str, float] = defaultdict(float)
    for _, got, at in fleet.events("held"):
        last[got] = max(last[got], at)
    return [(since, last[got]) for _, got, _, _, since in fleet.events("got") if last[got] > since]


def most_at_a_time(spans: list[tuple[float, float]]) -> int:
    """Return the greatest number of spans that have a moment in common."""
    ends = [(end, -1) for _, end in spans]
    now = most = 0
    for _, step in sorted([(start, 1) for start, _ in spans] + ends):
        now += step
        most = max(most, now)
    return most


def check_growing(calls: list[tuple[float, float, int]]) -> None:
    """Who began after another had ended has got the greater number."""
    ended = sorted((end, number) for _, end, number in calls)
    at, greatest = 0, -1
    for start, _, number in sorted(calls):
        while at < len(ended) and ended[at][0] < start:
            greatest = max(greatest, ended[at][1])
            at += 1
        assert number > greatest


def check_unique(numbers: list[int]) -> None:
    """No two have got the same."""
    assert len(set(numbers)) == len(numbers)
