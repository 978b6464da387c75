"""What a cluster sees of the persisted functions: their figures, on a page and in metrics."""

from persidict_dask.cluster._ask import stats
from persidict_dask.cluster._figures import Stats

__all__ = ["Stats", "stats"]
