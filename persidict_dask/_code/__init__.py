"""The identity of code: one hash for a function and all of the project that it reaches."""

from typing import Any

from persidict_dask._code import definitions as definitions
from persidict_dask._code.data import holds_data
from persidict_dask._code.identity import Fingerprint, digest_before, fingerprint, running
from persidict_dask._digest.definitions import Data, identify_code_by

__all__ = ["Data", "Fingerprint", "digest_before", "fingerprint", "holds_data", "running"]


def _hexdigest(obj: Any, by_value: tuple[str, ...]) -> str:
    return fingerprint(obj, by_value).hexdigest


identify_code_by(_hexdigest)
