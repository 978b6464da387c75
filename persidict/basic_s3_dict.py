"""BasicS3Dict: a dictionary in an S3 bucket, one object for each item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from persidict._codecs import codec_for
from persidict._stored_dict import StoredDict
from persidict.extras import require
from persidict.jokers_and_status_flags import ValueType

if TYPE_CHECKING:
    from persidict._s3_blobs import S3Blobs

# Parameters that others who build the dict by its established ones need not know.
_EXTENSIONS = ("client", "config", "endpoint_url", "put_args", "session")


class BasicS3Dict(StoredDict[ValueType]):
    """A dictionary in an S3 bucket, shared by all who can reach the bucket.

    Single operations are atomic. Conditional operations are exact: the server compares and acts in
    one step. A server that ignores conditions is found out, once, and `BackendError` is raised
    instead of a guarded write. A lost answer is settled by a look at the object;
    `OutcomeUnknownError` is raised where that cannot tell. Equal values have equal etags, so a
    value that returns brings back its etag.

    Costs in requests: `d[key]`, `d[key] = value`, `in` and insertion 1; `del`, `discard` and
    `transform_item` 2; listing and `clear` 1 for each thousand items, twice that for `clear`.

    Args:
        bucket_name: the bucket; it is made if missing.
        region: of the bucket, `None` for the one that the environment names.
        root_prefix: what the names of all objects begin with; "/" is put after it.
        serialization_format: "pkl", "json", a registered format, or any name for text.
        append_only: items can be added, never changed or removed.
        base_class_for_values: what values must be instances of, or `None`.
        endpoint_url: of a server other than Amazon's.
        config: a `botocore.config.Config`, or a mapping of its options.
        session: a `boto3.Session`, for credentials other than those of the environment.
        client: a client of boto3, made from the above if it is `None`.
        put_args: further arguments of `put_object`, such as `StorageClass`, `Tagging`,
            `ServerSideEncryption` or `SSECustomerKey`; other requests get those they know.
    """

    _store: S3Blobs

    def __init__(
        self,
        *,
        bucket_name: str = "my_bucket",
        region: str | None = None,
        root_prefix: str = "",
        serialization_format: str = "pkl",
        append_only: bool = False,
        base_class_for_values: type[ValueType] | None = None,
        endpoint_url: str | None = None,
        config: Any = None,
        session: Any = None,
        client: Any = None,
        put_args: Mapping[str, Any] | None = None,
    ) -> None:
        _check_boto3(type(self).__name__)
        # boto3 is optional, and these are its only users
        from persidict._s3_blobs import S3Blobs
        from persidict._s3_bucket import Bucket, new_client, source_of
        from persidict._s3_bulk import BulkReader
        from persidict._s3_prefix import check_prefix, checked_key

        _check_names(bucket_name, root_prefix)
        checked_key(f"{root_prefix}/k.{serialization_format}")
        self.region = region
        self.bucket_name = bucket_name
        self.endpoint_url = endpoint_url
        self.config = config
        self.session = session
        self.put_args = dict(put_args or {})
        self.client = client
        self.s3_client = client or new_client(
            session=session, region=region, endpoint_url=endpoint_url, config=config
        )
        source = None if client else source_of(self.s3_client, session)
        bucket = Bucket(self.s3_client, bucket_name, self.put_args, source)
        super().__init__(
            store=S3Blobs(
                bucket,
                _ending_in_slash(root_prefix),
                content_type=codec_for(serialization_format, None).content_type,
                items_stay=bool(append_only),
                bulk=BulkReader(bucket, _reason_of_its_own(client, config)),
            ),
            digest_len=0,
            compression=None,
            append_only=append_only,
            base_class_for_values=base_class_for_values,
            serialization_format=serialization_format,
        )
        bucket.make_sure()
        check_prefix(bucket, self.root_prefix)

    @property
    def root_prefix(self) -> str:
        """What the names of all objects begin with; nothing, or it ends in "/"."""
        return self._store.prefix

    @property
    def base_url(self) -> str:
        """The place as a URL."""
        return f"s3://{self.bucket_name}/{self.root_prefix}"

    @property
    def _place(self) -> str:
        """Bucket and prefix, by a name that no other place has, at whatever server."""
        return self._store.bucket.location + self.root_prefix

    def get_params(self) -> dict[str, Any]:
        """Return the constructor arguments that give an equivalent dict over the same bucket."""
        params = super().get_params() | {
            "bucket_name": self.bucket_name,
            "region": self.region,
            "root_prefix": self.root_prefix,
        }
        more = {name: getattr(self, name) for name in _EXTENSIONS}
        return dict(sorted((params | {n: v for n, v in more.items() if v}).items()))


def _check_boto3(name: str) -> None:
    require(name, "boto3", "botocore", extra="aws")


def _reason_of_its_own(client: Any, config: Any) -> str | None:
    """Return why another client than this one may not ask, if it may not."""
    given = "client" if client is not None else "config" if config is not None else None
    return given and f"the dictionary was made with {given}=..."


def _check_names(bucket_name: Any, root_prefix: Any) -> None:
    for name, value in (("bucket_name", bucket_name), ("root_prefix", root_prefix)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, not {value!r}")
    if not bucket_name:
        raise ValueError("bucket_name must not be empty")


def _ending_in_slash(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
