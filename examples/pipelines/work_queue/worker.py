"""One worker: drains the queue and ends. The driver starts it, and may kill it at any moment."""

from __future__ import annotations

import sys
from pathlib import Path

from persidict_dask import Counter, WorkQueue

from . import texts

QUEUE, ATTEMPTS = "files", "attempts"
MAX_DELIVERIES = 20  # a file that outlives its workers so often is not what has killed them


def queue_in(store: str) -> WorkQueue:
    """The queue of files; every process makes its own handle."""
    return WorkQueue(store, QUEUE, max_deliveries=MAX_DELIVERIES)


def drain(store: str) -> None:
    """Count the words of files until all are done, also those that others have now."""
    attempts = Counter(store, ATTEMPTS)
    for claim in queue_in(store).drain():
        attempts.add()
        with claim:
            claim.done(texts.count_words(Path(claim.item)))


if __name__ == "__main__":
    drain(sys.argv[1])
