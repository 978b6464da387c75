"""Every exported name has its place in the API pages."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "docs" / "api"


def documented(package: str) -> set[str]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in API.glob("*.md"))
    return set(re.findall(rf"^::: {package}\.(\w+)$", text, re.MULTILINE))


@pytest.mark.parametrize("package", ["persidict", "persidict_dask"])
def test_every_exported_name_is_documented(package: str) -> None:
    exported = set(importlib.import_module(package).__all__) - {"__version__"}
    assert exported - documented(package) == set()


@pytest.mark.parametrize("package", ["persidict", "persidict_dask"])
def test_every_documented_name_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert {name for name in documented(package) if not hasattr(module, name)} == set()
