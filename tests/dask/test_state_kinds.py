"""What a run changes is state: equal calls in a row run once, here and in other processes.

Each kind of state is a text with a function `f`. It is called as a function of a module in two
processes and on two workers; then as a function of a script on two workers and in two processes.

In a text, `# warns: NAME` says which global the warning names, `# sent: never` or `# sent: before a
run` that what it keeps cannot be pickled, so that no such function gets to a worker, plain or not.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)  # the first test waits for all calls
TEXTS = Path(__file__).with_name("test_state_kinds")
ENTRIES = re.split(r"^=== (\w+)\n", (TEXTS / "kinds.txt").read_text(), flags=re.MULTILINE)[1:]
SOURCES = dict(zip(ENTRIES[::2], ENTRIES[1::2], strict=True))
PERSISTED = "from counting import ran\nfrom persidict_dask import persist\n"
BY_WORKERS = ("computed by workers", "found by workers", "found on the driver")
PLAIN = "def ran(_):\n    pass\ndef persist(_):\n    return lambda f: f\n"


def said(word, kind, default=()):
    """What the text of a kind says about itself."""
    return re.findall(rf"^# {word}: (.+)", SOURCES[kind], re.MULTILINE) or list(default)


def _written(project):
    project.write("lazy_settings.py", "MODEL = None\ncalls = 0\n")
    project.write("calling.py", (TEXTS / "calling.py").read_text())
    project.write("drive.py", "import sys, calling\ncalling.drive(*sys.argv[1:])\n")
    for kind, source in SOURCES.items():
        text = source.replace("{kind}", kind)
        project.write(f"state_{kind}.py", PERSISTED + text)
        project.write(f"plain_{kind}.py", PLAIN + text)
        (sent,) = said("sent", kind, ["always"])
        end = f"import calling\ncalling.report({kind!r}, f, {sent!r})\n"
        project.write(f"script_{kind}.py", PERSISTED + text + end)


@pytest.fixture(scope="module")
def reports(told_once, request):
    """What every kind did in four processes, one after the other, two of them with workers."""
    return told_once("state-kinds", lambda: _told(*map(request.getfixturevalue, PLACES)))


PLACES = ("shared_project", "client")


def _told(project, client):
    _written(project)
    there = client.scheduler.address
    modes = {"first": "", "second": there, "script": there, "script_again": ""}
    told = {mode: project.run("drive.py", mode, at, timeout=400) for mode, at in modes.items()}
    return {mode: json.loads(report) for mode, report in told.items()}


@pytest.fixture(params=SOURCES)
def kind(request):
    return request.param


def steps_of(report, *names):
    """All steps of a report, or those under these names."""
    return [step for name in names or report.keys() - {"plain"} for step in report[name]]


def assert_right(reports, mode, kind, *names):
    """All values are those of the plain function."""
    plain = reports["first"][kind]["plain"]
    for step in steps_of(reports[mode][kind], *names):
        assert step["values"] == [plain[x] for x in step["xs"]]


def runs(report, *names):
    return {name: [step["runs"] for step in report[name]] for name in names}


def assert_none_ran(report, *names):
    assert runs(report, *names) == {name: [0] * len(report[name]) for name in names}


def test_equal_calls_in_a_row_run_once(reports, kind):
    """The first call runs, the next does not; other calls in between change nothing."""
    report = reports["first"][kind]
    assert_right(reports, "first", kind)
    first, again = runs(report, "equal calls")["equal calls"]
    assert (first > 0, again) == (True, 0)
    _, *found = runs(report, "other calls")["other calls"]
    assert found == [0, 0]


def test_equal_calls_of_threads_run_once(reports, kind):
    """Runs at the same time, which change what the others see, leave results that are found."""
    assert_right(reports, "first", kind)
    assert_none_ran(reports["first"][kind], "after threads")


def test_a_second_process_finds_all_results(reports, kind):
    """There the calls come in another order; what is new runs once, after all the hits."""
    report = reports["second"][kind]
    assert_right(reports, "second", kind, "found", "new")
    assert_none_ran(report, "found")
    new, again = runs(report, "new")["new"]
    assert bool(new) != bool(said("recursive", kind))
    assert again == 0


def test_two_workers_and_the_driver_find_each_others_results(reports, kind):
    """A function of a module: each worker has a state of its own."""
    report = reports["second"][kind]
    assert_right(reports, "second", kind, *BY_WORKERS)
    assert said("recursive", kind) or min(
        runs(report, "computed by workers")["computed by workers"]
    )
    assert_none_ran(report, "found by workers", "found on the driver")


def test_a_script_and_its_workers_find_each_others_results(reports, kind):
    """A function of a script, sent with its code, before it was called on the driver and after."""
    report = reports["script"][kind]
    assert_right(reports, "script", kind)
    one, one_again, two, *found = runs(report, "equal calls")["equal calls"]
    assert (one > 0, one_again, two > 0, found) == (True, 0, True, [0, 0])
    if (sent := said("sent", kind)) != ["never"]:
        assert min(runs(report, "computed by workers")["computed by workers"]) > 0
        assert_none_ran(report, "found by workers", "found on the driver")
    if not sent:
        assert_none_ran(report, "found with the state of the driver")


def test_the_script_finds_its_results_when_it_runs_again(reports, kind):
    """Also those that ran after others had changed the state."""
    assert_right(reports, "script_again", kind)
    assert_none_ran(reports["script_again"][kind], "found")


def test_a_warning_names_what_a_run_has_changed_once(reports, kind):
    """By module and name; no second time in a process, whatever runs change there."""
    warned = [text for step in steps_of(reports["first"][kind]) for text in step["warned"]]
    assert len(set(warned)) == len(warned)
    for name in said("warns", kind):
        assert [f"state_{kind}.{name}" in text for text in warned].count(True) == 1


@pytest.mark.parametrize("mode", ["first", "second", "script", "script_again"])
def test_every_kind_was_called_in_every_process(reports, mode):
    """No kind is left out by the way the calls are made."""
    assert reports[mode].keys() == SOURCES.keys()
