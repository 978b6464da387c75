"""A process that increments one counter, and notes each value that it was told.

`python -m tests.histories.counting FOLDER LOG COUNT PARAMS`
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from persidict import FileDirDict, LockTimeoutError

KEY = "counter"


def plus_one(current: Any) -> int:
    return current + 1 if isinstance(current, int) else 1


def main(folder: str, log: str, count: str, params: str) -> None:
    d = FileDirDict(base_dir=folder, **json.loads(params))
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    print("ready", flush=True)
    sys.stdin.readline()
    done = 0
    while done < int(count):
        try:
            result = d.transform_item(KEY, transformer=plus_one, n_retries=None)
        except LockTimeoutError:
            continue  # somebody is stopped inside of the lock; nothing was changed
        os.write(file, f"{result.new_value}\n".encode())
        done += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
