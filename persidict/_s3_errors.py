"""What the errors of S3 mean, and what a user can do about them."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    SSOError,
)

NETWORK = (HTTPClientError, ConnectionError)
"""Nobody knows whether the server has seen the request."""
BROKEN_BODY = (HTTPClientError, IncompleteReadError, FlexibleChecksumError)
"""An answer began and did not end, or not with what the server has stored."""
UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
"""There is no way to the server."""


def code_of(error: ClientError) -> str:
    """Return the code of S3, such as "NoSuchKey"; a HEAD has only the status to tell."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the status of HTTP, 0 if there is none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def was_resent(error: ClientError) -> bool:
    """True if the request was sent before, so that the answer may be about ourselves."""
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0


def is_absence(error: ClientError) -> bool:
    """True if there is no such object; a missing bucket or upload is another matter."""
    if code_of(error) in ("NoSuchKey", "NotFound", "404"):
        return True
    return status_of(error) == 404 and not code_of(error).startswith("NoSuch")


def is_unchanged(error: ClientError) -> bool:
    """True if the object still is the version that was named."""
    return status_of(error) == 304 or code_of(error) in ("NotModified", "304")


def is_unmet(error: ClientError) -> bool:
    """True if the condition of a request did not hold, for good."""
    return status_of(error) == 412 or code_of(error) in ("PreconditionFailed", "412")


def is_undecided(error: ClientError) -> bool:
    """True if the server would not decide a race: nothing was done, the same may work now."""
    return code_of(error) in ("ConditionalRequestConflict", "OperationAborted", "409")


def is_throttled(error: ClientError) -> bool:
    """True if S3 says that it gets too many requests, and has not carried out this one."""
    return code_of(error) == "SlowDown"


def is_unknown(error: ClientError) -> bool:
    """True if the server failed on its way: it may have done what was asked, or not."""
    failed = status_of(error) >= 500 or status_of(error) == 408
    return failed or code_of(error) in ("InternalError", "RequestTimeout")


def may_mean_checksums(error: Exception) -> bool:
    """True if a server may say this of an upload because of the checksum that boto3 puts on it."""
    if not isinstance(error, ClientError):
        return False
    return status_of(error) in (411, 501) or code_of(error) in _OF_CHECKSUMS


_OF_CHECKSUMS = {
    "BadDigest", "BadRequest", "IncompleteBody", "InvalidArgument", "InvalidDigest",
    "InvalidHeader", "InvalidRequest", "MalformedTrailerError", "MissingContentLength",
    "NotImplemented", "UnsupportedHeader", "XAmzContentSHA256Mismatch",
}  # fmt: skip
CHECKSUMS = (
    "the server may not understand the checksums that boto3 puts on uploads: leave them out with "
    'config={"request_checksum_calculation": "when_required"}'
)
_CREDENTIALS = (
    "give credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, by a "
    "profile (AWS_PROFILE), by a role of the machine, or by session=boto3.Session(...); to read "
    'what is public without any, give config={"signature_version": "unsigned"}'
)
_REFUSED = f"the endpoint does not accept the credentials, or does not know them: {_CREDENTIALS}"
MISSING_BUCKET = "the bucket does not exist there: check bucket_name, region and endpoint_url"
REDIRECTED = "the server sends requests elsewhere: check http(s) in endpoint_url, and region"
_REGION = "the bucket belongs to another region: give its name as region=..."
_BY_CODE = {
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "InvalidToken": _REFUSED,
    "ExpiredToken": "the credentials have expired: log in again, or renew them",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: set it",
    "NoSuchBucket": MISSING_BUCKET,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "301": f"{_REGION}; or: {REDIRECTED}",
    **dict.fromkeys(("302", "307", "308"), REDIRECTED),
    "AccessDenied": "these credentials may not do this: they need s3:ListBucket for the bucket, "
    "and s3:GetObject, s3:PutObject and s3:DeleteObject for what is in it",
}
_BY_CODE["400"] = (
    f"the server does not say why; mostly credentials have expired: {_CREDENTIALS}; or: {_REGION}"
)
_BY_CODE["403"] = _BY_CODE["Forbidden"] = f"{_REFUSED}; or: {_BY_CODE['AccessDenied']}"
_BY_TYPE: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
    (
        (NoCredentialsError, PartialCredentialsError, ProfileNotFound, SSOError,
         CredentialRetrievalError), _CREDENTIALS,
    ),
    (NoRegionError, "give region=..., or AWS_DEFAULT_REGION in the environment"),
    (SSLError, "the connection cannot be made safe: check http(s) in endpoint_url, AWS_CA_BUNDLE"),
    (NETWORK, "the endpoint does not answer: check the network, proxies and endpoint_url"),
)  # fmt: skip


def advice(error: Exception) -> str | None:
    """Return what the user can do, `None` if that is not known."""
    if isinstance(error, ClientError):
        return _BY_CODE.get(code_of(error))
    return next((text for kinds, text in _BY_TYPE if isinstance(error, kinds)), None)


def advise(error: BotoCoreError | ClientError, place: str) -> None:
    """Put a note on the error that says what to do."""
    text = advice(error)
    if text is not None:
        error.add_note(f"{place}: {text}")
