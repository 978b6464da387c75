"""BasicS3Dict: the name of the dictionary in an S3 bucket, which this version does not have yet."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NoReturn

from persidict._stored_dict import StoredDict
from persidict.jokers_and_status_flags import ValueType


def refuse_s3(name: str) -> NoReturn:
    """Raise the error that says what is missing."""
    if find_spec("boto3") is None:
        raise ImportError(
            f"{name} needs boto3: install the extra, for example pip install 'persidict[aws]'"
        )
    raise NotImplementedError(
        f"{name} is not there yet: this version stores in folders (FileDirDict) and in memory "
        "(LocalDict)"
    )


class BasicS3Dict(StoredDict[ValueType]):
    """A dictionary in an S3 bucket; constructing one says that it is not there yet."""

    def __init__(
        self,
        *,
        bucket_name: str = "my_bucket",
        region: str | None = None,
        root_prefix: str = "",
        serialization_format: str = "pkl",
        append_only: bool = False,
        base_class_for_values: type | None = None,
    ) -> None:
        refuse_s3(type(self).__name__)
