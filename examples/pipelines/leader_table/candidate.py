"""One candidate: waits to lead, appends rows while it leads, stands down when it is refused.

It says what happens as lines of JSON. The driver starts it, and may stop it at any moment.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from persidict import FileDirDict
from persidict_dask import Lease, LeaseLost, StaleTokenError, fenced_set

LEASE, TABLE = "leader", "table"
TTL = 1.5  # seconds
PAUSE = 0.1  # seconds between two rows


def compete(store: FileDirDict[Any], name: str) -> None:
    """Lead again and again; ends when the process does."""
    lease = Lease(store, LEASE, ttl=TTL)
    while True:
        try:
            with lease:
                lead(store, name, lease.token)
        except StaleTokenError as error:
            say(name, "refused", token=error.token, newest=error.newest)
        except LeaseLost:
            say(name, "lost")


def lead(store: FileDirDict[Any], name: str, token: int) -> None:
    """Append rows for as long as nobody with a higher token has written.

    Whether the lease is still held is not asked: the answer could be outdated before the row is
    written. The token cannot.
    """
    say(name, "leads", token=token)
    while True:
        rows = store.get(TABLE, [])
        row = {"number": len(rows), "leader": name, "token": token}
        fenced_set(store, TABLE, [*rows, row], token=token)
        say(name, "wrote", token=token, number=row["number"])
        time.sleep(PAUSE)


def say(name: str, event: str, **more: Any) -> None:
    print(json.dumps({"name": name, "event": event} | more), flush=True)


if __name__ == "__main__":
    compete(FileDirDict(base_dir=sys.argv[1]), sys.argv[2])
