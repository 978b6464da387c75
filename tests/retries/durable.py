"""Functions that fail and die as planned, and write down each run; for processes and clusters."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any

import tenacity

from persidict_dask import RetryPolicy, persist

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def told(log: str, kind: str) -> list[dict[str, Any]]:
    """Return what was written down of one kind: begins, or ends, of runs."""
    if not os.path.exists(log):
        return []
    with open(log, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    return [line for line in lines if line["kind"] == kind]


def _tell(log: str, kind: str) -> None:
    line = json.dumps({"kind": kind, "pid": os.getpid(), "at": time.clock_gettime(_CLOCK)})
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line.encode() + b"\n")
    os.close(file)


def _begun(log: str, plan: str) -> str:
    """Note that a run begins, and return what it does in the end."""
    number = len(told(log, "begins"))
    _tell(log, "begins")
    return plan.split()[number]


def _ended(log: str, act: str) -> str:
    number = len(told(log, "begins"))
    _tell(log, "ends")
    if act == "fails":
        raise OSError(f"attempt {number}")
    if act == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "exits":
        os._exit(1)
    if act == "reschedules":
        from distributed import Reschedule

        raise Reschedule
    return f"attempt {number}"


def _is_on(log: str) -> bool:
    """True until somebody says that a run which waits shall go on."""
    return not os.path.exists(f"{log}.go")


def work(log: str, plan: str) -> str:
    """Do in each run what the plan says: "fails", "dies", "exits", "waits", "returns"."""
    act = _begun(log, plan)
    while act == "waits" and _is_on(log):
        time.sleep(0.005)
    return _ended(log, act)


async def work_later(log: str, plan: str) -> str:
    """Do the same in a coroutine."""
    act = _begun(log, plan)
    while act == "waits" and _is_on(log):
        await asyncio.sleep(0.005)
    return _ended(log, act)


def policy(state: Any, **settings: Any) -> RetryPolicy:
    """Return a policy of five attempts, whatever dies under them."""
    usual = {"attempts": 5, "poison_after": 10, "wait": tenacity.wait_fixed(0.2)}
    return RetryPolicy(**(usual | settings), state=state)


def sync(given: RetryPolicy, log: str, plan: str) -> str:
    """Call the function."""
    return given.call(work, log, plan)


async def later(given: RetryPolicy, log: str, plan: str) -> str:
    """Call the coroutine function."""
    return await given.call_async(work_later, log, plan)


def in_loop(given: RetryPolicy, log: str, plan: str) -> str:
    """Call it in a loop of its own."""
    return asyncio.run(later(given, log, plan))


def persisted(given: RetryPolicy, log: str, plan: str) -> str:
    """Call a persisted function."""
    return persist(given.state, retry=given)(work)(log, plan)


def answer(way: Any, given: RetryPolicy, log: str, plan: str) -> list[Any]:
    """Return what a call has come to, as JSON can tell it."""
    try:
        return ["returned", way(given, log, plan)]
    except Exception as error:
        return [type(error).__name__, str(error), *getattr(error, "__notes__", [])]
