"""The page, its JSON and the metrics, over HTTP as anybody gets them."""

from __future__ import annotations

import json

import pytest
from distributed import Client
from prometheus_client.parser import text_string_to_metric_families

from persidict_dask import _stats, install, stats
from tests.cluster.conftest import cluster, counting, get, run

BAD = '<script>"&x</script>\n\\'


@pytest.fixture(scope="module")
def threads():
    """A cluster of this process."""
    with cluster(processes=False) as made, Client(made) as client:
        yield client


@pytest.fixture
def page(threads):
    installed = install(threads)
    yield installed.page
    installed.uninstall()


def metrics(page):
    """Return the samples of ours by name and labels."""
    _, _, text = get(page.replace("/persidict", "/metrics"))
    families = [f for f in text_string_to_metric_families(text) if f.name.startswith("dask_pers")]
    return {(s.name, *s.labels.values()): s.value for f in families for s in f.samples}


def test_the_page_and_its_json(threads, page):
    run(threads, "lib.page")
    status, kind, text = get(page)
    assert (status, kind) == (200, "text/html; charset=utf-8")
    assert "<td>lib.page</td><td>0</td><td>8</td>" in text
    status, kind, text = get(f"{page}/stats.json")
    assert (status, kind) == (200, "application/json; charset=utf-8")
    assert json.loads(text) == stats(threads).to_dict()
    assert json.loads(text)["functions"]["lib.page"]["attempts"] == 16


def test_the_metrics(threads, page):
    run(threads, "lib.m")
    found = metrics(page)
    assert found["dask_persidict_misses_total", "lib.m"] == 8
    assert found["dask_persidict_attempts_total", "lib.m"] == 16
    assert found["dask_persidict_waiting_seconds_total", "lib.m"] == 2
    assert found["dask_persidict_workers_lost_total",] == 0


def test_what_others_have_named_stays_text(threads, page):
    _stats.register_gauge("breaker", BAD, lambda: {"state": BAD})
    _stats.register_gauge("budget", BAD, lambda: {BAD: 1})
    _stats.note_quarantined(BAD, (BAD,))
    threads.submit(counting, BAD, pure=False).result()
    _, _, text = get(page)
    assert "<script" not in text
    assert text.count("&lt;script&gt;&quot;&amp;x&lt;/script&gt;") == 7
    html = stats(threads)._repr_html_()
    assert "<script" not in html
    assert "lib" not in html
    assert BAD in json.loads(get(f"{page}/stats.json")[2])["functions"]
    assert metrics(page)["dask_persidict_misses_total", BAD] == 1
    assert metrics(page)["dask_persidict_budget", BAD, BAD] == 1


def test_gauges_in_metrics(threads, page):
    for n, state in enumerate(["closed", "probing", "open"]):
        _stats.register_gauge("breaker", f"b{n}", lambda state=state: {"state": state})
    _stats.register_gauge("breaker", "other", lambda: {"state": "unheard of"})
    _stats.register_gauge("budget", "all", lambda: {"retries": 3, "calls": 40})
    _stats.note_quarantined("f(1)", "key")
    threads.submit(counting, "lib.g", pure=False).result()
    found = metrics(page)
    assert [found["dask_persidict_breaker", f"b{n}"] for n in range(3)] == [0, 1, 2]
    assert ("dask_persidict_breaker", "other") not in found
    assert found["dask_persidict_budget", "all", "retries"] == 3
    assert found["dask_persidict_quarantined",] == 1


def test_pages_and_metrics_come_and_go(threads):
    first = install(threads)
    page = first.page
    assert get(page)[0] == get(f"{page}/stats.json")[0] == 200
    without = install(threads, dashboard=False, prometheus=False)
    assert without.page == ""
    assert get(page)[0] == get(f"{page}/stats.json")[0] == 404
    assert metrics(page) == {}
    again = install(threads)
    assert get(page)[0] == 200
    assert metrics(page) != {}
    again.uninstall()
    assert get(page)[0] == get(f"{page}/stats.json")[0] == 404
    assert metrics(page) == {}


def test_the_page_is_added_once_and_nothing_of_dask_is_in_the_way(threads, page):
    def routes(dask_scheduler):
        application = dask_scheduler.http_application
        return sum("persidict" in str(rule.target.rules) for rule in of(application.default_router))

    def of(router):
        return [rule for rule in router.rules if hasattr(rule.target, "rules")]

    before = threads.run_on_scheduler(routes)
    install(threads)
    assert threads.run_on_scheduler(routes) == before == 1
    assert get(page.replace("/persidict", "/health"))[0] == 200
    assert get(page.replace("/persidict", "/status"))[0] == 200


def heard(misses, dask_scheduler=None):
    counts = {"lib.two": {"misses": misses}}
    news = {"process": "x", "functions": counts, "quarantined": [], "gauges": [], "worker": "x"}
    dask_scheduler.plugins["persidict"].ears.totals.hear(news, is_here=False)


def test_two_schedulers_of_one_process_show_their_own(threads, page):
    with cluster(n_workers=0, processes=False) as made, Client(made) as other:
        second = install(other)
        threads.run_on_scheduler(heard, 1)
        other.run_on_scheduler(heard, 2)
        for _ in range(2):
            assert metrics(page)["dask_persidict_misses_total", "lib.two"] == 1
            assert metrics(second.page)["dask_persidict_misses_total", "lib.two"] == 2
    assert metrics(page)["dask_persidict_misses_total", "lib.two"] == 1


def test_a_prefix_of_the_paths():
    settings = {"scheduler_kwargs": {"http_prefix": "/a/b"}}
    with cluster(n_workers=0, processes=False, **settings) as made, Client(made) as client:
        page = install(client).page.replace("/persidict", "/a/b/persidict")
        assert get(page)[0] == get(f"{page}/stats.json")[0] == 200
        assert get(page.replace("/a/b", ""))[0] == 404


WITHOUT_PROMETHEUS = """
import sys, urllib.request
sys.modules["prometheus_client"] = None
from distributed import Client, LocalCluster
from persidict_dask import install, stats
if __name__ == "__main__":
    settings = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        page = install(client).page
        print(urllib.request.urlopen(page).status, stats(client).is_cluster)
        print(urllib.request.urlopen(page.replace("/persidict", "/metrics")).read().decode())
"""


def test_without_prometheus(python):
    lines = python(WITHOUT_PROMETHEUS).splitlines()
    assert lines[0] == "200 True"
    assert "not available" in lines[1]


def test_what_is_installed_shows_itself(threads, tmp_path):
    installed = install(threads, stores={"<b>": str(tmp_path)})
    assert "<b>" in repr(installed)
    assert installed.page in repr(installed)
    assert f'href="{installed.page}"' in installed._repr_html_()
    assert "<li>&lt;b&gt;</li>" in installed._repr_html_()
    assert threads.dashboard_link.replace("status", "persidict") == installed.page
    installed.uninstall()


def test_a_cluster_without_a_dashboard():
    def without_http(dask_scheduler):
        del dask_scheduler.http_application

    with cluster(n_workers=0, processes=False) as made, Client(made) as client:
        client.run_on_scheduler(without_http)
        installed = install(client)
        assert stats(client).is_cluster
        installed.uninstall()
