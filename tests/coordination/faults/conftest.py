"""The store through which processes coordinate."""

import pytest


@pytest.fixture
def store_url(tmp_path):
    """The URL of a store that is empty."""
    return str(tmp_path / "store")
