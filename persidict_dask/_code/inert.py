"""Globals that serve code without being data of it: of these only the type counts."""

from __future__ import annotations

import functools
import sys
from typing import Any, Final

_INERT: Final = frozenset(
    {
        "_thread.lock",
        "_thread.RLock",
        "_thread._local",
        "_contextvars.ContextVar",
        "asyncio.events.AbstractEventLoop",
        "asyncio.locks.Condition",
        "asyncio.locks.Event",
        "asyncio.locks.Lock",
        "asyncio.locks.Semaphore",
        "asyncio.queues.Queue",
        "boto3.resources.base.ServiceResource",
        "boto3.session.Session",
        "botocore.client.BaseClient",
        "botocore.session.Session",
        "concurrent.futures._base.Executor",
        "logging.Filter",
        "logging.Filterer",
        "logging.Formatter",
        "logging.LoggerAdapter",
        "loguru._logger.Logger",
        "multiprocessing.context.BaseContext",
        "multiprocessing.pool.Pool",
        "multiprocessing.queues.Queue",
        "multiprocessing.synchronize.Condition",
        "multiprocessing.synchronize.Event",
        "multiprocessing.synchronize.SemLock",
        "prometheus_client.metrics.MetricWrapperBase",
        "queue.Queue",
        "_queue.SimpleQueue",
        "rich.console.Console",
        "rich.progress.Progress",
        "structlog._config.BoundLoggerLazyProxy",
        "structlog._base.BoundLoggerBase",
        "threading.Barrier",
        "threading.Condition",
        "threading.Event",
        "threading.Semaphore",
        "threading.Thread",
        "tqdm.std.tqdm",
        "weakref.WeakKeyDictionary",
        "weakref.WeakValueDictionary",
        "_weakrefset.WeakSet",
    }
)
_STREAMS: Final = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")


def is_inert(obj: Any) -> bool:
    """True for locks, loggers, executors, clients and the like, and for the standard streams."""
    cls: Any = type(obj)
    return _is_inert_class(cls) or any(obj is getattr(sys, name, None) for name in _STREAMS)


@functools.lru_cache(maxsize=4096)
def _is_inert_class(cls: Any) -> bool:
    return any(f"{base.__module__}.{base.__qualname__}" in _INERT for base in cls.__mro__)
