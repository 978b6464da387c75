"""One policy for what is tried again, in tasks, coroutines and plain calls."""

from persidict_dask.retries._policy import RetryPolicy

__all__ = ["RetryPolicy"]
