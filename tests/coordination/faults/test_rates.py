"""So many per second pass, however many ask, and whatever their wall clocks say."""

import time

import pytest

from persidict_dask import open_store
from persidict_dask.coordination import RateLimiter
from tests.coordination.faults.fleet import Fleet
from tests.coordination.faults.worker import now

RATE, BURST, TIMES = 120, 6, 50
ROUNDING = 1e-6
"""Seconds, for sums."""

TOLERANCE = 0.02
"""Seconds between two looks at the clock while a record is written, that of the caller first."""


def check_rate(fleet):
    """In no time of any length are more reserved than may pass, and nobody passes sooner."""
    passed = fleet.events("passed")
    assert all(after >= due - TOLERANCE for _, due, after in passed)
    due = sorted(due for _, due, _ in passed)
    for i, start in enumerate(due):
        for j, end in enumerate(due[i:], 1):
            assert j <= RATE * (end - start + ROUNDING) + BURST


@pytest.mark.parametrize("skews", [[0, 0, 0, 0], [-0.5, 0.5, 36_000, -9e8]], ids=["right", "wrong"])
def test_four_processes(tmp_path, store_url, skews):
    """They pass together no faster than one would, and not much slower."""
    settings = {"rate": RATE, "burst": BURST, "times": TIMES}
    with Fleet(tmp_path, store_url, "rate", **settings) as fleet:
        fleet.start(*[{"skew": skew} for skew in skews])
        fleet.finish()
        check_rate(fleet)
        due = sorted(due for _, due, _ in fleet.events("passed"))
        assert len(due) == 4 * TIMES
        assert due[-1] - due[0] < 60


def test_processes_that_are_killed(tmp_path, store_url):
    """They waste turns, and nobody gets too many for that."""
    settings = {"rate": RATE, "burst": BURST, "times": TIMES}
    with Fleet(tmp_path, store_url, "rate", **settings) as fleet:
        fleet.start({}, {}, {}, {})
        fleet.chaos("passed", 3, more=30, stop=0.05, stops=1)
        fleet.finish()
        check_rate(fleet)
        assert len(fleet.events("passed")) >= 4 * TIMES


def test_a_slow_store(store_url):
    """The time that a reservation takes is not taken from the pause."""
    limiter = RateLimiter(open_store(store_url), "x", rate=2)
    record = limiter._record
    read = record.read

    def slow():
        time.sleep(0.1)
        return read()

    record.read = slow
    for _ in range(3):
        limiter.acquire()
        told = record.read().fields["next"]
        assert now() - 0.1 >= told["until"] - 1 / 2 - TOLERANCE
