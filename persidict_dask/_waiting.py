"""Waiting in a task that leaves its place on the worker to other tasks."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple, Self

from persidict_dask._where import running_worker

_PATIENCE = 10.0  # seconds


class Away:
    """Gives the place of this thread in the pool of its worker away, and asks for one after.

    Does nothing outside of tasks, and in a task that has given its place away already. The task
    that has got the place may wait for something that this one holds: so after ten seconds this
    one takes a place that is one too many, until some task of the pool ends.
    """

    def __init__(self) -> None:
        self._is_away = self._was_extra = False

    def begin(self) -> None:
        """Let another task run in place of this one."""
        if not self._is_away and _has_place():
            import distributed

            self._was_extra = _is_extra()
            distributed.secede()  # type: ignore[no-untyped-call]
            self._is_away = True

    def end(self, *, waits: bool = True) -> None:
        """Have a place again, if one was given away; wait a while for one to become free."""
        if self._is_away:
            self._is_away = False
            if self._was_extra or not waits or not _has_rejoined(_PATIENCE):
                _take_place()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def step_aside() -> None:
    """Give the place of this coroutine on its worker to another task, for as long as it runs.

    For threads there is `Away`. Does nothing outside of tasks, and after the first time.
    """
    worker, key = running_worker(), _key_of_coroutine()
    if worker is None:
        return
    with suppress(AttributeError):
        for task in list(worker.state.executing):
            if key == repr(task.key):
                _secede(worker, task)


def _secede(worker: Any, task: Any) -> None:
    from distributed.worker_state_machine import SecedeEvent

    taken = time.time() - (task.start_time or time.time())
    left = SecedeEvent(key=task.key, compute_duration=taken, stimulus_id=f"secede-{time.time()}")
    worker.loop.add_callback(worker.handle_stimulus, left)


def current_task() -> str:
    """Name the task of Dask that this thread runs, and its cluster; nothing outside of tasks."""
    state = _task_state()
    if state is None:
        return ""
    task = f"{state.execution_state['worker'].scheduler.address} {state.key!r}"
    return task if is_shared(task) else ""


def is_shared(task: str) -> bool:
    """True if the address of its scheduler means the same on all hosts."""
    return task.startswith(("tcp://", "tls://")) and "//127." not in task


class Here(NamedTuple):
    """The task of Dask that runs in this thread or coroutine, and its worker; else nothing.

    The name of a task may mean another one on another host.
    """

    task: str = ""
    worker: str = ""

    @classmethod
    def now(cls) -> Here:
        """Look where this runs."""
        worker = running_worker()
        if worker is None:
            return cls()
        key = _key_here(worker)
        return cls(f"{worker.scheduler.address} {key}" if key else "", str(worker.address))


def _key_here(worker: Any) -> str:
    try:
        return repr(worker.get_current_task())
    except LookupError:
        return _key_of_coroutine()


def _key_of_coroutine() -> str:
    """Its worker runs it under the name `execute(key)`; what it starts itself has other names."""
    try:
        running = asyncio.current_task()
    except RuntimeError:  # a thread
        return ""
    name = running.get_name() if running is not None else ""
    return name[len("execute(") : -1] if name.startswith("execute(") else ""


def _has_rejoined(patience: float) -> bool:
    """Do what `distributed.rejoin` does, but not for ever; `False` if no place became free."""
    from distributed.threadpoolexecutor import thread_state

    pool, me = thread_state.executor, (threading.current_thread(), threading.Event())
    with pool._rejoin_lock:
        pool._rejoin_list.append(me)
    with suppress(RuntimeError):  # the worker closes
        pool.submit(lambda: None)
    if not me[1].wait(patience):
        with pool._rejoin_lock:
            if me in pool._rejoin_list:
                pool._rejoin_list.remove(me)
                return False
    thread_state.proceed = True
    return True


_extra = threading.local()
"""The task of this thread that has taken a place more than there were."""


def _is_extra() -> bool:
    return bool(getattr(_extra, "task", None) == _task_state().key)


def _take_place() -> None:
    """Be one of the threads of the pool again, though it is full: `secede()` wants that.

    One of them leaves for it as soon as it has nothing to do.
    """
    from distributed.threadpoolexecutor import thread_state, threads_lock

    pool = thread_state.executor
    with threads_lock:  # which a pool that is shut down holds while it looks at its threads
        pool._threads.add(threading.current_thread())
    thread_state.proceed, _extra.task = True, _task_state().key
    with suppress(RuntimeError):  # the worker closes
        pool.submit(_leave_if_crowded)


def _leave_if_crowded() -> None:
    """Let this idle thread leave its pool, if there are more than there shall be."""
    from distributed.threadpoolexecutor import thread_state

    pool = thread_state.executor
    with pool._rejoin_lock:  # while threads take turns, there is one more for a moment
        if len(pool._threads) > pool._max_workers:
            thread_state.proceed = False
            pool._threads.discard(threading.current_thread())
    pool._adjust_thread_count()  # another may have seceded meanwhile


def _has_place() -> bool:
    state = _task_state()
    pools: Any = sys.modules.get("distributed.threadpoolexecutor")
    return state is not None and bool(getattr(pools.thread_state, "proceed", False))


def _task_state() -> Any:
    workers: Any = sys.modules.get("distributed.worker")
    state = getattr(workers, "thread_state", None)
    is_task = hasattr(state, "key") and not getattr(state, "actor", False)
    return state if is_task else None
