"""Random sequences of operations on buckets: two handles against a plain `dict`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from persidict.testing.stateful import AnyDictMachine, AppendOnlyDictMachine, DictMachine

from .conftest import Place

SETTINGS = settings(
    max_examples=2,
    stateful_step_count=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # what fails here is made smaller in memory
    suppress_health_check=[HealthCheck.too_slow],
)


class InBucket(AnyDictMachine):
    place: Place
    unique_etags = False

    def __init__(self) -> None:
        self.here = Place(self.place.client, self.place.url, self.place.path)
        self.here.path = self.place.path / self.here.prefix
        super().__init__()


class Basic(InBucket, DictMachine):
    def open(self) -> Any:
        return self.here.basic()


class Cached(InBucket, DictMachine):
    def open(self) -> Any:
        return self.here.cached()


class BasicAppendOnly(InBucket, AppendOnlyDictMachine):
    def open(self) -> Any:
        return self.here.basic(append_only=True)


@pytest.mark.parametrize("machine", [Basic, Cached, BasicAppendOnly])
def test_machines(real: Place, machine: type[InBucket]) -> None:
    run_state_machine_as_test(
        lambda: type(machine.__name__, (machine,), {"place": real})(), settings=SETTINGS
    )
