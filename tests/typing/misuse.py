"""Mistakes that the type checkers have to find; an ignore that is not needed is an error."""

from persidict import (
    ANY_ETAG,
    ITEM_NOT_AVAILABLE,
    KEEP_CURRENT,
    EmptyDict,
    ETagIfExists,
    FileDirDict,
    LocalDict,
    MutableDictCached,
    NonEmptySafeStrTuple,
    PersiDict,
    WriteOnceDict,
    replace_unsafe_chars,
)

numbers = LocalDict[int]()
text: str = numbers["a"]  # type: ignore[assignment]
number: int = numbers.get("a")  # type: ignore[assignment]
value: str = next(numbers.values())  # type: ignore[assignment]
item: tuple[str, int] = next(numbers.items())  # type: ignore[assignment]
key: str = next(numbers.keys())  # type: ignore[assignment]
popped: str = numbers.pop("a")  # type: ignore[assignment]
numbers.update(a="text")  # type: ignore[call-overload]
numbers.no_such_method()  # type: ignore[attr-defined]


def conditions(d: PersiDict[int], e: ETagIfExists) -> None:
    d.get_item_if("a")  # type: ignore[call-arg]
    d.get_item_if("a", ANY_ETAG, ITEM_NOT_AVAILABLE)  # type: ignore[call-arg]
    d.get_item_if("a", condition="any", expected_etag=ITEM_NOT_AVAILABLE)  # type: ignore[arg-type]
    d.get_item_if("a", condition=ANY_ETAG, expected_etag=None)  # type: ignore[arg-type]
    d.get_item_if(
        "a",
        condition=ANY_ETAG,
        expected_etag=ITEM_NOT_AVAILABLE,
        retrieve_value=True,  # type: ignore[arg-type]
    )
    d.set_item_if(
        "a",
        value="text",  # type: ignore[arg-type]
        condition=ANY_ETAG,
        expected_etag=ITEM_NOT_AVAILABLE,
    )
    d.setdefault_if(
        "a",
        default_value=KEEP_CURRENT,  # type: ignore[arg-type]
        condition=ANY_ETAG,
        expected_etag=ITEM_NOT_AVAILABLE,
    )
    d.discard_if("a", condition=ANY_ETAG, expected_etag="e")  # type: ignore[arg-type]
    d.discard_if("a", condition=ANY_ETAG, expected_etag=e, value=1)  # type: ignore[call-arg]


def transforming(d: LocalDict[int], f: FileDirDict[str]) -> None:
    d.transform_item("a", transformer=len)  # type: ignore[arg-type]
    d.transform_item("a", lambda v: 1)  # type: ignore[call-arg]
    f.transform_item("a", transformer=lambda v: 1)  # type: ignore[arg-type]


def constructing() -> None:
    LocalDict(None)  # type: ignore[call-arg]
    FileDirDict(no_such_parameter=1)  # type: ignore[call-arg]
    FileDirDict("x", "json")  # type: ignore[call-arg]
    _d: FileDirDict[str] = FileDirDict(base_class_for_values=int)  # type: ignore[arg-type]
    EmptyDict(base_class_for_values="int")  # type: ignore[arg-type]
    MutableDictCached(main_dict=LocalDict[int](), data_cache=LocalDict[int]())  # type: ignore[call-arg]
    WriteOnceDict(wrapped_dict={})  # type: ignore[arg-type]
    PersiDict()  # type: ignore[abstract]
    replace_unsafe_chars("a")  # type: ignore[call-arg]


def policies(d: LocalDict[int]) -> None:
    d.append_only = True  # type: ignore[misc]
    d | {"a": 1}  # type: ignore[operator]
    len(d.keys())  # type: ignore[arg-type]
    NonEmptySafeStrTuple("a") < "b"  # type: ignore[operator]
