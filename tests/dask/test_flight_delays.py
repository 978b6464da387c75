"""The flight delays pipeline: its steps make sense, and its results are computed once."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import dask
import numpy as np
import pandas as pd
import psutil
import pytest
from rich.console import Console

from examples.pipelines.flight_delays import __main__ as command
from examples.pipelines.flight_delays import data, model, pipeline, run, steps
from examples.pipelines.flight_delays.picture import picture
from persidict_dask import digest, open_store

ROOT = Path(__file__).parents[2]
FLIGHTS, WEATHER = data.source("flights.csv.zip"), data.source("weather.csv")


# --- what the steps mean -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw():
    """Flights of the months in which the clocks change, the first two and the last."""
    return {month: steps.extract_flights(FLIGHTS, month) for month in (1, 2, 3, 11, 12)}


def joined(raw, month, origin="JFK"):
    weather = steps.clean_weather(WEATHER, month, origin)
    return steps.join(steps.clean_flights(raw[month], origin), weather)


@pytest.mark.parametrize(("month", "share"), [(1, 0.99), (3, 0.99), (11, 0.99), (12, 0.95)])
def test_no_flight_is_lost_and_nearly_all_find_their_weather(raw, month, share):
    """The weather file ends on the evening before the last day of the year."""
    rows = pd.concat(joined(raw, month, origin) for origin in data.ORIGINS)
    assert len(rows) == len(raw[month])
    assert rows["temp"].notna().mean() > share


@pytest.mark.parametrize("month", [1, 3, 11])
def test_a_flight_gets_the_weather_of_its_local_hour(raw, month):
    """Checked against the local hours that the weather file also has, in winter and summer."""
    rows = joined(raw, month).assign(
        hour=lambda t: t["minute_of_day"] // 60,
        day=lambda t: steps.local_time(t["time_hour"]).dt.day,
    )
    seen = (
        pd.read_csv(WEATHER.path).query("origin == 'JFK'").drop_duplicates(["month", "day", "hour"])
    )
    both = rows.merge(seen, on=["month", "day", "hour"], suffixes=("", "_seen"))
    assert len(both) > 0.98 * len(rows)
    assert (both["temp"] == both["temp_seen"]).all()
    assert (both["precip"] == both["precip_seen"]).all()


def test_the_last_evening_of_a_month_has_weather_though_it_is_next_month_in_utc(raw):
    rows = joined(raw, 1)
    evening = rows[rows["time_hour"] >= pd.Timestamp("2013-02-01", tz="UTC")]
    assert len(evening) > 0
    assert evening["temp"].notna().all()


def test_a_flight_is_disrupted_when_it_is_cancelled_or_leaves_15_minutes_late():
    one = steps.extract_flights(FLIGHTS, 1).head(1).assign(origin="JFK")
    four = pd.concat([one] * 4).assign(dep_delay=[14, 15, np.nan, -3], dep_time=[1, 1, np.nan, 1])
    rows = steps.clean_flights(four, "JFK")
    assert list(rows["disrupted"]) == [False, True, True, False]
    assert list(rows["cancelled"]) == [False, False, True, False]


def test_clock_times_become_minutes_of_the_day():
    assert list(steps.minute_of_day(pd.Series([5, 100, 1735, 2359]))) == [5, 60, 1055, 1439]


def test_impossible_wind_is_dropped_and_only_short_gaps_are_filled():
    hours = pd.date_range("2013-01-01", periods=8, freq="h", tz="UTC")
    weather = pd.DataFrame(1.0, index=hours, columns=steps.OBSERVED)
    weather.iloc[0, weather.columns.get_loc("wind_speed")] = 1048.0
    regular = steps.regular_hours(weather.drop(hours[2:7]))
    assert np.isnan(regular["wind_speed"].iloc[0])
    assert list(regular["temp"].isna()) == [False] * 5 + [True] * 2 + [False]


def test_the_worst_weather_that_applies_gives_the_name():
    rows = pd.DataFrame(
        {
            "temp": [50, np.nan, 30, 50, 50, 50, 50],
            "precip": [0, np.nan, 0.2, 0.2, 0.01, 0, 0],
            "visib": [10, np.nan, 1, 1, 1, 1, 10],
            "wind_gust": [5, np.nan, 50, 50, 50, 50, 50],
        }
    )
    kinds = ["fair", "unknown", "snow or ice", "heavy rain", "rain", "low visibility", "windy"]
    assert list(steps.weather_kind(rows)) == kinds
    assert set(kinds) == set(steps.WEATHER_KINDS)


def test_aggregates_count_every_flight_once_in_each_grouping(raw):
    rows = joined(raw, 1)
    table = steps.aggregate(rows)
    by = table.groupby("by")[steps.COUNTS].sum()
    assert set(by.index) == {"carrier", "hour", "weather"}
    assert (by["flights"] == len(rows)).all()
    assert (by["disrupted"] == rows["disrupted"].sum()).all()
    assert np.allclose(by["minutes"], rows["delay"].sum())
    assert np.allclose(
        steps.share_table(table, "hour", ["origin"])["mean_delay"], rows["delay"].mean()
    )


# --- no leakage ----------------------------------------------------------------------------------


def test_nothing_that_happens_after_the_schedule_is_a_feature(raw):
    """Other departures and delays change the target and nothing else."""
    flights = raw[1]
    other = flights.assign(dep_time=np.nan, dep_delay=999.0)
    weather = steps.clean_weather(WEATHER, 1, "JFK")
    one, two = (
        steps.features(steps.join(steps.clean_flights(f, "JFK"), weather)) for f in (flights, other)
    )
    pd.testing.assert_frame_equal(one.drop(columns="disrupted"), two.drop(columns="disrupted"))
    assert two["disrupted"].all()


def test_weather_is_a_feature_only_when_the_hour_of_departure_has_not_begun(raw, tmp_path):
    """Other weather from noon of the 15th on changes no feature of flights before one o'clock."""
    noon = pd.Timestamp("2013-01-15 12:00", tz="America/New_York")
    table = pd.read_csv(WEATHER.path)
    later = pd.to_datetime(table["time_hour"], utc=True) >= noon
    for name in steps.OBSERVED:
        table[name] = table[name].mask(later, 7.0)
    file = data.SourceFile(tmp_path / "weather.csv", "other")
    table.to_csv(file.path, index=False)
    flights = steps.clean_flights(raw[1], "JFK")
    one, two = (
        steps.features(steps.join(flights, steps.clean_weather(f, 1, "JFK")))
        for f in (WEATHER, file)
    )
    before = one["time_hour"] <= noon
    assert 0 < before.sum() < len(one)
    pd.testing.assert_frame_equal(one[before], two[before])
    assert not one[~before].equals(two[~before])


def test_each_month_is_predicted_from_the_months_before_it_at_the_same_airport():
    """Read off the graph itself, run with steps that return what they were given."""

    def recorder(name):
        return lambda *args: (name, *args)

    fake = SimpleNamespace(**{f.__name__: recorder(f.__name__) for f in pipeline.STEPS})
    tasks = pipeline.plan(fake, FLIGHTS, WEATHER, range(2, 6))
    forecasts = [name for name in tasks if name.startswith("predict-")]
    assert len(forecasts) == 9
    for name, (_, rows, habit, schedule, weather) in zip(
        forecasts, dask.compute(*(tasks[n] for n in forecasts), scheduler="sync"), strict=True
    ):
        month, origin = int(name.split("-")[1]), name.split("-")[2]
        assert where(rows) == (month, origin)
        for learned in (habit, schedule, weather):
            assert [where(part) for part in learned[1]] == [(m, origin) for m in range(2, month)]
        assert (schedule[2], weather[2]) == ("schedule", "weather")


def where(known):
    """Month and airport of recorded features: `("features", ("join", flights, weather))`."""
    _, (_, flights, weather) = known
    assert (flights[1][2], flights[2]) == weather[2:]
    return weather[2:]


# --- the models ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(raw):
    return {month: steps.features(joined(raw, month)) for month in (1, 2)}


@pytest.fixture(scope="module")
def predictions(known):
    past = [known[1]]
    models = [model.fit(past, inputs) for inputs in ("schedule", "weather")]
    return model.predict(known[2], model.learn_habit(past), *models)


def test_every_flight_of_the_month_is_predicted_with_a_probability(known, predictions):
    assert len(predictions) == len(known[2])
    assert predictions[list(model.METHODS)].apply(lambda p: p.between(0, 1)).all(axis=None)


def test_the_model_with_weather_beats_habit_on_real_flights(predictions):
    scores = model.score([predictions])["overall"].set_index("method")
    assert scores.loc["constant", "skill"] < 0 < scores.loc["weather", "skill"]
    assert scores.loc["weather", "auc"] > scores.loc["habit", "auc"] > 0.6


def test_habit_draws_rare_groups_to_the_overall_share():
    rows = pd.DataFrame(
        {
            "carrier": ["AA"] * 50 + ["ZZ"] * 50,
            "minute_of_day": 600,
            "disrupted": [True] * 50 + [False] * 50,
        }
    )
    habit = model.learn_habit([rows])
    new = pd.DataFrame({"carrier": ["AA", "ZZ", "QQ"], "minute_of_day": [601, 659, 600]})
    assert np.allclose(habit.predict(new), [0.75, 0.25, 0.5])


def test_carriers_and_destinations_never_seen_before_can_be_predicted(known):
    codes = model.encode(pd.Series(["B", "Q", "A"]), ("A", "B"))
    assert np.array_equal(codes, [1, np.nan, 0], equal_nan=True)
    fitted = model.fit([known[1]], "weather")
    strange = known[2].head(3).assign(carrier="QQ", dest="QQQ")
    assert np.isfinite(fitted.predict(strange)).all()


def test_skill_is_0_for_habit_itself_and_1_for_a_perfect_forecast(predictions):
    perfect = predictions.assign(weather=predictions["disrupted"].astype(float))
    scores = model.score([perfect])["overall"].set_index("method")
    assert scores.loc["habit", ["skill", "skill_low", "skill_high"]].eq(0).all()
    assert scores.loc["weather", ["skill", "skill_low", "skill_high", "auc"]].eq(1).all()
    assert scores.loc["weather", "hit_rate"] == 1


def test_the_interval_is_around_the_skill(predictions):
    scores = model.score([predictions])["overall"].set_index("method").loc["weather"]
    assert scores["skill_low"] < scores["skill"] < scores["skill_high"]


def test_calibration_splits_all_flights_into_ten_ordered_groups(predictions):
    table = model.score([predictions])["calibration"]
    assert len(table) == 10
    assert table["flights"].sum() == len(predictions)
    assert table["forecast"].is_monotonic_increasing
    assert np.isclose((table["happened"] * table["flights"]).sum(), predictions["disrupted"].sum())


def test_the_picture_is_a_png_that_does_not_depend_on_who_draws_it(raw, predictions):
    totals = steps.totals([steps.aggregate(joined(raw, month)) for month in (1, 2)])
    arguments = totals, model.score([predictions]), data.carrier_names()
    drawn = picture(*arguments)
    assert drawn.startswith(b"\x89PNG")
    assert picture(*arguments) == drawn


# --- the command ---------------------------------------------------------------------------------


def test_a_source_file_is_known_by_content_and_not_by_place(tmp_path):
    elsewhere = replace(WEATHER, path=tmp_path / "weather.csv")
    assert digest(elsewhere) == digest(WEATHER)
    assert digest(replace(WEATHER, sha256="0" * 64)) != digest(WEATHER)


@pytest.mark.parametrize("text", ["3", "0-3", "3-13", "3-2", "x", ""])
def test_months_that_make_no_sense_are_refused(text):
    with pytest.raises(SystemExit):
        command.arguments(["--months", text])


def test_months_are_a_range_of_two_or_more():
    assert list(command.arguments(["--months", "2-4"]).months) == [2, 3, 4]
    assert list(command.arguments([]).months) == list(range(1, 13))


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_a_bar_on_a_terminal_and_plain_lines_elsewhere(terminal):
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal)
    with run.progress_of(8, console) as advance:
        for _ in range(8):
            advance("fit")
    text = written.getvalue()
    assert ("\x1b[" in text) is terminal
    assert ("4 of 8 steps" in text) is not terminal


# --- the whole pipeline, in processes ------------------------------------------------------------

STEPS = 47  # of two months: 2 + 5 x 6 + 4 x 3 + 3


@dataclass
class Outcome:
    """What a run printed."""

    text: str

    @property
    def counts(self):
        """Computed and loaded, from the last line."""
        match = re.fullmatch(r"computed (\d+), loaded (\d+), \d+\.\d s", self.text.splitlines()[-1])
        return tuple(map(int, match.groups()))

    @property
    def computed(self):
        """The steps of which something was computed, from the table."""
        rows = re.findall(r"^│ (\w+) +│ +(\d+) │ +\d+ │", self.text, re.MULTILINE)
        return {name: int(count) for name, count in rows if count != "0"}

    @property
    def findings(self):
        return re.search(r"Departures by airport.*(?=Steps)", self.text, re.DOTALL).group()


def start(project, store):
    """A run on two months, in a process group of its own."""
    line = [sys.executable, "-m", "examples.pipelines.flight_delays", "--months", "1-2"]
    return subprocess.Popen(
        [*line, "--store", str(store), "--output", str(store.parent / "output")],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"COLUMNS": "100"},
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "\x1b" not in out
    return Outcome(out)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run from nothing: its outcome and its store."""
    store = tmp_path_factory.mktemp("first") / "store"
    return finish(start(ROOT, store)), store


@pytest.fixture
def store(first, tmp_path):
    """A copy of the store that the first run has filled."""
    return Path(shutil.copytree(first[1], tmp_path / "store"))


def test_the_first_run_computes_every_step_and_leaves_a_picture(first):
    outcome, store = first
    assert outcome.counts == (STEPS, 0)
    assert (store.parent / "output" / "flight_delays.png").read_bytes().startswith(b"\x89PNG")


def test_the_second_run_computes_nothing_and_finds_the_same(first, store):
    outcome = finish(start(ROOT, store))
    assert outcome.counts == (0, STEPS)
    assert outcome.findings == first[0].findings


def test_a_killed_run_resumes_with_exactly_what_was_missing(first, tmp_path):
    store = tmp_path / "store"
    kill_after(20, start(ROOT, store), store)
    stored = results_in(store)
    assert 20 <= stored < STEPS
    outcome = finish(start(ROOT, store))
    assert outcome.counts == (STEPS - stored, stored)
    assert outcome.findings == first[0].findings


def kill_after(results, process, store):
    """Kill driver and workers at once when the store holds so many results."""
    deadline = time.monotonic() + 120
    while results_in(store) < results:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)  # between two looks at the folder
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family):
        assert time.monotonic() < deadline


def results_in(store):
    return len(open_store(store)) if store.exists() else 0


EDITS = {
    "a comment and a docstring": (
        "steps.py",
        '    """Minutes since midnight of clock times written as 1735."""\n',
        '    """Minutes since midnight."""\n    # the clock shows hours and minutes\n',
        {},
    ),
    "the colours of the picture": (
        "picture.py",
        'cmap="YlOrRd"',
        'cmap="YlGnBu"',
        {"picture": 1},
    ),
    "a helper that goes on to give the same": (
        "steps.py",
        "clock // 100 * 60 + clock % 100",
        "clock - clock // 100 * 40",
        {"clean_flights": 6},
    ),
    "a helper that gives something else": (
        "steps.py",
        'rows["wind_gust"] >= 30',
        'rows["wind_gust"] >= 25',
        {"join": 6, "aggregate": 6, "features": 6, "totals": 1, "picture": 1},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_recomputes_only_what_depends_on_it(edit, store, tmp_path):
    file, old, new, expected = EDITS[edit]
    code = tmp_path / "project" / "examples"
    shutil.copytree(
        ROOT / "examples", code, ignore=shutil.ignore_patterns("store", "output", "__pycache__")
    )
    module = code / "pipelines" / "flight_delays" / file
    text = module.read_text()
    assert text.count(old) == 1
    module.write_text(text.replace(old, new))
    outcome = finish(start(code.parent, store))
    assert outcome.computed == expected
    assert outcome.counts == (sum(expected.values()), STEPS - sum(expected.values()))
