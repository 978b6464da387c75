"""The steps from raw rows to tables: extract, clean, join, aggregate, features, totals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .data import FLIGHT_COLUMNS, WEATHER_COLUMNS, SourceFile, read_csv

LATE_AFTER = 15  # minutes, the limit that aviation authorities use
WEATHER_KINDS = ("fair", "windy", "low visibility", "rain", "heavy rain", "snow or ice", "unknown")
OBSERVED = ["temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
COUNTS = ["flights", "disrupted", "cancelled", "departed", "minutes"]

SCHEDULE = ["minute_of_day", "weekday", "carrier", "dest", "distance"]
PAST_WEATHER = [
    "temp_1h", "dewp_1h", "humid_1h", "wind_speed_1h", "wind_gust_1h", "visib_1h",
    "rain_3h", "rain_12h", "visib_3h", "pressure_trend",
]  # fmt: skip


def extract_flights(file: SourceFile, month: int) -> pd.DataFrame:
    """One month of flights from all airports, as they stand in the file."""
    flights = read_csv(file, FLIGHT_COLUMNS)
    return flights[flights["month"] == month].reset_index(drop=True)


def clean_flights(flights: pd.DataFrame, origin: str) -> pd.DataFrame:
    """The flights of one airport: when they should have left, and whether they did."""
    flights = flights[flights["origin"] == origin].reset_index(drop=True)
    cancelled = flights["dep_time"].isna()
    tidy = flights[["month", "origin", "dest", "carrier", "flight", "distance", "time_hour"]]
    return tidy.assign(
        minute_of_day=minute_of_day(flights["sched_dep_time"]),
        weekday=local_time(flights["time_hour"]).dt.day_of_week,
        delay=flights["dep_delay"].where(~cancelled),
        cancelled=cancelled,
        disrupted=cancelled | (flights["dep_delay"] >= LATE_AFTER),
    )


def minute_of_day(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of clock times written as 1735."""
    return clock // 100 * 60 + clock % 100


def local_time(instants: pd.Series) -> pd.Series:
    """The instants as New York's clocks show them."""
    return instants.dt.tz_convert("America/New_York")


def clean_weather(file: SourceFile, month: int, origin: str) -> pd.DataFrame:
    """The hourly weather of one airport: what was seen in each hour, and what was known before it.

    The hours before the first of the month are read too, so that a month does not begin blind.
    """
    weather = read_csv(file, WEATHER_COLUMNS)
    hourly = regular_hours(weather[weather["origin"] == origin].set_index("time_hour"))
    hourly = hourly.join(past_weather(hourly)).reset_index()
    wanted = local_time(hourly["time_hour"]).dt.month == month
    return hourly[wanted].assign(origin=origin).reset_index(drop=True)


def regular_hours(weather: pd.DataFrame) -> pd.DataFrame:
    """One row an hour; gaps of up to three hours keep the last observation, longer ones stay."""
    weather = weather[OBSERVED].assign(
        # One reading says 1,048 mph; the strongest gust on record in New York is below 120.
        wind_speed=weather["wind_speed"].where(weather["wind_speed"] < 120),
        # The gust is noted only when there is one.
        wind_gust=weather["wind_gust"].fillna(weather["wind_speed"]),
    )
    return weather.resample("h").first().ffill(limit=3)


def past_weather(hourly: pd.DataFrame) -> pd.DataFrame:
    """For each hour, what could be known of the weather before that hour began."""
    before = hourly.shift(1)
    now = before[["temp", "dewp", "humid", "wind_speed", "wind_gust", "visib"]].add_suffix("_1h")
    return now.assign(
        rain_3h=before["precip"].rolling(3, min_periods=1).sum(),
        rain_12h=before["precip"].rolling(12, min_periods=1).sum(),
        visib_3h=before["visib"].rolling(3, min_periods=1).min(),
        pressure_trend=before["pressure"].diff(6),
    )


def join(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Each flight with the weather of the hour in which it should have left; no flight is lost.

    Both tables are joined on the instant. Local hours would be ambiguous when the clocks go back.
    """
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left", validate="m:1")
    return joined.assign(weather=weather_kind(joined))


def weather_kind(rows: pd.DataFrame) -> np.ndarray:
    """One word for the weather of each row: the worst that applies."""
    wet = rows["precip"] > 0
    kinds = {
        "unknown": rows["temp"].isna(),
        "snow or ice": wet & (rows["temp"] <= 34),
        "heavy rain": rows["precip"] >= 0.1,
        "rain": wet,
        "low visibility": rows["visib"] < 3,
        "windy": rows["wind_gust"] >= 30,
    }
    return np.select(list(kinds.values()), list(kinds), default="fair")


def aggregate(joined: pd.DataFrame) -> pd.DataFrame:
    """Counts and sums of delay by carrier, hour and weather, as one tidy table."""
    rows = joined.assign(hour=joined["minute_of_day"] // 60)
    return pd.concat([tally(rows, by) for by in ("carrier", "hour", "weather")], ignore_index=True)


def tally(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Flights, disruptions and minutes of delay for each level of one grouping."""
    table = rows.groupby(["month", "origin", by], as_index=False).agg(
        flights=("disrupted", "size"),
        disrupted=("disrupted", "sum"),
        cancelled=("cancelled", "sum"),
        departed=("delay", "count"),
        minutes=("delay", "sum"),
    )
    table = table.rename(columns={by: "level"}).assign(by=by)
    return table.assign(level=table["level"].astype(str))


def features(joined: pd.DataFrame) -> pd.DataFrame:
    """What a model may know before a flight leaves, and what it has to predict (`disrupted`)."""
    known = ["month", "origin", "time_hour", *SCHEDULE, *PAST_WEATHER]
    return joined[[*known, "disrupted"]]


def totals(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The tables of all months and airports as one."""
    columns = ["by", "level", "month", "origin", *COUNTS]
    return pd.concat(parts, ignore_index=True)[columns]


def share_table(table: pd.DataFrame, by: str, groups: list[str]) -> pd.DataFrame:
    """Counts, shares and mean delay of the groups in one of the three groupings of `totals`."""
    counts = table[table["by"] == by].groupby(groups)[COUNTS].sum()
    return counts.assign(
        disrupted_share=counts["disrupted"] / counts["flights"],
        cancelled_share=counts["cancelled"] / counts["flights"],
        mean_delay=counts["minutes"] / counts["departed"],
    )
