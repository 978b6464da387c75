"""Every conditional operation with every kind of argument: the rows of the complete table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

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
    ETagConditionFlag,
    ETagValue,
    RetrieveValueFlag,
)
from persidict.testing._oracle import DISCARDS, Call

CONDITIONS = (ANY_ETAG, ETAG_IS_THE_SAME, ETAG_HAS_CHANGED)
RETRIEVE_MODES = (None, IF_ETAG_CHANGED, ALWAYS_RETRIEVE, NEVER_RETRIEVE)
ABSENT, CURRENT, OTHER = "absent", "current", "other"
REGULAR, KEEP, DELETE = "regular value", "keep", "delete"


class Row(NamedTuple):
    """A call whose expected etag and value are still names of a kind."""

    operation: str
    condition: ETagConditionFlag = ANY_ETAG
    expected: str = ABSENT
    retrieve: RetrieveValueFlag | None = None
    value: str = REGULAR

    def call(self, *, current: ETagValue | None, other: ETagValue, value: Any) -> Call:
        """Return the call for an item that has the etag `current` now."""
        expected = {ABSENT: ITEM_NOT_AVAILABLE, CURRENT: current, OTHER: other}[self.expected]
        assert expected is not None, "an absent item has no current etag"
        values = {REGULAR: value, KEEP: KEEP_CURRENT, DELETE: DELETE_CURRENT}
        return Call(self.operation, self.condition, expected, self.retrieve, values[self.value])


def rows(operation: str, *, present: bool) -> Iterator[Row]:
    """Yield all rows of one operation, for an item that is present or absent."""
    if operation == "get_with_etag":
        yield Row(operation)
        return
    etags = (ABSENT, CURRENT, OTHER) if present else (ABSENT, OTHER)
    modes = (None,) if operation in DISCARDS else RETRIEVE_MODES
    values = (REGULAR, KEEP, DELETE) if operation == "set_item_if" else (REGULAR,)
    for arguments in product(CONDITIONS, etags, modes, values):
        yield Row(operation, *arguments)
