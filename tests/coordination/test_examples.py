"""The examples of coordination end well, say what happened, and leave no process behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from examples.pipelines.leader_table.__main__ import stop_a_leader
from examples.pipelines.leader_table.candidate import LEASE, TABLE, TTL
from examples.pipelines.leader_table.team import Team
from examples.pipelines.rate_limited_fetch import site
from examples.pipelines.work_queue import texts
from examples.pipelines.work_queue.pool import Pool
from examples.pipelines.work_queue.worker import queue_in
from persidict import FileDirDict
from persidict_dask.coordination import Lease, fence

ROOT = Path(__file__).parents[2]


def ran(name, store, *more):
    """Run an example; return the lines that it printed."""
    line = [sys.executable, "-m", f"examples.pipelines.{name}", "--store", str(store), *more]
    done = subprocess.run(
        line,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert processes_at(store) == []
    return done.stdout.splitlines()


def processes_at(store):
    """Processes that were started with the folder among their arguments."""
    found = psutil.process_iter(["pid", "cmdline", "status"])
    return [
        each.info["pid"]
        for each in found
        if str(store) in (each.info["cmdline"] or []) and each.pid != os.getpid()
    ]


# --- a queue -------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def test_all_files_are_counted_once_though_workers_are_killed(store):
    lines = ran("work_queue", store, "--files", "40", "--kills", "3")
    assert "0 waiting, 0 claimed, 40 done, 0 dead" in lines
    assert re.search(r"(\d+) killed at their work; (\d+) attempts at 40 files", lines[-2])
    assert lines[-1].startswith(
        "40 of 40 files done once each: 4,800,000 words counted, 4,800,000 written;"
    )
    queue = queue_in(str(store))
    assert (len(queue), len(queue.done), len(queue.dead)) == (0, 40, 0)


def test_a_second_run_counts_only_what_is_new(store):
    ran("work_queue", store, "--files", "4", "--words", "100", "--kills", "0")
    lines = ran("work_queue", store, "--files", "6", "--words", "100", "--kills", "0")
    assert lines[0].startswith("6 files, 4 done before;")
    assert lines[-2].endswith("0 killed at their work; 2 attempts at 2 files")
    assert lines[-1].startswith("6 of 6 files done once each: 600 words counted, 600 written;")


def test_the_same_texts_are_written_each_time_and_counted_in_full(tmp_path):
    paths = texts.write_files(tmp_path / "one", 3, 1000)
    again = texts.write_files(tmp_path / "two", 3, 1000)
    assert [path.read_text() for path in paths] == [path.read_text() for path in again]
    assert [texts.count_words(path)["words"] for path in paths] == [1000] * 3
    assert texts.count_words(paths[0])["most frequent"] in texts.VOCABULARY


def test_the_pool_kills_only_who_has_claimed_something(store):
    queue = queue_in(str(store))
    queue.put("x")
    with queue.claim(), Pool(str(store), 2) as pool:  # by this process, which is no worker
        assert not pool.kill_one_at_work()
        assert pool.killed == 0


def test_the_pool_grows_with_what_is_left_and_leaves_nobody(store):
    queue = queue_in(str(store))
    queue.put("x")
    with queue.claim(), Pool(str(store), 3) as pool:  # they wait, for it could come back
        for left, workers in [(0, 0), (10, 1), (11, 2), (10**6, 3), (1, 3)]:
            pool.fit(left)
            assert len(pool.pids) == workers
        pids = pool.pids
    assert not any(psutil.pid_exists(pid) for pid in pids)


# --- a leader ------------------------------------------------------------------------------------


def test_a_leader_that_wakes_up_is_refused_and_no_row_is_out_of_order(store):
    lines = ran("leader_table", store, "--stops", "1")
    (at,) = [i for i, line in enumerate(lines) if " has taken over " in line]
    stopped = re.fullmatch(r"(\w+) leads with token (\d+), and is stopped", lines[at - 1])
    taken = re.match(r"(\w+) has taken over with token (\d+), after", lines[at])
    told = lines[at + 1]
    assert told.startswith(f"{stopped[1]} goes on, tries to write with token {stopped[2]}, ")
    assert told.endswith("has written, and stands down")
    assert taken[1] != stopped[1]
    assert int(taken[2]) > int(stopped[2])
    assert re.fullmatch(r"\d+ rows, none missing, tokens in order; \d+\.\d s", lines[-1])


def test_a_leader_that_was_stopped_inside_of_a_write_is_stopped_again(store, capsys):
    """Nobody can take over while its lock of the file is there."""

    class Locked(Team):
        stops = 0

        def stop(self, name):
            self.stops += 1
            if self.stops > 1:  # the first time it goes on to hold the lease
                super().stop(name)

    with Locked(str(store), ["ada", "ben"]) as team:
        stop_a_leader(team, patience=4 * TTL)
    assert team.stops > 1
    assert capsys.readouterr().out.endswith("has written, and stands down\n")


def test_tokens_go_on_in_the_next_run(store):
    ran("leader_table", store, "--stops", "1")
    records = FileDirDict(base_dir=str(store))
    lease = Lease(records, LEASE)
    assert lease.acquire(timeout=100)
    assert lease.token > fence(records, TABLE) > 1


# --- a rate --------------------------------------------------------------------------------------


def test_workers_together_stay_within_the_rate(store):
    lines = ran("rate_limited_fetch", store, "--pages", "40")
    assert "in the log of the site: 40 requests, 40 pages" in lines
    found = re.match(
        r"(\d+\.\d) per second, (\d+) in the busiest second; the limit is 20;", lines[-1]
    )
    assert float(found[1]) <= 20 * 1.15  # the way from the turn to the site is not always as long
    pages = FileDirDict(base_dir=str(store)).get_subdict("page")
    assert len(pages) == 40
    assert pages["7"].startswith("This is /page/7.")


def test_the_site_notes_what_it_is_asked():
    import urllib.request

    with site.serving() as served:
        started = time.monotonic()
        with urllib.request.urlopen(f"{served.url}/page/1", timeout=10) as answer:
            assert answer.read().startswith(b"This is /page/1.")
        ((path, moment),) = served.log
    assert path == "/page/1"
    assert started <= moment <= time.monotonic()


def test_rates_are_computed_from_moments():
    moments = [0.0, 0.5, 0.9, 1.0, 4.0]
    assert site.busiest_second(moments) == 3
    assert site.mean_rate(moments) == 1.0
