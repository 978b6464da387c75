"""A process that reads and writes through a cache which others share, and writes all of it down.

`python -m tests.s3.cache_worker URL PREFIX CACHE LOG NUMBER OPERATIONS SEED`

Each thread is the only writer of a key of its own and reads all keys. Values return, so that etags
return with them.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import Any

from persidict import S3Dict

THREADS = 2
VALUES = ["a", "b" * 100, "c" * 5000, ""]


class Thread:
    """One thread and its log: a line before each operation, and one after it."""

    def __init__(self, d: S3Dict[Any], log: str, name: str, keys: list[str], seed: str) -> None:
        self.d, self.key, self.keys = d, name, keys
        self.log = os.open(f"{log}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.random = random.Random(seed)

    def note(self, *line: Any) -> None:
        os.write(self.log, json.dumps([time.monotonic_ns(), *line]).encode() + b"\n")

    def run(self, operations: int) -> None:
        for _ in range(operations):
            act = self.random.choices([self.write, self.read, self.read_all], [3, 6, 0.3])[0]
            act()

    def write(self) -> None:
        value = self.random.choice(VALUES)
        self.note("write", self.key, value)
        self.d[self.key] = value
        self.note("done")

    def read(self) -> None:
        key = self.random.choice(self.keys)
        self.note("read")
        self.note("got", {key: self.d.get(key)})

    def read_all(self) -> None:
        self.note("read")
        self.note("got", {key[0]: value for key, value in self.d.items()})


def main(url: str, prefix: str, cache: str, log: str, number: str, count: str, seed: str) -> None:
    d: S3Dict[Any] = S3Dict(
        bucket_name="persidict", root_prefix=prefix, endpoint_url=url, base_dir=cache
    )
    keys = [f"{process}-{thread}" for process in range(3) for thread in range(THREADS)]
    mine = [key for key in keys if key.startswith(f"{number}-")]
    threads = [Thread(d, log, key, keys, f"{seed} {key} {os.getpid()}") for key in mine]
    print("ready", flush=True)
    running = [threading.Thread(target=t.run, args=(int(count) // THREADS,)) for t in threads]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
