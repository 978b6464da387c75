"""What a queue shows of the items that are done or dead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from persidict_dask.coordination._parts import Parts
from persidict_dask.coordination._records import ABSENT, Seen


class DeadItem(NamedTuple):
    """An item that was given up."""

    item: Any
    deliveries: int
    errors: list[str]
    """One for each delivery that told of one; the last is why it was given up."""


class _Items(Mapping[str, Any]):
    part: str

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def _seen(self, key: str) -> Seen:
        seen = self._parts.done(key) if self.part == "done" else self._parts.dead(key)
        found = seen.read()
        if not found.exists:
            raise KeyError(key)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._parts.keys(self.part)))

    def __len__(self) -> int:
        return len(self._parts.keys(self.part))

    def discard(self, key: str) -> bool:
        """Forget an item, and tell whether there was one; its key can be put again."""
        try:
            seen = self._seen(key)
        except KeyError:
            return False
        record = self._parts.done(key) if self.part == "done" else self._parts.dead(key)
        is_removed = record.remove(seen)
        if is_removed:
            self._parts.drop(key, seen.fields.get("result" if self.part == "done" else "item"))
        return is_removed

    def clear(self) -> None:
        """Forget all; not atomic."""
        for key in self:
            self.discard(key)

    def __repr__(self) -> str:
        return f"<{len(self)} {self.part} items of {self._parts.key[-1]!r}>"


class DoneItems(_Items):
    """Results by the keys of items; one request each, and a listing for all."""

    part = "done"

    def __getitem__(self, key: str) -> Any:
        return self._parts.unpack(key, self._seen(key).fields["result"])


class DeadItems(_Items):
    """Items that were given up, by their keys."""

    part = "dead"

    def __getitem__(self, key: str) -> DeadItem:
        fields = self._seen(key).fields
        item = self._parts.unpack(key, fields["item"])
        return DeadItem(item, fields["deliveries"], fields["errors"])

    def release(self, key: str) -> None:
        """Put an item back into the queue, as if it were new; `KeyError` if there is none."""
        seen = self._seen(key)
        if self._parts.is_done(key):
            self._parts.dead(key).remove(seen)
            raise KeyError(key)
        fields = {"item": seen.fields["item"], "label": seen.fields["label"], "deliveries": 0}
        self._parts.live(key).swap(ABSENT, fields)
        self._parts.dead(key).remove(seen)
