"""What a place for bytes must offer to become the ground of a dictionary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias, TypeVar

from persidict._buffers import Buffer
from persidict._words import Guard, Item, Stat
from persidict.jokers_and_status_flags import ITEM_NOT_AVAILABLE, ETagIfExists

T = TypeVar("T")

Blob: TypeAlias = Item[Buffer]


class Listed(NamedTuple):
    """Some blobs of one folder; their names are `folder + stem + suffix`."""

    folder: str
    """A path that ends in "/", or nothing."""
    stems: list[str]
    stats: list[Stat] | None
    """One for each stem, where they were asked for."""
    sizes: list[int] | None = None
    """In bytes, one for each stem, where a listing tells them."""


class BlobStore(ABC):
    """Bytes under names; a name is a relative path with "/" between its parts.

    Absent blobs are answers (`None`, `False`), never exceptions. A guard is checked and obeyed in
    one step as far as the backend can; how far that is belongs in the docstring of the subclass.
    """

    backend: str
    """The name of the backend in error messages."""

    stat_is_cheap: bool = False
    """True if a look costs next to nothing compared with a write."""

    has_visitors: bool = False
    """True if programs that know nothing of dictionaries may leave files among the blobs."""

    @property
    def guards_are_exact(self) -> bool:
        """True if nobody can come between the check of a guard and the act."""
        return False

    def can_expect(self, etag: ETagIfExists) -> bool:
        """True if a guard can name this etag; some servers give such as prove nothing."""
        return True

    @abstractmethod
    def stat(self, name: str) -> Stat | None:
        """Look at the blob without reading it."""

    def has(self, name: str) -> bool:
        """Tell whether the blob is there."""
        return self.stat(name) is not None

    @abstractmethod
    def read(self, name: str, unless: ETagIfExists = ITEM_NOT_AVAILABLE) -> Blob | None:
        """Return bytes and version, which belong together; no bytes if the etag is `unless`."""

    def read_each(self, wanted: Iterable[tuple[T, str, int]]) -> Iterator[tuple[T, Blob | None]]:
        """Read many blobs, in order.

        Args:
            wanted: for each blob what shall come back beside it, its name, and its size in bytes
                as far as it is known (else 0).
        """
        for beside, name, _ in wanted:
            yield beside, self.read(name)

    @abstractmethod
    def write(self, name: str, data: Buffer, guard: Guard | None) -> Stat | None:
        """Store the bytes whole or not at all; `None` if the guard did not hold."""

    @abstractmethod
    def remove(self, name: str, guard: Guard | None) -> bool:
        """Remove the blob; `False` if it was absent or the guard did not hold."""

    def remove_all(self, names: Iterable[str]) -> None:
        """Remove many blobs, one after the other or in batches; absent ones are passed over."""
        for name in list(names):  # a listing that runs may miss some if others are removed
            self.remove(name, None)

    @abstractmethod
    def scan(self, suffix: str, *, stats: bool) -> Iterator[Listed]:
        """Yield the names that end in `suffix`, in batches; with their stats if asked for.

        The order is stable without changes. A blob that vanishes meanwhile may be left out.
        """

    @abstractmethod
    def child(self, prefix: str) -> BlobStore:
        """Return the store of the names under `prefix`, a live view that costs nothing."""

    @abstractmethod
    def absence(self, name: str) -> Exception:
        """Return the backend's own error for a blob that is not there."""

    @abstractmethod
    def where(self, name: str) -> str:
        """Return the path or URL of a blob, for messages."""

    def prune(self) -> None:  # noqa: B027  # most backends keep nothing besides the blobs
        """Remove what is left over when blobs are gone, such as empty directories."""
