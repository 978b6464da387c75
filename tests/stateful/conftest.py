"""Spares the random tests the waiting for the disk."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a power failure leaves behind is tested elsewhere; here are thousands of small writes.
    monkeypatch.setattr("os.fsync", lambda fd: None)
