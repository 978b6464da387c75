"""A small model of disrupted departures, and an honest look at what it is worth.

Each month is predicted by models that have seen only the months before it. They are compared with
two forecasts that need no model: the share of the past, and that share by carrier and hour.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .steps import PAST_WEATHER, SCHEDULE, local_time

METHODS = {
    "constant": "one share for all",
    "habit": "habit (carrier, hour)",
    "schedule": "model of the schedule",
    "weather": "model with weather",
}
PRIOR = 50  # flights: how much a rare pair of carrier and hour is drawn to the overall share


@dataclass(frozen=True)
class Habit:
    """The shares of disrupted flights in the past: overall, and by carrier and hour."""

    overall: float
    by_carrier_and_hour: pd.DataFrame

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        keys = carrier_and_hour(rows).merge(self.by_carrier_and_hour, how="left")
        return keys["share"].fillna(self.overall).to_numpy()


def carrier_and_hour(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"carrier": rows["carrier"], "hour": rows["minute_of_day"] // 60})


def learn_habit(past: list[pd.DataFrame]) -> Habit:
    """The forecast that needs no model."""
    rows = pd.concat(past, ignore_index=True)
    overall = float(rows["disrupted"].mean())
    groups = carrier_and_hour(rows).assign(disrupted=rows["disrupted"])
    table = groups.groupby(["carrier", "hour"], as_index=False).agg(
        share=("disrupted", lambda x: (x.sum() + PRIOR * overall) / (len(x) + PRIOR))
    )
    return Habit(overall, table)


@dataclass(frozen=True)
class Model:
    """A fitted classifier with the columns it looks at.

    The classifier stays pickled until it is asked, so that passing a model on, or finding it in a
    store, does not import scikit-learn.
    """

    columns: tuple[str, ...]
    carriers: tuple[str, ...]
    dests: tuple[str, ...]
    pickled: bytes

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        inputs = numbers(rows, self.columns, self.carriers, self.dests)
        return pickle.loads(self.pickled).predict_proba(inputs)[:, 1]


def numbers(
    rows: pd.DataFrame, columns: Sequence[str], carriers: Sequence[str], dests: Sequence[str]
) -> np.ndarray:
    """Numbers only; a carrier or destination not seen in training becomes a missing value."""
    known = {"carrier": carriers, "dest": dests}
    return np.column_stack(
        [encode(rows[c], known[c]) if c in known else rows[c].to_numpy(float) for c in columns]
    )


def encode(labels: pd.Series, known: Sequence[str]) -> np.ndarray:
    codes = pd.Index(known).get_indexer(labels).astype(float)
    return np.where(codes < 0, np.nan, codes)


def fit(past: list[pd.DataFrame], inputs: str) -> Model:
    """Gradient-boosted trees over the schedule, or over the schedule and the weather before."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = pd.concat(past, ignore_index=True)
    columns = SCHEDULE + (PAST_WEATHER if inputs == "weather" else [])
    classifier = HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.15,
        max_leaf_nodes=12,
        min_samples_leaf=200,
        l2_regularization=1.0,
        categorical_features=[name in {"carrier", "dest"} for name in columns],
        early_stopping=False,
        random_state=0,
    )
    carriers, dests = (sorted(rows[name].unique()) for name in ("carrier", "dest"))
    classifier.fit(numbers(rows, columns, carriers, dests), rows["disrupted"])
    return Model(tuple(columns), tuple(carriers), tuple(dests), pickle.dumps(classifier))


def predict(rows: pd.DataFrame, habit: Habit, schedule: Model, weather: Model) -> pd.DataFrame:
    """What each method says of one month, next to what happened."""
    return pd.DataFrame(
        {
            "month": rows["month"],
            "origin": rows["origin"],
            "day": local_time(rows["time_hour"]).dt.day_of_year,
            "disrupted": rows["disrupted"],
            "constant": habit.overall,
            "habit": habit.predict(rows),
            "schedule": schedule.predict(rows),
            "weather": weather.predict(rows),
        }
    )


def score(predictions: list[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """How good the methods are: overall, month by month, and as probabilities."""
    rows = pd.concat(predictions, ignore_index=True)
    return {
        "overall": pd.DataFrame([judge(rows, method) for method in METHODS]),
        "monthly": monthly_skill(rows),
        "calibration": calibration(rows, "weather"),
    }


def judge(rows: pd.DataFrame, method: str) -> dict[str, object]:
    """One method over all predicted flights; skill is the share of the habit's error it removes."""
    from sklearn.metrics import roc_auc_score

    happened, forecast = rows["disrupted"].to_numpy(float), rows[method].to_numpy()
    low, high = skill_interval(rows, method)
    return {
        "method": method,
        "brier": squared_error(rows, method).mean(),
        "skill": skill(rows, method),
        "skill_low": low,
        "skill_high": high,
        "auc": roc_auc_score(happened, forecast),
        "hit_rate": happened[forecast >= np.quantile(forecast, 0.9)].mean(),
    }


def squared_error(rows: pd.DataFrame, method: str) -> pd.Series:
    return (rows[method] - rows["disrupted"]) ** 2


def skill(rows: pd.DataFrame, method: str) -> float:
    return 1 - squared_error(rows, method).mean() / squared_error(rows, "habit").mean()


def skill_interval(rows: pd.DataFrame, method: str) -> tuple[float, float]:
    """The middle 95 % of the skill over resampled days: flights of one day share their fate."""
    errors = pd.DataFrame(
        {"method": squared_error(rows, method), "habit": squared_error(rows, "habit")}
    )
    days = errors.groupby(rows["day"]).sum().to_numpy()
    draws = np.random.default_rng(0).integers(len(days), size=(1000, len(days)))
    sums = days[draws].sum(axis=1)
    low, high = np.quantile(1 - sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(low), float(high)


def monthly_skill(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "month": month,
            "method": method,
            "brier": squared_error(part, method).mean(),
            "skill": skill(part, method),
        }
        for month, part in rows.groupby("month")
        for method in METHODS
    )


def calibration(rows: pd.DataFrame, method: str) -> pd.DataFrame:
    """Forecast and frequency in ten groups of equal size, ordered by forecast."""
    group = pd.qcut(rows[method].rank(method="first"), 10, labels=False)
    return rows.groupby(group).agg(
        forecast=(method, "mean"), happened=("disrupted", "mean"), flights=("disrupted", "size")
    )
