"""Dictionaries that live in a folder, in an S3 bucket or in memory, safe for many writers."""

from importlib.metadata import PackageNotFoundError, version

from persidict._codecs import Codec, register_format
from persidict.basic_s3_dict import BasicS3Dict
from persidict.cached_appendonly_dict import AppendOnlyDictCached
from persidict.cached_mutable_dict import MutableDictCached
from persidict.empty_dict import EmptyDict
from persidict.exceptions import (
    AbsentKeyError,
    BackendError,
    ConcurrencyConflictError,
    DamagedItemError,
    LockTimeoutError,
    MutationPolicyError,
    OutcomeUnknownError,
)
from persidict.exceptions import TransformConflictError as TransformConflictError
from persidict.file_dir_dict import FileDirDict
from persidict.jokers_and_status_flags import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    VALUE_NOT_RETRIEVED,
    AlwaysRetrieveFlag,
    AnyETagFlag,
    ConditionalOperationResult,
    DeleteCurrentFlag,
    ETagConditionFlag,
    ETagHasChangedFlag,
    ETagIfExists,
    ETagIsTheSameFlag,
    ETagValue,
    IfETagChangedRetrieveFlag,
    ItemNotAvailableFlag,
    Joker,
    KeepCurrentFlag,
    NeverRetrieveFlag,
    OperationResult,
    RetrieveValueFlag,
    TransformingFunction,
    ValueNotRetrievedFlag,
    ValueType,
)
from persidict.local_dict import LocalDict
from persidict.overlapping_multi_dict import OverlappingMultiDict
from persidict.persi_dict import NonEmptyPersiDictKey, PersiDict, PersiDictKey
from persidict.s3_dict_file_dir_cached import S3Dict, S3Dict_FileDirCached
from persidict.safe_chars import SAFE_CHARS_SET as SAFE_CHARS_SET
from persidict.safe_chars import SAFE_STRING_MAX_LENGTH as SAFE_STRING_MAX_LENGTH
from persidict.safe_chars import contains_unsafe_chars as contains_unsafe_chars
from persidict.safe_chars import get_safe_chars, replace_unsafe_chars
from persidict.safe_str_tuple import NonEmptySafeStrTuple, SafeStrTuple
from persidict.write_once_dict import WriteOnceDict

try:
    __version__ = version("persidict")
except PackageNotFoundError:
    __version__ = "unknown"

__all__ = [
    "ALWAYS_RETRIEVE",
    "ANY_ETAG",
    "DELETE_CURRENT",
    "ETAG_HAS_CHANGED",
    "ETAG_IS_THE_SAME",
    "IF_ETAG_CHANGED",
    "ITEM_NOT_AVAILABLE",
    "KEEP_CURRENT",
    "NEVER_RETRIEVE",
    "VALUE_NOT_RETRIEVED",
    "AbsentKeyError",
    "AlwaysRetrieveFlag",
    "AnyETagFlag",
    "AppendOnlyDictCached",
    "BackendError",
    "BasicS3Dict",
    "Codec",
    "ConcurrencyConflictError",
    "ConditionalOperationResult",
    "DamagedItemError",
    "DeleteCurrentFlag",
    "ETagConditionFlag",
    "ETagHasChangedFlag",
    "ETagIfExists",
    "ETagIsTheSameFlag",
    "ETagValue",
    "EmptyDict",
    "FileDirDict",
    "IfETagChangedRetrieveFlag",
    "ItemNotAvailableFlag",
    "Joker",
    "KeepCurrentFlag",
    "LocalDict",
    "LockTimeoutError",
    "MutableDictCached",
    "MutationPolicyError",
    "NeverRetrieveFlag",
    "NonEmptyPersiDictKey",
    "NonEmptySafeStrTuple",
    "OperationResult",
    "OutcomeUnknownError",
    "OverlappingMultiDict",
    "PersiDict",
    "PersiDictKey",
    "RetrieveValueFlag",
    "S3Dict",
    "S3Dict_FileDirCached",
    "SafeStrTuple",
    "TransformingFunction",
    "ValueNotRetrievedFlag",
    "ValueType",
    "WriteOnceDict",
    "__version__",
    "get_safe_chars",
    "register_format",
    "replace_unsafe_chars",
]
