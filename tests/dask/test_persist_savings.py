"""The time that hits have saved is known in sessions that only load, and is never negative."""

from __future__ import annotations

import uuid

import pytest

from persidict_dask import open_store, persist, process_stats, stats

FIRST = """
    import time
    from persidict_dask import persist, process_stats, stats

    @persist("{cache}")
    def f(x):
        time.sleep(0.2)
        return x

    if __name__ == "__main__":
        [f(x) for x in range(5)]
"""
SECOND = """
        assert process_stats()["__main__.f"].misses == 0
        saved = [f.stats().seconds_saved, process_stats()["__main__.f"].seconds_saved,
                 stats()["__main__.f"].seconds_saved]
        print(*(0.5 < one < 5 for one in saved), stats()["__main__.f"].notes)
"""
CLUSTER = """
        from distributed import Client, LocalCluster
        from persidict_dask import install

        with LocalCluster(n_workers=2, dashboard_address=None) as c, Client(c) as client:
            install(client, dashboard=False)
            client.gather(client.map(f, range(5), pure=False))
            until = time.monotonic() + 60
            while stats(client)["__main__.f"].seconds_saved < 0.5 and time.monotonic() < until:
                time.sleep(0.05)
            told = stats(client)["__main__.f"]
            print(told.misses, 0.5 < told.seconds_saved < 5, told.notes <= 9)
"""


def test_r8_a_second_session_knows_what_it_has_saved(new_project):
    """From a few notes, whichever way it is asked."""
    project = new_project()
    project.write("script.py", FIRST)
    project.run("script.py")
    project.write("script.py", FIRST + SECOND)
    assert project.run("script.py") == "True True True 3"


def test_r8_a_cluster_knows_what_its_workers_have_saved(new_project):
    """Its workers have loaded everything, and the client nothing before."""
    project = new_project()
    project.write("script.py", FIRST)
    project.run("script.py")
    cluster = FIRST.replace("[f(x) for x in range(5)]", "pass") + CLUSTER
    project.write("script.py", cluster)
    assert project.run("script.py") == "0 True True"


@pytest.mark.parametrize("has_notes", [True, False])
def test_r8_nothing_is_saved_by_what_takes_longer_to_load(tmp_path, has_notes):
    """Never less than nothing; with notes or without, in this session or the next."""
    name = f"f{uuid.uuid4().hex}"
    store = open_store(tmp_path)
    f = persist(store, name=name)(lambda x: x)
    [f(x) for x in range(3) for _ in range(2)]
    if not has_notes:
        for note in tmp_path.rglob("*.provenance"):
            note.unlink()
    assert f.stats().seconds_saved >= 0
    assert process_stats()[name].seconds_saved >= 0
    assert stats()[name].seconds_saved >= 0
    assert stats().total.seconds_saved >= 0


def test_r8_hits_read_no_notes(tmp_path, monkeypatch):
    """They are read when figures are asked for, a few of them, once."""
    name = f"f{uuid.uuid4().hex}"
    g = persist(open_store(tmp_path), name=name, version="1")(lambda x: x)
    read = []
    monkeypatch.setattr(g._results, "note_or_none", lambda key: read.append(key) or {"seconds": 2})
    for x in range(10):
        g.store[g.key_of(x)] = x
        g(x), g(x)
    assert read == []
    assert 3 * 2 < g.stats().seconds_saved <= 20 * 2
    g.stats(), process_stats(), stats()
    assert len(read) == 3
