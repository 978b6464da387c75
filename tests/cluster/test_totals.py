"""Sums that come out the same however often, and in which order, a process is heard; and Stats."""

from __future__ import annotations

import asyncio
import itertools
import json
from types import SimpleNamespace

import pytest

from persidict_dask import FunctionStats, Stats, _stats
from persidict_dask.cluster import _compat, _totals
from persidict_dask.cluster._figures import stats_from
from persidict_dask.cluster._reporter import Reporter
from persidict_dask.cluster._scheduler import scheduler_plugin
from persidict_dask.cluster._totals import Totals


def news(process, hits, worker="w", gauges=(), quarantined=()):
    return {
        "process": process,
        "functions": {"f": {"hits": hits}},
        "gauges": gauges,
        "quarantined": quarantined,
        "worker": worker,
    }


def hits(totals, without=""):
    return totals.report(without)["functions"].get("f", {}).get("hits", 0)


def test_messages_may_come_twice_and_in_any_order():
    told = [news("a", 1), news("a", 3), news("b", 5), news("b", 5)]
    for order in itertools.permutations(told):
        totals = Totals()
        for message in order:
            totals.hear(message, is_here=True)
        assert hits(totals) == 8
        assert hits(totals, without="a") == 5


def test_the_gauges_of_a_process_last_as_long_as_its_last_worker():
    totals = Totals()
    gauge = ["budget", "all", {"retries": 1}]
    for worker in ("w1", "w2"):
        totals.hear(news("a", 1, worker, gauges=[gauge]), is_here=True)
    totals.leave("w1", expected=True, tasks=0, killed=0)
    assert totals.report()["gauges"] == [gauge]
    totals.leave("w2", expected=True, tasks=0, killed=0)
    totals.hear(news("a", 4, "w2", gauges=[gauge]), is_here=False)  # its last words
    assert totals.report()["gauges"] == []
    assert hits(totals) == 4


def test_many_processes_come_and_go(monkeypatch):
    monkeypatch.setattr(_totals, "_KEPT", 3)
    totals = Totals()
    for n in range(10):
        totals.hear(news(f"p{n}", 1, f"w{n}"), is_here=True)
        totals.leave(f"w{n}", expected=True, tasks=0, killed=0)
    totals.hear(news("late", 1, "w"), is_here=False)
    assert hits(totals) == 11
    totals.hear(news("p9", 2, "w9"), is_here=True)  # it is back
    assert hits(totals) == 12
    assert len(totals._counts) == 3


@pytest.mark.parametrize("is_here", [True, False])
def test_m10_who_comes_back_is_counted_once_however_many_go_after_it(monkeypatch, is_here):
    """Back with a worker, or heard of again and again after its last one has left."""
    monkeypatch.setattr(_totals, "_KEPT", 3)
    totals = Totals()
    totals.hear(news("back", 1, "w"), is_here=True)
    totals.leave("w", expected=False, tasks=0, killed=0)
    for n in range(10):
        totals.hear(news("back", 2 + n, "v"), is_here=is_here)
        totals.hear(news(f"p{n}", 1, f"w{n}"), is_here=True)
        totals.leave(f"w{n}", expected=True, tasks=0, killed=0)
    assert hits(totals) == 11 + 10
    assert hits(totals, without="back") == 10


@pytest.mark.parametrize(
    ("expected", "said", "seen"),
    [
        (True, False, {"lost": 0, "retired": 1, "suspicious": 0, "killed": 0}),
        (False, True, {"lost": 0, "retired": 1, "suspicious": 2, "killed": 1}),
        (False, False, {"lost": 1, "retired": 0, "suspicious": 2, "killed": 1}),
    ],
)
def test_how_workers_leave(expected, said, seen):
    totals = Totals()
    totals.expect(["w"] if said else [])
    totals.leave("w", expected=expected, tasks=2, killed=int(not expected))
    assert totals.report()["workers"] == seen


def test_an_address_that_was_expected_to_leave_may_be_lost_the_next_time():
    totals = Totals()
    totals.expect(["w"])
    for _ in range(2):
        totals.leave("w", expected=False, tasks=0, killed=0)
    seen = totals.report()["workers"]
    assert (seen["retired"], seen["lost"]) == (1, 1)


@pytest.mark.parametrize("order", [[3, 5], [5, 3]])
def test_how_a_breaker_stood_last_is_kept_until_others_see_it(order):
    """By the number of its state, in whichever order those who have seen it go."""
    totals, gauges = Totals(), {at: ["breaker", "b", {"at": at}] for at in (3, 5, 6)}
    for at in order:
        totals.hear(news(f"p{at}", 1, f"w{at}", gauges=[gauges[at]]), is_here=True)
    for at in order:
        totals.leave(f"w{at}", expected=True, tasks=0, killed=0)
    assert totals.report()["gauges"] == [gauges[5]]
    totals.hear(news("p6", 1, "w6", gauges=[gauges[6]]), is_here=True)
    assert totals.report()["gauges"] == [gauges[6]]


def test_the_last_word_on_a_quarantine_holds():
    held, released = [["k"], "f(1)", True, 5.0], [["k"], "", False, 6.0]
    for order in ([held, released], [released, held]):
        totals = Totals()
        for told in order:
            totals.hear(news("a", 1, quarantined=[told]), is_here=True)
        assert stats_from(totals.report()).quarantined == {}
        again = {**news("b", 1, quarantined=[[["k"], "f(1)", True, 7.0]])}
        assert stats_from(totals.report(), again).quarantined == {("k",): "f(1)"}


def breaker(state, **at):
    return {
        "functions": {},
        "quarantined": [],
        "gauges": [["breaker", "b", {"state": state, **at}]],
    }


def test_the_newest_state_of_a_breaker_and_else_the_worst():
    told = [breaker("closed", at=2), breaker("open", at=1)]
    assert stats_from(*told).breakers == stats_from(*told[::-1]).breakers == {"b": "closed"}
    told = [breaker("probing"), breaker("open"), breaker("closed")]
    for order in itertools.permutations(told):
        assert stats_from(*order).breakers == {"b": "open"}


@pytest.fixture
def process(monkeypatch):
    monkeypatch.setattr(_stats, "_process", _stats._Process())
    monkeypatch.setattr(_stats, "_gauges", {})


def test_news_are_what_has_changed_and_whole(process):
    _stats.count("f", hits=1)
    _stats.count("g", misses=1)
    seen = _stats.version()
    _stats.count("f", hits=2)
    assert _stats.news(seen)["functions"] == {"f": {"hits": 3}}
    assert _stats.news()["functions"] == {"f": {"hits": 3}, "g": {"misses": 1}}
    assert _stats.news(_stats.version())["functions"] == {}


def test_a_quarantine_is_news_when_it_begins_and_when_it_ends(process):
    _stats.note_quarantined("f(1)", "k")
    begun = _stats.version()
    _stats.note_quarantined("f(1)", "k")
    assert _stats.version() == begun
    _stats.note_released("k")
    assert _stats.version() > begun
    ((key, call, is_held, _),) = _stats.news(begun)["quarantined"]
    assert (key, call, is_held) == (["k"], "", False)


def test_a_field_that_does_not_exist_is_an_error(process):
    with pytest.raises(KeyError):
        _stats.count("f", hit=1)
    with pytest.raises(ValueError, match="breaker"):
        _stats.register_gauge("clock", "x", dict)


class FakeWorker:
    def __init__(self):
        self.heard = []
        closed = SimpleNamespace(closed=lambda: False)
        self.batched_stream = SimpleNamespace(comm=closed)

    def log_event(self, topic, message):
        assert self.batched_stream  # Dask would drop it and say nothing
        self.heard.append((topic, message["functions"], message["gauges"]))


def test_a_worker_tells_only_what_has_changed(process):
    worker = FakeWorker()
    reporter = Reporter(worker)
    reporter.report_all()
    assert worker.heard == []
    _stats.count("f", hits=1)
    reporter.report()
    reporter.report()
    reporter.report_all()
    assert worker.heard == [("persidict", {"f": {"hits": 1}}, [])]
    _stats.register_gauge("budget", "b", lambda: {"retries": 1})
    reporter.report()
    assert len(worker.heard) == 1
    reporter.report_all()
    assert worker.heard[1:] == [("persidict", {}, [["budget", "b", {"retries": 1}]])]


def test_what_could_not_be_sent_is_told_later(process):
    worker = FakeWorker()
    reporter = Reporter(worker)
    _stats.count("f", hits=1)
    stream, worker.batched_stream = worker.batched_stream, None
    reporter.report()
    worker.batched_stream = stream
    reporter.report()
    assert worker.heard == [("persidict", {"f": {"hits": 1}}, [])]


def test_stats_are_a_mapping_that_can_be_read():
    functions = {"a.f": FunctionStats(hits=2, refused=1, deaths=3), "b.g": FunctionStats(hits=3)}
    stats = Stats(functions=functions, quarantined={("k", "1"): "f(\x1b[31m1)"})
    assert dict(stats) == functions
    assert [stats.hits, stats.misses, stats.refused, stats.deaths] == [5, 0, 1, 3]
    assert stats.total.hits == 5
    lines = repr(stats).splitlines()
    assert lines[0] == "<persidict stats: this process only>"
    assert lines[2].split()[:2] == ["function", "hits"]
    assert [line.split()[:2] for line in lines[3:6]] == [["a.f", "2"], ["b.g", "3"], ["total", "5"]]
    assert "k/1" in repr(stats)
    assert "\x1b" not in repr(stats)
    assert json.loads(json.dumps(stats.to_dict()))["quarantined"][0]["key"] == ["k", "1"]


def test_a_table_of_many_rows_is_cut_and_its_total_is_not():
    stats = Stats(functions={f"f{n:03}": FunctionStats(hits=1) for n in range(150)})
    assert "... and 50 more" in repr(stats)
    assert repr(stats).splitlines()[-1].split()[:2] == ["total", "150"]
    assert stats._repr_html_().count("<tr>") == 103


def test_paths_that_nobody_knows_begin_at_the_root():
    assert _compat.http_prefix(object()) == "/"


def test_workers_that_are_restarted_are_not_lost_even_if_they_have_to_be_killed():
    plugin = scheduler_plugin(dashboard=False, prometheus=False)
    scheduler = SimpleNamespace(plugins={}, workers=["w"], tasks={})
    asyncio.run(plugin.start(scheduler))
    plugin.restart(scheduler)
    left = {"action": "remove-worker", "worker": "w", "expected": False, "processing-tasks": []}
    plugin.log_event("all", left)
    plugin.log_event("all", {**left, "worker": "v"})
    seen = plugin.ears.report()["workers"]
    assert (seen["retired"], seen["lost"]) == (1, 1)
