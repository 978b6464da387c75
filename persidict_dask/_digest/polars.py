"""Tokens of polars frames and series: names, types and logical content, as Arrow has it."""

from __future__ import annotations

from typing import Any

from persidict_dask._digest.arrow import arrow_token
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import Handler, Walker
from persidict_dask._errors import UnstableKeyError


def _series(walker: Walker, series: Any) -> bytes:
    head = walker.known_class(type(series)) + walker.token((series.name, str(series.dtype)))
    return frame(b"polars.Series", head + _content(walker, series))


def _frame(walker: Walker, table: Any) -> bytes:
    columns = [_series(walker, column) for column in table.get_columns()]
    head = walker.known_class(type(table)) + walker.token(tuple(table.shape))
    return frame(b"polars.DataFrame", head + frame_all(b"columns", columns))


def _content(walker: Walker, series: Any) -> bytes:
    if "Object" in str(series.dtype):  # Arrow would see addresses
        return walker.sequence(b"items", series.to_list())
    try:
        return arrow_token(walker, series.to_arrow())
    except ModuleNotFoundError as error:
        raise UnstableKeyError("polars data is read by pyarrow, which is missing") from error


def _lazy(_: Walker, lazy: Any) -> bytes:
    raise UnstableKeyError(f"a {type(lazy).__name__} has no content yet: collect() it")


HANDLERS: dict[str, Handler] = {"DataFrame": _frame, "Series": _series, "LazyFrame": _lazy}
