"""Waiting in a task that leaves its place on the worker to other tasks."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any, NamedTuple, Self

_PATIENCE = 10.0  # seconds


class Away:
    """Gives the place of this thread in the pool of its worker away, and asks for one after.

    Does nothing outside of tasks, and in a task that has given its place away already. The task
    that has got the place may wait for something that this one holds: so after ten seconds this
    one goes on without a place.
    """

    def __init__(self) -> None:
        self._is_away = False

    def begin(self) -> None:
        """Let another task run in place of this one."""
        if not self._is_away and _has_place():
            import distributed

            distributed.secede()  # type: ignore[no-untyped-call]
            self._is_away = True

    def end(self) -> None:
        """Wait for a place to become free, if one was given away, for a while."""
        if self._is_away:
            self._is_away = False
            _rejoin(_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def current_task() -> str:
    """Name the task of Dask that this thread runs, and its cluster; nothing outside of tasks."""
    state = _task_state()
    if state is None:
        return ""
    scheduler = state.execution_state["worker"].scheduler.address
    # an address that means another machine on each machine names no cluster
    is_shared = scheduler.startswith(("tcp://", "tls://")) and "//127." not in scheduler
    return f"{scheduler} {state.key!r}" if is_shared else ""


class Here(NamedTuple):
    """The task of Dask that runs in this thread or coroutine, and its worker; else nothing.

    The name of a task may mean another one on another host.
    """

    task: str = ""
    worker: str = ""

    @classmethod
    def now(cls) -> Here:
        """Look where this runs."""
        workers: Any = sys.modules.get("distributed.worker")
        if workers is None:
            return cls()
        try:
            worker = workers.get_worker()
            return cls(f"{worker.scheduler.address} {_key_here(worker)}", str(worker.address))
        except (ValueError, LookupError):
            return cls()


def _key_here(worker: Any) -> str:
    try:
        return repr(worker.get_current_task())
    except LookupError:  # a coroutine: its worker runs it under the name of `execute(key)`
        running = asyncio.current_task()
        return running.get_name() if running is not None else ""


def _rejoin(patience: float) -> None:
    """Do what `distributed.rejoin` does, but not for ever."""
    from distributed.threadpoolexecutor import thread_state

    pool, me = thread_state.executor, (threading.current_thread(), threading.Event())
    with pool._rejoin_lock:
        pool._rejoin_list.append(me)
    pool.submit(lambda: None)
    if not me[1].wait(patience):
        with pool._rejoin_lock:
            if me in pool._rejoin_list:
                pool._rejoin_list.remove(me)
                return
    thread_state.proceed = True


def _has_place() -> bool:
    state = _task_state()
    pools: Any = sys.modules.get("distributed.threadpoolexecutor")
    return state is not None and bool(getattr(pools.thread_state, "proceed", False))


def _task_state() -> Any:
    workers: Any = sys.modules.get("distributed.worker")
    state = getattr(workers, "thread_state", None)
    is_task = hasattr(state, "key") and not getattr(state, "actor", False)
    return state if is_task else None
