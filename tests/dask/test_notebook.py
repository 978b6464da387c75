"""The notebook of the flight delays, executed by a real kernel; the second time nothing runs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

HERE = Path(__file__).parents[2] / "examples" / "pipelines" / "flight_delays"


def executed(name):
    notebook = nbformat.read(HERE / name, as_version=4)
    resources = {"metadata": {"path": str(HERE)}}
    NotebookClient(notebook, timeout=200, kernel_name="python3", resources=resources).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell, kind="text/plain"):
    texts = [output.get("text") or output.get("data", {}).get(kind, "") for output in cell.outputs]
    return "".join(texts)


@pytest.mark.timeout(480)
def test_the_second_time_nothing_is_computed(tmp_path, monkeypatch):
    monkeypatch.setenv("FLIGHT_STORE", str(tmp_path / "store"))
    first, second = executed("flight_delays.ipynb"), executed("flight_delays.ipynb")
    assert int(shown(first[-1]).split()[-1]) > 20
    assert shown(second[-1]).strip() == "computed in this notebook: 0"
    for cells in (first, second):
        sources = {cell.source: cell for cell in cells}
        (picture,) = [
            cell for cell in cells if "Image(" in cell.source and "picture" in cell.source
        ]
        assert "image/png" in picture.outputs[-1]["data"]
        stats = shown(sources["share_of_late.stats()"], "text/html")
        assert "<th>hits</th>" in stats
    explained = [
        shown(cell, "text/html") for cell in first if "share_of_late.explain" in cell.source
    ]
    assert "function __main__.is_late" in explained[0]
    assert "global __main__.LATE" in explained[1]
    assert "<code>int 15</code></td><td><code>int 30</code>" in explained[1]
    found = [shown(cell) for cell in second if "share_of_late.explain" in cell.source]
    assert found[1].startswith("hit")
    (kept,) = [shown(cell) for cell in first if "step.clean_flights.explain" in cell.source]
    assert kept.startswith("hit")
    (note,) = [shown(cell) for cell in first if "provenance" in cell.source]
    assert "'function': 'share_of_late'" in note


def test_the_notebook_is_stored_without_outputs():
    notebook = nbformat.read(HERE / "flight_delays.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code"] == [[]] * sum(
        cell.cell_type == "code" for cell in notebook.cells
    )
