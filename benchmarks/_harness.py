"""Timing: contenders measured in turn, ratios taken within a round, and the noise beside them."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

Sample = Callable[[], float]
"""One measurement: seconds per operation."""


@dataclass(frozen=True)
class Target:
    """What we hold ourselves to: at most so many times the baseline, or so many seconds."""

    ratio: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Contender:
    """Somebody who does the work of a race."""

    name: str
    sample: Sample
    target: Target | None = None


@dataclass(frozen=True)
class Race:
    """The same work done by several; ratios are over the baseline."""

    title: str
    baseline: Contender
    others: list[Contender]
    is_time: bool = True  # what samples return is not always seconds


@dataclass
class Figures:
    """What was measured of one contender, round by round."""

    name: str
    target: Target | None = None
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    @property
    def median_seconds(self) -> float:
        return median(self.seconds)

    @property
    def median_ratio(self) -> float:
        return median(self.ratios)


@dataclass(frozen=True)
class Result:
    """A race that was run; the noise is the baseline against itself."""

    title: str
    baseline: Figures
    noise: Figures
    others: list[Figures]
    is_time: bool = True


def timed(call: Callable[[], object], ops: int = 1, before: Callable[[], object] = tuple) -> Sample:
    """Return a sample that times `call`, which does `ops` operations; `before` is not timed."""

    def sample() -> float:
        before()
        start = perf_counter()
        call()
        return (perf_counter() - start) / ops

    return sample


def run(race: Race, rounds: int) -> Result:
    """Measure everybody once in each round, in an order that is shuffled anew.

    What the machine does meanwhile (frequency, write-back, neighbours) hits all alike, and drift
    cancels in the ratios. The baseline runs twice in each round: the ratio of the two is what
    the machine makes of equal work.
    """
    field_ = [race.baseline, race.baseline, *race.others]
    figures = [Figures(contender.name, contender.target) for contender in field_]
    _round(field_, random.Random(0))  # warms caches, is not counted
    for index in range(rounds):
        seconds = _round(field_, random.Random(index))
        base = (seconds[0] + seconds[1]) / 2
        for figure, value in zip(figures, seconds, strict=True):
            figure.seconds.append(value)
            figure.ratios.append(value / base)
    first, second, *others = figures
    noise = [b / a for a, b in zip(first.seconds, second.seconds, strict=True)]
    merged = Figures(first.name, None, first.seconds + second.seconds, [1.0])
    return Result(
        race.title, merged, Figures("noise", None, second.seconds, noise), others, race.is_time
    )


def _round(contenders: list[Contender], shuffler: random.Random) -> list[float]:
    order = list(range(len(contenders)))
    shuffler.shuffle(order)
    seconds = [0.0] * len(contenders)
    with _no_collection():
        for index in order:
            seconds[index] = contenders[index].sample()
    return seconds


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
