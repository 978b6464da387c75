"""The canonical hash of values: the same in every process, different for different content."""

from persidict_dask._digest.handlers import register_digest
from persidict_dask._digest.values import digest, digest_arguments

__all__ = ["digest", "digest_arguments", "register_digest"]
