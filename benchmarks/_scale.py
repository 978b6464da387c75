"""How much is measured: the whole thing, or a quick look."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Rounds and sizes of one run."""

    rounds: int
    long_rounds: int  # of what takes a good part of a second each time
    items: int  # in a batch of small operations
    synced_items: int  # in a batch of writes through to the disk
    listings: tuple[int, ...]  # keys in the trees that are iterated over
    array_mb: int


FULL = Scale(
    rounds=25,
    long_rounds=9,
    items=500,
    synced_items=30,
    listings=(10_000, 100_000),
    array_mb=10,
)
QUICK = Scale(
    rounds=5, long_rounds=3, items=100, synced_items=5, listings=(1_000, 5_000), array_mb=2
)
