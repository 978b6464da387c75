"""A process that increments one counter, and claims keys, and prints how many it got.

`python -m tests.s3.counting URL PREFIX COUNT`
"""

from __future__ import annotations

import sys
from typing import Any

from persidict import BasicS3Dict


def plus_one(current: Any) -> int:
    return current + 1 if isinstance(current, int) else 1


def main(url: str, prefix: str, count: str) -> None:
    where = {"bucket_name": "persidict", "endpoint_url": url}
    d: BasicS3Dict[Any] = BasicS3Dict(**where, root_prefix=prefix)
    claims: BasicS3Dict[Any] = BasicS3Dict(**where, root_prefix=f"{prefix}claims", append_only=True)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(count)):
        d.transform_item("counter", transformer=plus_one, n_retries=None)
    mine = object()
    claimed = 0
    for number in range(int(count)):
        token = f"{id(mine)} {number}"
        claimed += claims.setdefault(str(number), token) is token
    popped = sum(d.pop(("queue", str(number)), None) is not None for number in range(int(count)))
    print(claimed, popped, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
