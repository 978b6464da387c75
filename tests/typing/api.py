"""The static types of the public API; never run, read by the type checkers."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import date
from typing import Any, assert_type

from persidict import (
    ALWAYS_RETRIEVE,
    ANY_ETAG,
    DELETE_CURRENT,
    ETAG_HAS_CHANGED,
    ETAG_IS_THE_SAME,
    IF_ETAG_CHANGED,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    NEVER_RETRIEVE,
    AppendOnlyDictCached,
    BackendError,
    BasicS3Dict,
    Codec,
    ConditionalOperationResult,
    DamagedItemError,
    DeleteCurrentFlag,
    EmptyDict,
    ETagIfExists,
    ETagValue,
    FileDirDict,
    ItemNotAvailableFlag,
    KeepCurrentFlag,
    LocalDict,
    MutableDictCached,
    MutationPolicyError,
    NonEmptyPersiDictKey,
    NonEmptySafeStrTuple,
    OperationResult,
    OverlappingMultiDict,
    PersiDict,
    PersiDictKey,
    S3Dict,
    SafeStrTuple,
    TransformingFunction,
    ValueNotRetrievedFlag,
    WriteOnceDict,
    get_safe_chars,
    register_format,
    replace_unsafe_chars,
)


class Flight:
    """Some class of the user."""


def reading(d: FileDirDict[Flight]) -> None:
    assert_type(d["a"], Flight)
    assert_type(d["a", "b"], Flight)
    assert_type(d[["a", "b"]], Flight)
    assert_type(d.get("a"), Flight | None)
    assert_type(d.get("a", None), Flight | None)
    assert_type(d.get("a", Flight()), Flight)
    assert_type(d.get("a", 1), Flight | int)
    assert_type("a" in d, bool)
    assert_type(len(d), int)
    assert_type(d.timestamp("a"), float)
    assert_type(d.etag("a"), ETagValue)


def changing(d: FileDirDict[Flight]) -> None:
    d["a"] = Flight()
    d["a"] = KEEP_CURRENT
    d["a"] = DELETE_CURRENT
    del d["a"]
    d.update({"a": Flight()})
    d.update(a=Flight())
    d.update([("a", Flight())])
    d |= {"a": Flight()}
    assert_type(d.setdefault("a", Flight()), Flight)
    assert_type(d.pop("a"), Flight)
    assert_type(d.pop("a", Flight()), Flight)
    assert_type(d.pop("a", None), Flight | None)
    assert_type(d.popitem(), tuple[NonEmptySafeStrTuple, Flight])
    assert_type(d.discard("a"), bool)
    assert_type(d.delete_if_exists("a"), bool)


def iterating(d: LocalDict[Flight]) -> None:
    assert_type(d.keys(), Iterator[NonEmptySafeStrTuple])
    assert_type(d.values(), Iterator[Flight])
    assert_type(d.items(), Iterator[tuple[NonEmptySafeStrTuple, Flight]])
    assert_type(d.keys_and_timestamps(), Iterator[tuple[NonEmptySafeStrTuple, float]])
    assert_type(d.values_and_timestamps(), Iterator[tuple[Flight, float]])
    assert_type(d.items_and_timestamps(), Iterator[tuple[NonEmptySafeStrTuple, Flight, float]])
    for key in d:
        assert_type(key, NonEmptySafeStrTuple)
    assert_type(d.random_key(), NonEmptySafeStrTuple | None)
    assert_type(d.oldest_keys(max_n=3), list[NonEmptySafeStrTuple])
    assert_type(d.newest_keys(), list[NonEmptySafeStrTuple])
    assert_type(d.oldest_values(), list[Flight])
    assert_type(d.newest_values(max_n=1), list[Flight])


def conditions(d: PersiDict[Flight], etag: ETagIfExists) -> None:
    result = d.get_with_etag("a")
    assert_type(result, ConditionalOperationResult[Flight])
    assert_type(result.condition_was_satisfied, bool)
    assert_type(result.actual_etag, ETagValue | ItemNotAvailableFlag)
    assert_type(result.resulting_etag, ETagValue | ItemNotAvailableFlag)
    assert_type(result.new_value, Flight | ItemNotAvailableFlag | ValueNotRetrievedFlag)
    assert_type(result.value_was_mutated, bool)
    assert_type(
        d.get_item_if("a", condition=ANY_ETAG, expected_etag=etag, retrieve_value=NEVER_RETRIEVE),
        ConditionalOperationResult[Flight],
    )
    for value in (Flight(), KEEP_CURRENT, DELETE_CURRENT):
        assert_type(
            d.set_item_if(
                "a",
                value=value,
                condition=ETAG_IS_THE_SAME,
                expected_etag=ITEM_NOT_AVAILABLE,
                retrieve_value=ALWAYS_RETRIEVE,
            ),
            ConditionalOperationResult[Flight],
        )
    assert_type(
        d.setdefault_if(
            "a",
            default_value=Flight(),
            condition=ETAG_HAS_CHANGED,
            expected_etag=ETagValue("e"),
            retrieve_value=IF_ETAG_CHANGED,
        ),
        ConditionalOperationResult[Flight],
    )
    for discard in (d.discard_item_if, d.discard_if):
        assert_type(
            discard("a", condition=ANY_ETAG, expected_etag=etag), ConditionalOperationResult[Flight]
        )


def increment(current: int | ItemNotAvailableFlag, /) -> int | KeepCurrentFlag | DeleteCurrentFlag:
    """Add one, or begin with one."""
    return 1 if isinstance(current, ItemNotAvailableFlag) else current + 1


def transforming(d: LocalDict[int]) -> None:
    result = d.transform_item("a", transformer=increment, n_retries=None)
    assert_type(result, OperationResult[int])
    assert_type(result.resulting_etag, ETagValue | ItemNotAvailableFlag)
    function: TransformingFunction[int] = increment
    assert_type(d.transform_item("a", transformer=function), OperationResult[int])


def wrapping(folder: FileDirDict[Flight], memory: LocalDict[Flight], etags: LocalDict[str]) -> None:
    cached = MutableDictCached(main_dict=folder, data_cache=memory, etag_cache=etags)
    assert_type(cached["a"], Flight)
    assert_type(cached.get_subdict("p"), MutableDictCached[Flight])
    frozen = AppendOnlyDictCached(main_dict=folder, data_cache=memory)
    assert_type(frozen["a"], Flight)
    once = WriteOnceDict(wrapped_dict=folder, p_consistency_checks=0.5)
    assert_type(once["a"], Flight)
    assert_type(once.consistency_checks_failed, int)
    once.p_consistency_checks = KEEP_CURRENT
    once.p_consistency_checks = None
    assert_type(once.p_consistency_checks, float)


def constructing() -> None:
    folder: FileDirDict[int] = FileDirDict(
        base_dir="x", digest_len=4, serialization_format="json", append_only=True
    )
    assert_type(folder.get_params(), dict[str, Any])
    assert_type(folder.append_only, bool)
    assert_type(folder.base_class_for_values, type | None)
    assert_type(folder.base_dir, str)
    assert_type(FileDirDict[int](base_dir="x"), FileDirDict[int])
    assert_type(LocalDict[str]().get("a"), str | None)
    assert_type(EmptyDict[int]().get("a", 1), int)
    assert_type(folder.get_subdict(("a", "b")), FileDirDict[int])
    assert_type(LocalDict[int]().get_subdict(()), LocalDict[int])
    multi = OverlappingMultiDict(dict_type=LocalDict, shared_subdicts_params={}, pkl={}, json={})
    assert_type(multi.subdicts_names, list[str])
    assert_type(multi.json, PersiDict[Any])


def without_annotations(main: FileDirDict[Flight]) -> None:
    folder = FileDirDict("x")
    assert_type(folder, FileDirDict[Any])
    assert_type(FileDirDict(base_dir="x", serialization_format="json"), FileDirDict[Any])
    assert_type(FileDirDict("x", base_class_for_values=int), FileDirDict[int])
    assert_type(FileDirDict("x", base_class_for_values=int)["a"], int)
    assert_type(FileDirDict("x", base_class_for_values=Abstract), FileDirDict[Abstract])
    assert_type(folder.get_subdict("a"), FileDirDict[Any])
    assert_type(folder.clone(), FileDirDict[Any])
    memory = LocalDict()
    assert_type(memory, LocalDict[Any])
    assert_type(LocalDict(base_class_for_values=str), LocalDict[str])
    assert_type(EmptyDict(), EmptyDict[Any])
    assert_type(BasicS3Dict(bucket_name="b"), BasicS3Dict[Any])
    assert_type(BasicS3Dict(base_class_for_values=str), BasicS3Dict[str])
    assert_type(S3Dict(bucket_name="b"), S3Dict[Any])
    assert_type(S3Dict(base_class_for_values=str), S3Dict[str])
    assert_type(WriteOnceDict(), WriteOnceDict[Any])
    assert_type(WriteOnceDict(wrapped_dict=main), WriteOnceDict[Flight])
    assert_type([FileDirDict("x")], list[FileDirDict[Any]])
    flights: FileDirDict[Flight] = FileDirDict("x")
    flights = FileDirDict("x", base_class_for_values=Flight)
    assert_type(flights["a"], Flight)


class Abstract(ABC):
    """A class that values are instances of, and that has none of its own."""

    @abstractmethod
    def what(self) -> int: ...


def unparametrised(d: FileDirDict, base: PersiDict) -> None:
    assert_type(d["a"], Any)
    assert_type(base.setdefault("a", 1), Any)
    d["a"] = 1
    d["a"] = "text"
    d["a"].anything().goes


def keys(key: PersiDictKey, item_key: NonEmptyPersiDictKey, d: LocalDict[int]) -> None:
    t = SafeStrTuple("a", ["b", ("c",)])
    assert_type(t.strings, tuple[str, ...])
    assert_type(t.str_chain, tuple[str, ...])
    assert_type(t + "b", SafeStrTuple)
    assert_type("b" + t, SafeStrTuple)
    assert_type(NonEmptySafeStrTuple("a"), NonEmptySafeStrTuple)
    assert_type(d[NonEmptySafeStrTuple("a")], int)
    assert_type(d[item_key], int)
    d.get_subdict(key)
    assert_type(get_safe_chars(), set[str])
    assert_type(replace_unsafe_chars("a b", "_"), str)
    assert_type(SafeStrTuple("a") < NonEmptySafeStrTuple("b"), bool)
    assert_type(sorted(d), list[NonEmptySafeStrTuple])
    assert_type(t[0], str)
    assert_type(t[:1], tuple[str, ...])
    assert_type(max(d), NonEmptySafeStrTuple)
    d["a", 2025] = d[2025, date(2025, 1, 31)]


def errors(backend: BackendError, policy: MutationPolicyError, damaged: DamagedItemError) -> None:
    assert_type(backend.backend, str)
    assert_type(damaged.operation, str)
    assert_type(policy.policy, str)


class Digits(Codec):
    """A codec of the user."""

    def encode(self, value: Any) -> bytes:
        return b"%d" % value

    def decode(self, data: bytes) -> Any:
        return int(data)


def formats() -> None:
    register_format("digits", Digits())


class Mine(PersiDict[int]):
    """A dict of the user, as little as is needed."""

    def __init__(self) -> None:
        super().__init__(append_only=False, base_class_for_values=int, serialization_format="pkl")
        self.data: dict[tuple[str, ...], int] = {}

    def __contains__(self, key: Any) -> bool:
        return SafeStrTuple(key).strings in self.data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: Any) -> int:
        return self.data[SafeStrTuple(key).strings]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[SafeStrTuple(key).strings] = value

    def __delitem__(self, key: Any) -> None:
        self.data.pop(SafeStrTuple(key).strings, None)

    def timestamp(self, key: Any) -> float:
        return 0.0

    def _generic_iter(self, result_type: set[str]) -> Iterator[Any]:
        return iter(())


assert_type(Mine()["a"], int)
