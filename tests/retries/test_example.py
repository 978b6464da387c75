"""The example with a service that fails: what it shows, and what it shows it with."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import cloudpickle
import psutil
import pytest

from examples.pipelines.flaky_service import run as runs
from examples.pipelines.flaky_service.fetch import RefusedError, fetching, page, policy
from examples.pipelines.flaky_service.load import Load
from examples.pipelines.flaky_service.picture import picture, ticks
from examples.pipelines.flaky_service.served import serving
from examples.pipelines.flaky_service.service import FAILING, HEALTHY, LIMITED, Service
from persidict import FileDirDict
from tests.coordination.faults.fleet import until

ROOT = Path(__file__).parents[2]
PAGES = 150
SVG = "{http://www.w3.org/2000/svg}"


def ran(folder):
    """Run the example; return the lines that it printed."""
    line = [sys.executable, "-m", "examples.pipelines.flaky_service", "--rate", "60"]
    line += ["--pages", str(PAGES), "--store", str(folder / "store"), "--output", str(folder)]
    done = subprocess.run(
        line,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=os.environ | {"COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("flaky")


@pytest.fixture(scope="module")
def first(folder):
    """What a run has printed, noted and drawn."""
    lines = ran(folder)
    records = FileDirDict(base_dir=str(folder / "store" / "runs"))
    drawing = (folder / "load.svg").read_text()
    return SimpleNamespace(
        lines=lines, alone=records["alone"], budget=records["budget"], drawing=drawing
    )


def test_with_a_budget_a_service_that_fails_gets_fewer_requests(first):
    alone, budget = first.alone, first.budget
    assert 0 < budget.in_outage < alone.in_outage
    assert budget.load.arrived() < alone.load.arrived()


def test_the_table_tells_both_runs(first):
    for name, run in [("policy alone", first.alone), ("with a retry budget", first.budget)]:
        [row] = [line.split() for line in first.lines if line.startswith(f"{name}  ")]
        requests, in_outage, per_page, got, _ = row[-5:]
        assert (requests, in_outage) == (str(run.load.arrived()), str(run.in_outage))
        assert float(per_page) == pytest.approx(run.in_outage / run.pages_in_outage, abs=0.006)
        assert int(got) == run.first


def test_all_pages_are_fetched_in_the_end_though_not_at_once(first, folder):
    for key, run in [("alone", first.alone), ("budget", first.budget)]:
        assert 0 < run.first <= PAGES == run.pages
        fetch = fetching(FileDirDict(base_dir=str(folder / "store" / key)))
        assert runs.missing(fetch, PAGES + 2) == [PAGES, PAGES + 1]
        assert fetch("nowhere", 7).startswith("This is /page/7.")
    assert first.budget.first < PAGES


def test_what_was_fetched_is_not_fetched_again(first, folder):
    lines = ran(folder)
    assert f"policy alone: 0 of {PAGES} pages to fetch" in lines
    assert f"with a retry budget: 0 of {PAGES} pages to fetch" in lines
    assert (folder / "load.svg").read_text() == first.drawing


def test_the_picture_is_drawn(first, folder):
    assert f"picture: {folder / 'load.svg'}" in first.lines
    root = ET.fromstring(first.drawing)
    lines = root.findall(f"{SVG}polyline")
    assert [line.get("class") for line in lines] == ["line colour-0", "line colour-1"]
    for line, run in zip(lines, [first.alone, first.budget], strict=True):
        assert len(line.get("points").split()) == len(run.load.rates()) > 20


# --- the picture ---------------------------------------------------------------------------------

PHASES = [(0.0, HEALTHY), (0.2, FAILING), (0.4, LIMITED), (0.6, HEALTHY)]


def load(*counts):
    return Load(PHASES, [(i / 10, 200, n) for i, n in enumerate(counts) if n])


def test_rates_are_taken_over_half_a_second():
    rates = load(*[5] * 6, 10, *[5] * 6).rates()
    assert [round(moment, 3) for moment, _ in rates] == [round(0.05 + i / 10, 3) for i in range(13)]
    assert [round(value) for _, value in rates] == [50] * 4 + [60] * 5 + [50] * 4


def test_requests_are_counted_by_phase():
    counted = load(1, 2, 4, 8, 16, 32, 64)
    assert counted.arrived(*counted.span(FAILING)) == 4 + 8
    assert counted.arrived(*counted.span(LIMITED)) == 16 + 32
    assert counted.arrived() == 127


def test_what_a_picture_holds():
    drawing = picture({"<one> & more": load(1, 9, 1), "two": load(2, 2, 2, 2)}, 30)
    root = ET.fromstring(drawing)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"<one> & more", "two", "what the healthy service can serve"} <= set(words)
    assert {"time since the first page (seconds)", "load (requests per second)"} <= set(words)
    assert "prefers-color-scheme: dark" in root.find(f"{SVG}style").text
    kinds = [each.get("class") for each in root.iter() if each.get("class")]
    assert {"failing", "limited", "capacity", "title"} <= set(kinds)


def test_shades_and_lines_have_the_same_scale():
    root = ET.fromstring(picture({"one": load(*[5] * 10)}, 50))
    [shade] = [each for each in root.iter(f"{SVG}rect") if each.get("class") == FAILING]
    xs = [float(point.split(",")[0]) for point in root.find(f"{SVG}polyline").get("points").split()]
    begin, width = float(shade.get("x")), float(shade.get("width"))
    assert begin == pytest.approx((xs[1] + xs[2]) / 2, abs=0.2)
    assert begin + width == pytest.approx((xs[3] + xs[4]) / 2, abs=0.2)
    strokes = [each for each in root.iter(f"{SVG}line") if each.get("class") == "capacity"]
    capacity = max(strokes, key=lambda each: float(each.get("x2")))  # the other is in the legend
    ys = {point.split(",")[1] for point in root.find(f"{SVG}polyline").get("points").split()}
    assert ys == {f"{float(capacity.get('y1')):.1f}"}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (0.8, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
        (9, [0, 2, 4, 6, 8]),
        (260, [0, 50, 100, 150, 200, 250]),
    ],
)
def test_ticks_are_round(end, expected):
    assert ticks(end) == pytest.approx(expected)


# --- the service ---------------------------------------------------------------------------------


@pytest.fixture
def service():
    """Make services that run in threads of this process."""
    started = []

    def make(capacity=1000.0, limit=1000.0):
        made = Service(capacity, limit)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((made, thread))
        made.url = f"http://127.0.0.1:{made.server_port}"
        return made

    yield make
    for made, thread in started:
        made.shutdown()
        thread.join()
        made.server_close()


def statuses(service, times):
    """Ask so many times; return the answers."""
    return [service.answer().status for _ in range(times)]


def test_in_its_phases_it_answers_otherwise(service):
    made = service(limit=0.001)
    assert statuses(made, 2) == [200, 200]
    made.begin(FAILING)
    assert statuses(made, 2) == [503, 503]
    made = service(limit=0.001)
    made.begin(LIMITED)
    assert statuses(made, 2) == [200, 429]


def test_beyond_its_capacity_it_turns_requests_away(service):
    assert statuses(service(capacity=0.001), 3) == [200, 503, 503]


def test_to_turn_away_costs_it_pages(service):
    made = service(capacity=40)  # ten of which it has in reserve
    made.begin(FAILING)
    statuses(made, 100)
    made.begin(HEALTHY)
    assert made.answer().status == 503


def test_the_more_it_has_to_do_the_slower_it_is(service):
    made = service()
    alone = made.seconds_of_work()
    made.begin(FAILING)
    statuses(made, 30)
    assert made.seconds_of_work() > 3 * alone
    for _ in range(30):
        made.left()
    assert made.seconds_of_work() == alone


def test_it_says_when_to_come_again(service):
    made = service(limit=0.3)
    made.begin(LIMITED)
    assert page(made.url, 1).startswith("This is /page/1.")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{made.url}/page/1", timeout=10)
    with caught.value as answer:
        assert (answer.code, answer.headers["Retry-After"]) == (429, "4")
    until(lambda: made.seconds_of_work() == pytest.approx(0.01))  # nobody is left inside


def test_its_time_begins_with_the_first_phase(service):
    made = service()
    made._started -= 1000
    made.begin(HEALTHY)
    made.answer()
    made.begin(FAILING)
    log = made.log()
    assert [second < 1000 for second, _ in log["phases"]] == [True, True]
    assert [second < 1000 for second, _, _ in log["requests"]] == [True]


def test_what_it_answers_is_counted():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with serving(capacity=1000, limit=1000) as served:
        [process] = [
            child for child in psutil.Process().children(recursive=True) if child.pid not in before
        ]
        served.begin(HEALTHY)
        page(served.url, 1)
        served.begin(FAILING)
        for _ in range(2):
            with pytest.raises(RefusedError):
                page(served.url, 1)
        load = served.load()
    assert not process.is_running()
    assert [name for _, name in load.phases] == [HEALTHY, FAILING]
    assert load.phases[0][0] < load.phases[1][0]
    counted = [status for _, status, n in load.requests for _ in range(n)]
    assert counted == [200, 503, 503]
    assert load.arrived() == 3


# --- the task ------------------------------------------------------------------------------------


def test_an_error_travels_and_tells_how_long_to_wait(service):
    made = service(limit=0.3)
    made.begin(LIMITED)
    made.answer()
    with pytest.raises(RefusedError) as caught:
        page(made.url, 1)
    assert caught.value.__context__ is None
    error = pickle.loads(cloudpickle.dumps(caught.value))
    assert (error.args, error.retry_after) == ((429, "4"), "4")


def test_a_page_is_the_same_whatever_the_address(tmp_path, service):
    store, made = FileDirDict(base_dir=str(tmp_path)), service()
    text = fetching(store)(made.url, 3)
    assert fetching(store)("http://elsewhere", 3) == text
    assert runs.missing(fetching(store), 5) == [0, 1, 2, 4]


def test_the_policy_waits_longer_each_time():
    assert policy().attempts == 4
    waits = [policy().wait(SimpleNamespace(attempt_number=n)) for n in (1, 2, 3)]
    assert [round(wait - 0.05, 1) for wait in waits] == [0.2, 0.4, 0.8]


def test_each_phase_begins_with_its_page():
    told = []
    service = SimpleNamespace(begin=lambda phase: told.append(phase))
    for number in runs.through_script(service, list(range(100)), rate=1e6):
        told.append(number)
    begins = [told[told.index(name) + 1] for name in (HEALTHY, FAILING, LIMITED)]
    assert begins == [0, 25, 60]
    assert told.count(HEALTHY) == 2
    assert [each for each in told if isinstance(each, int)] == list(range(100))


def test_pages_that_stay_away_are_an_error(monkeypatch):
    lost = RefusedError(503)

    def one_pass(client, fetch, url, numbers):
        return dict.fromkeys(numbers, lost)

    monkeypatch.setattr(runs, "one_pass", one_pass)
    with pytest.raises(RuntimeError, match="4 pages are missing") as caught:
        runs.run(None, None, [1, 2, 3, 4], rate=1e6)
    assert caught.value.__cause__ is lost
