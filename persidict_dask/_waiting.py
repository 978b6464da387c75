"""Waiting in a task that leaves its place on the worker to other tasks."""

from __future__ import annotations

import sys
from typing import Any, Self


class Away:
    """Gives the place of this thread in the pool of its worker away, and takes it back.

    Does nothing outside of tasks, and in a task that has given its place away already.
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
        """Wait for a place to become free, if one was given away."""
        if self._is_away:
            import distributed

            self._is_away = False
            distributed.rejoin()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def current_task() -> str:
    """Name the task of Dask that this thread runs, and its cluster; nothing outside of tasks."""
    state = _task_state()
    if state is None:
        return ""
    worker = state.execution_state["worker"]
    return f"{worker.scheduler.address} {state.key!r}"


def _has_place() -> bool:
    state = _task_state()
    pools: Any = sys.modules.get("distributed.threadpoolexecutor")
    return state is not None and bool(getattr(pools.thread_state, "proceed", False))


def _task_state() -> Any:
    workers: Any = sys.modules.get("distributed.worker")
    state = getattr(workers, "thread_state", None)
    is_task = hasattr(state, "key") and not getattr(state, "actor", False)
    return state if is_task else None
