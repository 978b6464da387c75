"""The graph: which step feeds which, by month and airport."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from dask.delayed import Delayed, delayed

from persidict_dask import persist

from . import model, steps
from .data import ORIGINS, SourceFile, carrier_names
from .picture import picture

STEPS: tuple[Callable[..., Any], ...] = (
    steps.extract_flights,
    steps.clean_flights,
    steps.clean_weather,
    steps.join,
    steps.aggregate,
    steps.features,
    model.learn_habit,
    model.fit,
    model.predict,
    steps.totals,
    model.score,
    picture,
)
RESULTS = ("totals", "score", "picture")  # the tasks whose values a run brings home


def persisted_steps(store: str) -> SimpleNamespace:
    """The steps as functions that keep their results in the store at a path or URL."""
    return SimpleNamespace(**{step.__name__: persist(store)(step) for step in STEPS})


class Plan:
    """The tasks of one run, by name."""

    def __init__(self, step: SimpleNamespace) -> None:
        self.step = step
        self.tasks: dict[str, Delayed] = {}

    def add(self, step: str, label: str, *args: Any) -> Delayed:
        """One call of a step; its task is called after the step, the month and the airport."""
        name = f"{step}-{label}" if label else step
        call = delayed(getattr(self.step, step))
        self.tasks[name] = call(*args, dask_key_name=name)
        return self.tasks[name]


def plan(
    step: SimpleNamespace, flights: SourceFile, weather: SourceFile, months: Iterable[int]
) -> dict[str, Delayed]:
    """All tasks for these months, those of `RESULTS` among them."""
    the = Plan(step)
    months = list(months)
    raw = {month: the.add("extract_flights", f"{month:02}", flights, month) for month in months}
    joined = {
        (month, origin): add_part(the, raw[month], weather, month, origin)
        for month in months
        for origin in ORIGINS
    }
    counts = [the.add("aggregate", label(*part), rows) for part, rows in joined.items()]
    known = {part: the.add("features", label(*part), rows) for part, rows in joined.items()}
    forecasts = [
        add_forecast(the, known, months[:n], month, origin)
        for n, month in enumerate(months[1:], start=1)
        for origin in ORIGINS
    ]
    totals = the.add("totals", "", counts)
    the.add("picture", "", totals, the.add("score", "", forecasts), carrier_names())
    return the.tasks


def label(month: int, origin: str) -> str:
    return f"{month:02}-{origin}"


def add_part(the: Plan, raw: Delayed, weather: SourceFile, month: int, origin: str) -> Delayed:
    """One month of one airport: its flights, each with its weather."""
    part = label(month, origin)
    flights = the.add("clean_flights", part, raw, origin)
    return the.add("join", part, flights, the.add("clean_weather", part, weather, month, origin))


def add_forecast(
    the: Plan, known: dict[tuple[int, str], Delayed], past: list[int], month: int, origin: str
) -> Delayed:
    """One month of one airport, predicted from the months before it."""
    part = label(month, origin)
    history = [known[earlier, origin] for earlier in past]
    habit = the.add("learn_habit", part, history)
    schedule, weather = (
        the.add("fit", f"{inputs}-{part}", history, inputs) for inputs in ("schedule", "weather")
    )
    return the.add("predict", part, known[month, origin], habit, schedule, weather)
