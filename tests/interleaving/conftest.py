"""Gives every test its storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conformance.backends import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a power failure leaves behind is tested elsewhere; here are thousands of small writes.
    monkeypatch.setattr("os.fsync", lambda fd: None)
