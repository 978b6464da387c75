"""One policy for what is tried again, in tasks, coroutines and plain calls."""

from persidict_dask.retries._breaker import CircuitBreaker
from persidict_dask.retries._budget import RetryBudget
from persidict_dask.retries._letters import DeadLetter, DeadLetters, Loss
from persidict_dask.retries._policy import RetryPolicy

__all__ = ["CircuitBreaker", "DeadLetter", "DeadLetters", "Loss", "RetryBudget", "RetryPolicy"]
