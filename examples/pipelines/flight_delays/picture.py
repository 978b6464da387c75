"""The findings as one picture of five panels."""

from __future__ import annotations

import calendar
import io
from typing import TYPE_CHECKING

import pandas as pd

from .data import ORIGINS
from .steps import LATE_AFTER, WEATHER_KINDS, share_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK, GREY = "#22303c", "#7d8a96"
LATE, CANCELLED = "#e08a4a", "#8c2d2a"
MODELS = {"schedule": ("#7b9bc8", "schedule"), "weather": ("#14655f", "schedule\n+ weather")}
AIRPORTS = dict(zip(ORIGINS, ("#c2563f", "#3f6fb5", "#5a9a57"), strict=True))
ENOUGH = 50  # flights: the share of a smaller group says nothing and is not drawn

STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def picture(
    totals: pd.DataFrame, scores: dict[str, pd.DataFrame], carriers: dict[str, str]
) -> bytes:
    """The picture as the bytes of a PNG file."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    file = io.BytesIO()
    with rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
        figure = Figure(figsize=(15, 9.6), layout=layout)
        headline(figure, totals)
        draw(figure, totals, scores, carriers)
        figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def headline(figure: Figure, totals: pd.DataFrame) -> None:
    flights = share_table(totals, "hour", ["by"]).iloc[0]
    figure.suptitle(
        f"{flights.disrupted_share:.0%} of {flights.flights:,.0f} flights from New York left"
        f" at least {LATE_AFTER} minutes late, or never",
        fontsize=18,
        fontweight="bold",
        x=0.008,
        ha="left",
    )


def draw(
    figure: Figure, totals: pd.DataFrame, scores: dict[str, pd.DataFrame], carriers: dict[str, str]
) -> None:
    grid = figure.add_gridspec(2, 6, height_ratios=[1.05, 1])
    when(figure, figure.add_subplot(grid[0, :4]), totals)
    in_weather(figure.add_subplot(grid[0, 4:]), totals)
    by_carrier(figure.add_subplot(grid[1, :2]), totals, carriers)
    skill(figure.add_subplot(grid[1, 2:4]), scores)
    calibration(figure.add_subplot(grid[1, 4:]), scores["calibration"])


def percent(axis: Axis) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def month_ticks(axis: Axis, months: pd.Index, letters: int = 3) -> None:
    axis.set_ticks(list(months), [calendar.month_abbr[month][:letters] for month in months])


def when(figure: Figure, ax: Axes, totals: pd.DataFrame) -> None:
    """A map of the year: month by hour."""
    hours = totals[totals["by"] == "hour"]
    table = share_table(hours.assign(hour=hours["level"].astype(int)), "hour", ["month", "hour"])
    shares = table["disrupted_share"].where(table["flights"] >= ENOUGH).unstack()
    shares = shares.dropna(axis="columns", how="all")
    mesh = ax.pcolormesh(
        shares.columns, shares.index, shares, cmap="YlOrRd", vmin=0, edgecolors="white", lw=1.5
    )
    month_ticks(ax.yaxis, shares.index)
    ax.set_xticks(shares.columns)
    ax.set_xlabel("scheduled hour of departure")
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    ax.set_title("Disrupted flights, by month and scheduled hour")
    bar = figure.colorbar(mesh, ax=ax, pad=0.01, aspect=30)
    bar.outline.set_visible(False)
    percent(bar.ax.yaxis)


def in_weather(ax: Axes, totals: pd.DataFrame) -> None:
    """Bars by weather, cancelled flights at the end of each."""
    table = share_table(totals, "weather", ["level"])
    seen = table.index[table["flights"] >= ENOUGH]
    table = table.loc[[kind for kind in WEATHER_KINDS[:-1] if kind in seen]]
    late = table["disrupted_share"] - table["cancelled_share"]
    ax.barh(table.index, late, color=LATE, height=0.66, label="late")
    ax.barh(
        table.index, table["cancelled_share"], left=late, color=CANCELLED, height=0.66,
        label="cancelled",
    )  # fmt: skip
    for y, row in enumerate(table.itertuples()):
        note = f" {row.disrupted_share:.0%} of {row.flights:,.0f}"
        ax.text(row.disrupted_share, y, note, va="center", color=GREY)
    ax.invert_yaxis()
    ax.set_xlim(0, table["disrupted_share"].max() * 1.38)
    ax.set_xticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.legend(loc="upper right", handlelength=1, handleheight=1)
    ax.set_title("… by the weather of that hour")


def by_carrier(ax: Axes, totals: pd.DataFrame, carriers: dict[str, str]) -> None:
    """A dot for each airport that a carrier flies from, as large as it flies often."""
    table = share_table(totals, "carrier", ["level", "origin"])
    table = table[table["flights"] >= ENOUGH]
    overall = share_table(totals, "carrier", ["level"]).loc[table.index.unique("level")]
    order = list(overall.sort_values("disrupted_share", ascending=False).index)
    for origin, part in table.groupby("origin"):
        y = [order.index(code) for code in part.index.get_level_values("level")]
        size = part["flights"] / table["flights"].max() * 300 + 12
        ax.scatter(part["disrupted_share"], y, s=size, color=AIRPORTS[origin], alpha=0.75, lw=0)
        ax.scatter([], [], s=60, color=AIRPORTS[origin], label=origin)
    ax.set_yticks(range(len(order)), [short_name(carriers[code]) for code in order])
    ax.set_axisbelow(True)
    ax.grid(axis="y", color="#e6eaee")
    ax.spines["left"].set_visible(False)
    ax.set_xlim(left=0)
    percent(ax.xaxis)
    ax.legend(loc="lower left", handletextpad=0)
    ax.set_title("… by carrier and airport")


def short_name(name: str) -> str:
    """`Delta Air Lines Inc.` without what every company is called."""
    words = [
        w for w in name.split() if w not in {"Inc.", "Co.", "Corporation", "Airlines", "Lines"}
    ]
    return " ".join(words)


def skill(ax: Axes, scores: dict[str, pd.DataFrame]) -> None:
    """Each month predicted from the months before it, against habit; overall at the right."""
    monthly = scores["monthly"].pivot_table(index="month", columns="method", values="skill")
    overall = scores["overall"].set_index("method")
    right = monthly.index.max() + 1
    ax.axhline(0, color=GREY, lw=1)
    for method, (colour, name) in MODELS.items():
        ax.plot(monthly.index, monthly[method], "o-", color=colour, lw=2)
        row = overall.loc[method]
        error = [[row.skill - row.skill_low], [row.skill_high - row.skill]]
        ax.errorbar(right, row.skill, error, fmt="D", color=colour, capsize=4, ms=7)
        note = f"{name}\n{row.skill:+.1%}"
        ax.annotate(
            note, (right, row.skill), (9, 0), textcoords="offset points", color=colour, va="center"
        )
    month_ticks(ax.xaxis, monthly.index, letters=1 if len(monthly) > 7 else 3)
    ax.set_xlim(right=right + 0.3 * (right - monthly.index.min()))
    ax.set_xlabel("habit (0 %): the carrier's past share at that hour", color=GREY)
    percent(ax.yaxis)
    ax.set_title("How much of habit's error a model removes")


def calibration(ax: Axes, table: pd.DataFrame) -> None:
    """Forecast against frequency, in ten groups of equal size."""
    top = table[["forecast", "happened"]].max().max() * 1.08
    colour = MODELS["weather"][0]
    ax.plot([0, top], [0, top], color=GREY, lw=1)
    ax.plot(table["forecast"], table["happened"], "o-", color=colour, lw=2)
    last = table.iloc[-1]
    ax.annotate(
        f"of the tenth it warns of most,\n{last.happened:.0%} were disrupted",
        (last.forecast, last.happened), (6, -190), textcoords="offset points", ha="right",
        color=colour, arrowprops={"arrowstyle": "-", "color": colour, "shrinkB": 6},
    )  # fmt: skip
    ax.set(xlim=(0, top), ylim=(0, top), xlabel="predicted", ylabel="happened")
    percent(ax.xaxis)
    percent(ax.yaxis)
    ax.set_title("Can its probabilities be believed?")
