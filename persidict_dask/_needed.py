"""The libraries of the extra `dask`, asked for before anything else is imported."""

from persidict.extras import require

require("persidict_dask", "dask", "distributed", "cloudpickle", "tenacity", "xxhash", extra="dask")
