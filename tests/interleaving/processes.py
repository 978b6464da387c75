"""Runs one function in several processes at once, and collects what they return."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from typing import Any

# The function and the storage need not be picklable: they are inherited.
CONTEXT = multiprocessing.get_context("fork")


def in_processes(work: Callable[[int], Any], number: int = 8) -> list[Any]:
    """Return the results of `work(0)`, ..., which all begin at the same moment."""
    start = CONTEXT.Barrier(number)
    pipes = [CONTEXT.Pipe(duplex=False) for _ in range(number)]

    def run(n: int) -> None:
        start.wait()
        try:
            pipes[n][1].send((work(n), None))
        except BaseException:  # the parent raises it
            pipes[n][1].send((None, traceback.format_exc()))

    processes = [CONTEXT.Process(target=run, args=(n,), daemon=True) for n in range(number)]
    for process in processes:
        process.start()
    answers = [receiving.recv() for receiving, _ in pipes]
    for process in processes:
        process.join()
    errors = [error for _, error in answers if error]
    assert not errors, errors[0]
    return [result for result, _ in answers]
