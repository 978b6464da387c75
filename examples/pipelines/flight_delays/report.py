"""What a person sees in the terminal: the effort of a run, and what it found."""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from .model import METHODS
from .run import Effort
from .steps import WEATHER_KINDS, share_table


def table(title: str, *columns: str) -> Table:
    """A table whose first column is text and whose other columns are numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for position, name in enumerate(columns):
        made.add_column(name, justify="right" if position else "left", no_wrap=True)
    return made


def show_effort(console: Console, efforts: dict[str, Effort]) -> None:
    """How many results of each step were computed and how many were loaded, and the time."""
    made = table("Steps", "step", "computed", "loaded", "seconds")
    for name, effort in efforts.items():
        made.add_row(name, str(effort.computed), str(effort.loaded), f"{effort.seconds:.2f}")
    console.print(made)


def show_findings(console: Console, results: dict[str, Any]) -> None:
    """Delays by airport and by weather, and what the forecasts are worth."""
    totals = results["totals"]
    console.print(shares("Departures by airport", share_table(totals, "hour", ["origin"])))
    weather = share_table(totals, "weather", ["level"])
    order = [kind for kind in WEATHER_KINDS if kind in weather.index]
    console.print(shares("Departures by weather", weather.loc[order]))
    console.print(forecasts(results["score"]["overall"]))


def shares(title: str, rows: pd.DataFrame) -> Table:
    made = table(title, "", "flights", "disrupted", "cancelled", "mean delay, min")
    for name, row in rows.iterrows():
        numbers = (
            f"{row.disrupted_share:.1%}",
            f"{row.cancelled_share:.1%}",
            f"{row.mean_delay:.1f}",
        )
        made.add_row(str(name), f"{row.flights:,.0f}", *numbers)
    return made


def forecasts(overall: pd.DataFrame) -> Table:
    """One line a method; the caption says what the figures are."""
    made = table(
        "Forecasts, each month from the months before it",
        "method", "Brier", "skill", "95 % interval", "AUC", "top 10 %",
    )  # fmt: skip
    for row in overall.itertuples():
        interval = f"{row.skill_low:+.1%} to {row.skill_high:+.1%}" if row.method != "habit" else ""
        numbers = f"{row.brier:.4f}", f"{row.skill:+.1%}", interval, f"{row.auc:.3f}"
        made.add_row(METHODS[row.method], *numbers, f"{row.hit_rate:.0%}")
    made.caption = (
        "skill: share of habit's squared error removed, over resampled days;\n"
        "top 10 %: disrupted among the flights with the highest forecasts"
    )
    return made


def last_line(efforts: dict[str, Effort], seconds: float) -> str:
    """The summary that programs read."""
    computed = sum(effort.computed for effort in efforts.values())
    loaded = sum(effort.loaded for effort in efforts.values())
    return f"computed {computed}, loaded {loaded}, {seconds:.1f} s"
