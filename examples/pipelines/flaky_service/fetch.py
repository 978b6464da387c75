"""What a worker does: fetch a page, and try again as the policy says."""

from __future__ import annotations

from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from tenacity import wait_exponential, wait_random

from persidict_dask import PersistedFunction, RetryBudget, RetryPolicy, persist

ATTEMPTS = 4


class RefusedError(Exception):
    """The service has turned a request away; a policy waits as long as `retry_after` says."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        super().__init__(status, retry_after)
        self.retry_after = retry_after


def page(url: str, number: int) -> str:
    """Fetch a page."""
    try:
        with urlopen(f"{url}/page/{number}", timeout=30) as answer:
            return str(answer.read().decode())
    except HTTPError as error:
        refusal = RefusedError(error.code, error.headers.get("Retry-After"))
    # raised out here because the original holds a connection, which does not travel
    raise refusal


RETRIED = (RefusedError, OSError)


def policy(budget: RetryBudget | None = None) -> RetryPolicy:
    """Four attempts, with waits of 0.2 s, 0.4 s and 0.8 s, and a little more by chance."""
    wait = wait_exponential(multiplier=0.2) + wait_random(0, 0.1)
    return RetryPolicy(attempts=ATTEMPTS, wait=wait, retry_on=RETRIED, budget=budget)


def fetching(store: Any, budget: RetryBudget | None = None) -> PersistedFunction[..., str]:
    """`page`, tried again by the policy, and never asked for again once it is in the store."""
    return persist(store, name="page", ignore="url", retry=policy(budget))(page)
