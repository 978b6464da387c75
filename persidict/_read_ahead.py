"""Several slow reads at once, in order, with bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def read_ahead(
    read: Callable[[T], R],
    wanted: Iterable[tuple[T, int]],
    *,
    threads: int,
    most_bytes: int,
) -> Iterator[R]:
    """Yield `read(each)` in order, some of them read ahead by threads.

    Args:
        read: called in threads, in the context of the caller.
        wanted: arguments of `read`, with the bytes that each result is expected to take.
        threads: of which twice as many results are read ahead at most,
        most_bytes: and never more than that, but for a single result that is larger.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="persidict-read") as pool:
        ahead: deque[tuple[Future[R], int]] = deque()
        taken = 0
        try:
            for each, size in wanted:
                while ahead and (len(ahead) >= 2 * threads or taken + size > most_bytes):
                    first, its_size = ahead.popleft()
                    yield first.result()
                    taken -= its_size
                ahead.append((pool.submit(copy_context().run, read, each), size))
                taken += size
            while ahead:
                yield ahead.popleft()[0].result()
        finally:
            for waiting, _ in ahead:  # the caller has had enough
                waiting.cancel()
