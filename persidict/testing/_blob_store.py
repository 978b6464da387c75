"""The suite for blob stores: bytes under names, with stats and guards."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, ClassVar

import pytest

from persidict._blobs import BlobStore
from persidict._words import IF_ABSENT, Guard, Stat
from persidict.jokers_and_status_flags import ITEM_NOT_AVAILABLE, VALUE_NOT_RETRIEVED, ETagValue
from persidict.testing._fixtures import Capability, Suite


def listed(store: BlobStore, suffix: str, *, stats: bool) -> Iterator[tuple[str, Stat | None]]:
    """Yield names and stats one by one, as `scan` lists them in batches."""
    for folder, stems, looks, sizes in store.scan(suffix, stats=stats):
        assert stems
        assert (looks is not None) == stats
        assert sizes is None or len(sizes) == len(stems)
        for stem, stat in zip_longest(stems, looks or ()):
            yield folder + stem + suffix, stat


NAMES = ("a.x", "a/b.x", "a/b/c.x", "b.x", "a.x.y", "~(=)/-_.x")
OTHER = ETagValue("another:etag")


class BlobStoreSuite(Suite):
    """What a blob store promises.

    A subclass supplies a fixture `storage`, `open`, and the two ways around the store, `put` and
    `get`, so that each half of the store is tested without the other half.
    """

    tells_times: ClassVar[Capability] = True
    """A write, and a read that finds the blob unchanged, return the time that a look returns."""

    def open(self, storage: Any) -> BlobStore:
        """Open a handle; two calls give two handles on one storage."""
        raise NotImplementedError("supply a method `open`")

    def put(self, storage: Any, name: str, data: bytes) -> None:
        """Store bytes without the store."""
        raise NotImplementedError("supply a method `put`")

    def get(self, storage: Any, name: str) -> bytes | None:
        """Return the stored bytes without the store, `None` for an absent blob."""
        raise NotImplementedError("supply a method `get`")

    @pytest.fixture
    def store(self, storage: Any) -> BlobStore:
        """Return a handle on an empty storage."""
        return self.open(storage)

    def check_seen(self, seen: Stat | None, told: Stat | None) -> None:
        """Compare what a look has shown with what another operation has told."""
        if not self.tells_times and seen and told:
            told = told._replace(timestamp=seen.timestamp)
        assert seen == told

    def test_absent_blobs_are_answers(self, store: BlobStore) -> None:
        """Whatever is asked of an absent blob, the answer is no."""
        for name in NAMES:
            assert store.stat(name) is None
            assert store.read(name) is None
            assert store.read(name, OTHER) is None
            assert store.remove(name, None) is False
            assert store.remove(name, Guard(OTHER)) is False
            assert store.write(name, b"data", Guard(OTHER)) is None
        assert list(listed(store, "", stats=True)) == []

    @pytest.mark.parametrize("data", [b"", b"data", bytes(range(256)) * 5000], ids=len)
    def test_writes_what_it_is_given(self, store: BlobStore, storage: Any, data: bytes) -> None:
        """The bytes arrive as they are; writing returns what a look returns afterwards."""
        for name in NAMES:
            written = store.write(name, data, None)
            assert isinstance(written, Stat)
            assert isinstance(written.etag, str)
            assert written.etag
            assert isinstance(written.timestamp, float)
            self.check_seen(store.stat(name), written)
            assert self.get(storage, name) == data

    @pytest.mark.parametrize("data", [b"", b"data", bytes(range(256)) * 5000], ids=len)
    def test_reads_what_is_there(self, store: BlobStore, storage: Any, data: bytes) -> None:
        """Bytes come back as they were stored, together with the version they are."""
        for name in NAMES:
            self.put(storage, name, data)
            stat = store.stat(name)
            assert stat is not None
            for found in (store.read(name), store.read(name, OTHER)):
                assert found is not None
                assert found.stat == stat
                assert bytes(found.value) == data  # type: ignore[arg-type]  # it was read
            unchanged = store.read(name, stat.etag)
            assert unchanged is not None
            assert unchanged.value is VALUE_NOT_RETRIEVED
            self.check_seen(stat, unchanged.stat)

    def test_overwriting(self, store: BlobStore, storage: Any) -> None:
        """The last write stays, shorter or longer, and every version has its own etag."""
        etags = set()
        for data in (b"one", b"longer than one", b"", b"two"):
            written = store.write("a/b.x", data, None)
            assert written is not None
            etags.add(written.etag)
            assert self.get(storage, "a/b.x") == data
        assert len(etags) == 4

    def test_inserting(self, store: BlobStore, storage: Any) -> None:
        """The guard for absent blobs lets the first write pass, and no other."""
        first = store.write("a/b.x", b"first", IF_ABSENT)
        assert first is not None
        assert store.write("a/b.x", b"second", IF_ABSENT) is None
        self.check_seen(store.stat("a/b.x"), first)
        assert self.get(storage, "a/b.x") == b"first"
        assert store.remove("a/b.x", None)
        assert store.write("a/b.x", b"third", IF_ABSENT) is not None

    def test_replacing(self, store: BlobStore, storage: Any) -> None:
        """The guard for a version lets writes over this version pass, and no others."""
        first = store.write("k.x", b"first", None)
        assert first is not None
        assert store.write("k.x", b"wrong", Guard(OTHER)) is None
        second = store.write("k.x", b"second", Guard(first.etag))
        assert second is not None
        assert store.write("k.x", b"wrong", Guard(first.etag)) is None
        self.check_seen(store.stat("k.x"), second)
        assert self.get(storage, "k.x") == b"second"

    def test_removing(self, store: BlobStore, storage: Any) -> None:
        """A removal happens once, and with a guard only to that version."""
        first = store.write("k.x", b"first", None)
        second = store.write("k.x", b"second", None)
        assert first is not None
        assert second is not None
        assert store.remove("k.x", Guard(first.etag)) is False
        assert store.remove("k.x", Guard(ITEM_NOT_AVAILABLE)) is False
        assert self.get(storage, "k.x") == b"second"
        assert store.remove("k.x", Guard(second.etag)) is True
        assert store.remove("k.x", Guard(second.etag)) is False
        assert self.get(storage, "k.x") is None
        store.write("k.x", b"third", None)
        assert store.remove("k.x", None) is True
        assert store.remove("k.x", None) is False
        assert self.get(storage, "k.x") is None

    def test_blobs_are_independent(self, store: BlobStore, storage: Any) -> None:
        """Writing or removing one blob leaves the stats of the others alone."""
        stats = {name: store.write(name, name.encode(), None) for name in NAMES}
        store.write("a/b.x", b"changed", None)
        store.remove("a.x", None)
        for name in set(NAMES) - {"a/b.x", "a.x"}:
            self.check_seen(store.stat(name), stats[name])
            assert self.get(storage, name) == name.encode()

    def test_listing(self, store: BlobStore, storage: Any) -> None:
        """A listing has each name with the suffix once, in an order that is stable."""
        for name in NAMES:
            self.put(storage, name, b"data")
        found = list(listed(store, ".x", stats=True))
        assert {name for name, _ in found} == {name for name in NAMES if name.endswith(".x")}
        assert len(found) == len(NAMES) - 1
        assert dict(found) == {name: store.stat(name) for name, _ in found}
        names = [name for name, _ in listed(store, ".x", stats=False)]
        assert names == [name for name, _ in found]
        assert [name for name, _ in listed(store, ".y", stats=False)] == ["a.x.y"]

    def test_listing_while_it_changes(self, store: BlobStore) -> None:
        """Blobs may go while a listing runs: what has gone may be missing, nothing fails."""
        for n in range(20):
            store.write(f"a/{n}/b.x", b"data", None)
        listing = listed(store, ".x", stats=True)
        first = next(listing)[0]
        for n in range(20):
            store.remove(f"a/{n}/b.x", None)
        store.prune()
        rest = [name for name, _ in listing]
        assert len({first, *rest}) == 1 + len(rest) <= 20
        assert list(listed(store, ".x", stats=True)) == []

    def test_children(self, store: BlobStore, storage: Any) -> None:
        """A child is a live view of the names below a prefix."""
        child, nested = store.child("a"), store.child("a").child("b")
        assert list(listed(child, "", stats=False)) == []
        for name in NAMES:
            self.put(storage, name, name.encode())
        assert {name for name, _ in listed(child, ".x", stats=False)} == {"b.x", "b/c.x"}
        assert child.read("b.x") == store.read("a/b.x")
        assert nested.read("c.x") == child.read("b/c.x") == store.read("a/b/c.x")
        child.write("new.x", b"new", IF_ABSENT)
        assert self.get(storage, "a/new.x") == b"new"
        assert child.remove("b.x", None)
        assert self.get(storage, "a/b.x") is None
        assert {*listed(store.child(""), "", stats=True)} == {*listed(store, "", stats=True)}

    def test_pruning(self, store: BlobStore, storage: Any) -> None:
        """What is left over goes; blobs stay, and the store goes on."""
        store.write("a/b/c.x", b"stays", None)
        store.write("d/e/f.x", b"goes", None)
        store.remove("d/e/f.x", None)
        store.prune()
        assert self.get(storage, "a/b/c.x") == b"stays"
        store.remove("a/b/c.x", None)
        store.prune()
        assert store.write("d/e/f.x", b"again", IF_ABSENT) is not None
        assert self.get(storage, "d/e/f.x") == b"again"

    def test_handles_see_one_storage(self, storage: Any) -> None:
        """Two handles agree about everything."""
        one, two = self.open(storage), self.open(storage)
        written = one.write("k.x", b"data", IF_ABSENT)
        assert written is not None
        self.check_seen(two.stat("k.x"), written)
        assert two.write("k.x", b"other", IF_ABSENT) is None
        assert two.write("k.x", b"other", Guard(written.etag)) is not None
        assert one.read("k.x") == two.read("k.x")
        assert one.remove("k.x", Guard(written.etag)) is False

    def test_messages(self, store: BlobStore) -> None:
        """Errors can say what is absent, and where."""
        assert isinstance(store.absence("a/b.x"), Exception)
        assert "b.x" in store.where("a/b.x")
        assert isinstance(store.backend, str)
        assert isinstance(store.stat_is_cheap, bool)
