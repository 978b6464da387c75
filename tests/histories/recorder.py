"""Clients that do random things to a folder, each a thread of a process, and write all of it down.

`python -m tests.histories.recorder FOLDER LOGS PROCESS THREADS OPERATIONS SEED PARAMS`
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    ITEM_NOT_AVAILABLE,
    VALUE_NOT_RETRIEVED,
    ConcurrencyConflictError,
    FileDirDict,
    MutationPolicyError,
)
from tests.histories.checker import OPEN, UNREAD, Op

KEYS = ("x", "y", "z")
CONDITIONS = {"same": ETAG_IS_THE_SAME, "changed": ETAG_HAS_CHANGED, "any": ANY_ETAG}
KINDS = """get get in set set set_if set_if set_if set_if get_if setdefault setdefault_if discard_if
discard_if del pop discard transform transform""".split()
INSERTING = "get in insert insert insert setdefault setdefault_if get_if".split()


class Client:
    """One thread with a history of its own."""

    now = staticmethod(time.monotonic_ns)

    def __init__(self, d: Any, name: str, log: int, seed: str) -> None:
        self.d, self.name, self.log = d, name, log
        self.random = random.Random(seed)
        self.seen: dict[str, str | None] = dict.fromkeys(KEYS)

    def run(self, operations: int) -> None:
        kinds = INSERTING if self.d.append_only else KINDS
        for index in range(operations):
            key, kind = self.random.choice(KEYS), self.random.choice(kinds)
            if self.d.append_only:
                key += str(index // 10)
            self.step(f"{self.name}-{index}", kind, key)

    def step(self, value: str, kind: str, key: str) -> None:
        condition = self.random.choices(["same", "changed", "any"], [6, 2, 1])[0]
        expected = self.seen.get(key) if self.random.random() < 0.9 else None
        written = None if kind in ("discard_if", "del", "discard", "pop", "get", "in") else value
        asked = [kind, key, written, condition, expected]
        self.write([*asked, self.now()])
        result = ACTS[kind](self.d, key, value, CONDITIONS[condition], etag(expected))
        if hasattr(result, "actual_etag"):
            result = told(result)
            self.seen[key] = result[2]
        self.write([self.now(), result])

    def write(self, line: list[Any]) -> None:
        os.write(self.log, json.dumps(line).encode() + b"\n")


def etag(expected: str | None) -> Any:
    return ITEM_NOT_AVAILABLE if expected is None else expected


def plain(value: Any) -> Any:
    if value is VALUE_NOT_RETRIEVED:
        return UNREAD
    return None if value is ITEM_NOT_AVAILABLE else value


def told(result: Any) -> list[Any]:
    return [
        result.condition_was_satisfied,
        plain(result.actual_etag),
        plain(result.resulting_etag),
        plain(result.new_value),
    ]


def deleted(d: Any, key: str) -> bool:
    try:
        del d[key]
    except KeyError:
        return False
    return True


def inserted(d: Any, key: str, value: str) -> bool:
    try:
        d[key] = value
    except MutationPolicyError:
        return False
    return True


def transformed(d: Any, key: str, value: str) -> Any:
    given = []

    def transformer(current: Any) -> str:
        given.append(plain(current))
        return value

    d.transform_item(key, transformer=transformer, n_retries=None)
    return given[-1]


def popped(d: Any, key: str) -> Any:
    """Pop for as long as it takes: a conflict says that nothing has happened."""
    while True:
        try:
            return d.pop(key, None)
        except ConcurrencyConflictError:
            continue


ALL = {"retrieve_value": ALWAYS_RETRIEVE}
ACTS: dict[str, Callable[[Any, str, str, Any, Any], Any]] = {
    "get": lambda d, k, v, c, e: d.get(k),
    "in": lambda d, k, v, c, e: k in d,
    "set": lambda d, k, v, c, e: d.__setitem__(k, v),
    "set_if": lambda d, k, v, c, e: d.set_item_if(k, value=v, condition=c, expected_etag=e, **ALL),
    "get_if": lambda d, k, v, c, e: d.get_item_if(k, condition=c, expected_etag=e, **ALL),
    "setdefault": lambda d, k, v, c, e: d.setdefault(k, v),
    "setdefault_if": lambda d, k, v, c, e: d.setdefault_if(
        k, default_value=v, condition=c, expected_etag=e, **ALL
    ),
    "discard_if": lambda d, k, v, c, e: d.discard_item_if(k, condition=c, expected_etag=e),
    "del": lambda d, k, v, c, e: deleted(d, k),
    "discard": lambda d, k, v, c, e: d.discard(k),
    "pop": lambda d, k, v, c, e: popped(d, k),
    "insert": lambda d, k, v, c, e: inserted(d, k, v),
    "transform": lambda d, k, v, c, e: transformed(d, k, v),
}


def read_back(logs: Path) -> list[Op]:
    """Return all histories; the last operation of a killed client is open."""
    ops = []
    for log in logs.iterdir():
        lines = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
        answers = [*lines[1::2], [OPEN, None]]
        for (kind, key, value, condition, expected, start), (end, result) in zip(
            lines[::2], answers, strict=False
        ):
            ops.append(Op(kind, key, value, condition, expected, start, end, result))
    return ops


def main(folder: str, logs: str, process: str, threads: str, count: str, seed: str, params: str):
    d = FileDirDict(base_dir=folder, **json.loads(params))
    clients = []
    for thread in range(int(threads)):
        name = f"{process}.{thread}"
        log = os.open(f"{logs}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        clients.append(Client(d, name, log, f"{seed} {name}"))
    running = [threading.Thread(target=client.run, args=(int(count),)) for client in clients]
    print("ready", flush=True)
    sys.stdin.readline()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
