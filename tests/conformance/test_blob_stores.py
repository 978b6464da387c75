"""The blob store for folders."""

from __future__ import annotations

from pathlib import Path

from persidict._folder_blobs import FolderBlobs
from persidict.testing import BlobStoreSuite

from .backends import Storage


class TestFolderBlobs(BlobStoreSuite):
    def open(self, storage: Storage) -> FolderBlobs:
        return FolderBlobs(str(self.root(storage)))

    def root(self, storage: Storage) -> Path:
        return storage.path / "blobs"

    def put(self, storage: Storage, name: str, data: bytes) -> None:
        file = self.root(storage) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def get(self, storage: Storage, name: str) -> bytes | None:
        file = self.root(storage) / name
        return file.read_bytes() if file.exists() else None


class TestChildOfFolderBlobs(TestFolderBlobs):
    """A child is a store by itself."""

    def open(self, storage: Storage) -> FolderBlobs:
        parent = FolderBlobs(str(storage.path / "blobs"))
        parent.write("beside.x", b"beside", None)
        child: FolderBlobs = parent.child("child/of")
        return child

    def root(self, storage: Storage) -> Path:
        return storage.path / "blobs" / "child" / "of"
