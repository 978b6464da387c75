"""Dictionaries in folders, in every format and every compression."""

from __future__ import annotations

from typing import Any, ClassVar

from persidict import FileDirDict, OverlappingMultiDict
from persidict.safe_str_tuple import NonEmptySafeStrTuple
from persidict.testing import (
    AppendOnlyDictSuite,
    ConditionalTable,
    DictFixtures,
    DictSuite,
    Inserting,
    InSubdict,
    Lacks,
    Overwriting,
    Reading,
)

from .backends import Storage, damage


class InFolder(DictFixtures):
    settings: ClassVar[dict[str, Any]] = {}

    def open(self, storage: Storage, **options: Any) -> FileDirDict[Any]:
        return storage.folder(**{**self.settings, **options})

    def plant_unreadable(self, storage: Storage, key: NonEmptySafeStrTuple) -> None:
        d = self.open(storage)
        d[key] = self.value(5)
        damage(storage.file_of(d, key))


class CompressedSuite(Reading, Inserting, Overwriting, ConditionalTable):
    """Enough of the suite to see every value of it written, read and damaged."""


class TestPickles(InFolder, DictSuite):
    pass


class TestPicklesAppendOnly(InFolder, AppendOnlyDictSuite):
    settings: ClassVar[dict[str, Any]] = {"append_only": True}


class TestJson(InFolder, DictSuite):
    settings: ClassVar[dict[str, Any]] = {"serialization_format": "json"}
    serialization_format = "json"


class TestText(InFolder, DictSuite):
    settings: ClassVar[dict[str, Any]] = {
        "serialization_format": "txt",
        "base_class_for_values": str,
    }
    serialization_format = "txt"
    any_value = Lacks("a text format stores strings only")


class TestUnsignedNames(InFolder, DictSuite):
    settings: ClassVar[dict[str, Any]] = {"digest_len": 0}


class TestUnsignedJsonAppendOnly(InFolder, AppendOnlyDictSuite):
    settings: ClassVar[dict[str, Any]] = {
        "digest_len": 0,
        "serialization_format": "json",
        "append_only": True,
    }
    serialization_format = "json"


class TestZlib(InFolder, CompressedSuite):
    settings: ClassVar[dict[str, Any]] = {"compression": "zlib"}


class TestGzip(InFolder, CompressedSuite):
    settings: ClassVar[dict[str, Any]] = {"compression": "gzip"}


class TestBz2(InFolder, CompressedSuite):
    settings: ClassVar[dict[str, Any]] = {"compression": "bz2"}


class TestLzma(InFolder, CompressedSuite):
    settings: ClassVar[dict[str, Any]] = {"compression": "lzma"}


class TestXz(InFolder, CompressedSuite):
    settings: ClassVar[dict[str, Any]] = {"compression": "xz"}


class TestUncompressed(InFolder, DictSuite):
    settings: ClassVar[dict[str, Any]] = {"compression": None}


class TestView(InSubdict, InFolder, DictSuite):
    pass


class TestViewAppendOnly(InSubdict, InFolder, AppendOnlyDictSuite):
    settings: ClassVar[dict[str, Any]] = {"append_only": True}


class TestMemberOfOverlapping(InFolder, DictSuite):
    """One of several dictionaries that share a folder and differ in format."""

    serialization_format = "json"

    def open(self, storage: Storage, **options: Any) -> FileDirDict[Any]:
        options = dict(options)
        name = options.pop("serialization_format", "json")
        family = OverlappingMultiDict(
            dict_type=FileDirDict,
            shared_subdicts_params={"base_dir": storage.path / "main", **options},
            pkl={},
            json={},
        )
        member: FileDirDict[Any] = getattr(family, name)
        return member


def test_etags_are_those_of_the_file(storage: Storage) -> None:
    """Time, size and inode: what `stat` tells, so that other programs' changes count as well."""
    d = storage.folder()
    d["a", "b"] = "value"
    seen = storage.file_of(d, ("a", "b")).stat()
    assert d.etag(("a", "b")) == f"{seen.st_mtime_ns}:{seen.st_size}:{seen.st_ino}"
    assert d.timestamp(("a", "b")) == seen.st_mtime
