"""Clients as they are given: what cannot work is said in words before it is tried."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")

_WHAT_TO_DO = {
    "newly-created": "is not started: await it first",
    "connecting": "is not connected to its scheduler: wait until it is",
}


def check_client(client: Any) -> None:
    """Raise `TypeError` for what is no client, and `RuntimeError` for one that is not connected."""
    from distributed import Client

    if not isinstance(client, Client):
        raise TypeError(f"a client is a distributed.Client, not {client!r}")
    if client.status != "running":
        what = _WHAT_TO_DO.get(client.status, "is closed: use one that is open")
        raise RuntimeError(f"the client {what}")


def address_of(client: Any) -> str:
    """Return the address of the scheduler of a connected client."""
    check_client(client)
    return str(client.scheduler.address)


async def answer(client: Any, question: Awaitable[T]) -> T:
    """Return what the cluster answers; `ConnectionError` says that there is no scheduler."""
    address = client.scheduler.address
    try:
        return await question
    except OSError as error:
        raise ConnectionError(f"the scheduler at {address} does not answer: {error}") from error
