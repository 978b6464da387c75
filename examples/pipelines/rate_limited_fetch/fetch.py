"""What a worker does: wait for its turn, fetch a page, keep it."""

from __future__ import annotations

from urllib.request import urlopen

from persidict_dask import RateLimiter, worker_store

STORE = "pages"


def fetch(url: str, number: int, rate: float) -> int:
    """Fetch a page within the rate that all workers share, and return its size."""
    pages = worker_store(STORE)
    RateLimiter(pages, "site", rate=rate).acquire()
    with urlopen(f"{url}/page/{number}", timeout=10) as answer:
        page = answer.read().decode()
    pages["page", str(number)] = page
    return len(page)
