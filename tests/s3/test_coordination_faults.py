"""What holds in folders when processes are killed and stopped holds in buckets too."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.coordination.faults.test_barriers import test_one_that_is_killed_while_it_waits
from tests.coordination.faults.test_dead_holders import (
    test_a_holder_of_another_host_that_is_dead,
    test_a_process_of_the_same_host,
)
from tests.coordination.faults.test_fences import test_a_holder_that_was_stopped
from tests.coordination.faults.test_lease_histories import (
    test_holders_that_are_killed_and_stopped,
    test_semaphores,
)
from tests.coordination.faults.test_queue_histories import (
    test_an_item_that_kills,
    test_workers_that_are_killed_while_they_work,
)

from .conftest import Place

__all__ = [
    "test_a_holder_of_another_host_that_is_dead",
    "test_a_holder_that_was_stopped",
    "test_a_process_of_the_same_host",
    "test_an_item_that_kills",
    "test_holders_that_are_killed_and_stopped",
    "test_one_that_is_killed_while_it_waits",
    "test_semaphores",
    "test_workers_that_are_killed_while_they_work",
]


@pytest.fixture
def store_url(shared: Place) -> str:
    """The URL of an empty part of a bucket."""
    return f"s3://{shared.bucket}/{shared.prefix}?endpoint_url={quote(str(shared.url))}&region=us-east-1"
