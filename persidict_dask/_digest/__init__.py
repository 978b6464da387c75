"""The canonical hash of values: the same in every process, different for different content."""

from persidict_dask._digest.handlers import register_digest
from persidict_dask._digest.values import digest, digest_arguments
from persidict_dask._digest.walk import SCALARS

__all__ = ["SCALARS", "digest", "digest_arguments", "register_digest"]
