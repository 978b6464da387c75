"""The built-in codecs, in every compression, and one that is registered."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from persidict._codecs import Codec, codec_for
from persidict.testing import CodecSuite, Lacks

UNCHECKED = "the compression has no checksum, or covers not all of the bytes with it"


class Unpicklable:
    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ValueError("no stored form")


class PickleSuite(CodecSuite):
    compression: ClassVar[str | None] = "lz4"
    samples = (
        None,
        5,
        "text \u00e4 \r\n",
        b"bytes",
        [1, [2.5, ("three", 4j)]],
        {"a": {1, 2}, 5: frozenset("x")},
        datetime(2024, 2, 29, 12, 30, 1, 5),
        Decimal("1.10"),
        bytes(range(256)) * 700,
        list(range(3000)),
    )
    refused = (Unpicklable(), [Unpicklable()], lambda: None)

    @pytest.fixture
    def codec(self) -> Codec:
        return codec_for("pkl", self.compression)

    @pytest.mark.parametrize("other", [None, "lz4", "zlib", "gzip", "bz2", "lzma", "xz"])
    def test_reads_every_compression(self, codec: Codec, other: str | None) -> None:
        """Whichever compression is used for writing, all of them are recognised."""
        for value in self.samples:
            assert codec.decode(codec_for("pkl", other).encode(value)) == value


class TestLz4(PickleSuite):
    pass


class TestUncompressed(PickleSuite):
    compression = None
    detects_damage = Lacks("a bare pickle has no checksum")


class TestZlib(PickleSuite):
    compression = "zlib"
    detects_damage = Lacks(UNCHECKED)


class TestGzip(PickleSuite):
    compression = "gzip"
    detects_damage = Lacks(UNCHECKED)


class TestBz2(PickleSuite):
    compression = "bz2"
    detects_damage = Lacks(UNCHECKED)


class TestLzma(PickleSuite):
    compression = "lzma"
    detects_damage = Lacks(UNCHECKED)


class TestXz(PickleSuite):
    compression = "xz"
    detects_damage = Lacks(UNCHECKED)


class TestJson(CodecSuite):
    samples = (
        "text \u00e4 \r\n",
        [1, 2.5, True, None],
        {"a": {"b": (1, "2")}, "s": {1, 2}},
        {},
        [],
    )
    refused = (Unpicklable(),)
    detects_damage = Lacks("JSON text has no checksum")

    @pytest.fixture
    def codec(self) -> Codec:
        return codec_for("json", None)


class TestText(CodecSuite):
    samples = ("", "text \u00e4 \u65e5\u672c \r\n \r", "x" * 1000)
    refused = (5, b"bytes", None, ["text"], "\ud800")
    detects_damage = Lacks("text is stored byte for byte")
    detects_truncation = Lacks("a shorter text is a text")

    @pytest.fixture
    def codec(self) -> Codec:
        return codec_for("txt", None)
