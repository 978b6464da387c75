"""S3Dict: the name of the cached dictionary in S3, which this version does not have yet."""

from __future__ import annotations

from persidict.basic_s3_dict import refuse_s3
from persidict.cached_mutable_dict import MutableDictCached
from persidict.jokers_and_status_flags import ValueType


class S3Dict_FileDirCached(MutableDictCached[ValueType]):  # noqa: N801  # the established name
    """A dictionary in S3 with a cache in a folder; constructing one says it is not there yet."""

    def __init__(
        self,
        *,
        bucket_name: str = "my_bucket",
        region: str | None = None,
        root_prefix: str = "",
        base_dir: str = "__s3_dict__",
        serialization_format: str = "pkl",
        digest_len: int = 8,
        append_only: bool = False,
        base_class_for_values: type | None = None,
    ) -> None:
        refuse_s3(type(self).__name__)


S3Dict = S3Dict_FileDirCached
