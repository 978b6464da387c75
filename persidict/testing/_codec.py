"""The suite for codecs: values to bytes and back."""

from __future__ import annotations

import copy
import mmap
from functools import partial
from typing import Any, ClassVar

from persidict._codecs import Codec
from persidict.testing._conditional import attempt
from persidict.testing._fixtures import Capability, Suite, needs


class CodecSuite(Suite):
    """What a codec promises; a subclass supplies a fixture `codec`, samples and refused values."""

    samples: ClassVar[tuple[Any, ...]] = ()
    """Values that the codec can hold, each different from the others, with `==` and a type."""
    refused: ClassVar[tuple[Any, ...]] = ()
    """Values that it cannot hold."""

    detects_damage: ClassVar[Capability] = True
    """Any flipped bit is an error or does not matter."""
    detects_truncation: ClassVar[Capability] = True
    """Bytes that are cut off are an error."""

    def test_values_come_back(self, codec: Codec) -> None:
        """Decoding what was encoded gives an equal value of the same type."""
        for value in self.samples:
            decoded = codec.decode(bytes(codec.encode(value)))
            assert decoded == value
            assert type(decoded) is type(value)

    def test_there_are_samples(self) -> None:
        """The other tests have something to work on."""
        assert len(self.samples) >= 2
        assert len(self.refused) >= 1

    def test_stored_forms_are_bytes(self, codec: Codec) -> None:
        """A blob store gets nothing but bytes, and different ones for different values."""
        encoded = [codec.encode(value) for value in self.samples]
        assert {type(data) for data in encoded} <= {bytes, bytearray, mmap.mmap}
        assert len({bytes(data) for data in encoded}) == len(encoded)

    def test_encoding_is_repeatable(self, codec: Codec) -> None:
        """Equal values, built in the same way, have equal bytes: an etag may be their hash."""
        for value in self.samples:
            copied = copy.deepcopy(value)
            assert bytes(codec.encode(value)) == bytes(codec.encode(copied))

    def test_values_are_left_alone(self, codec: Codec) -> None:
        """Encoding changes nothing, and each decoding makes a new object."""
        for value in self.samples:
            before = copy.deepcopy(value)
            data = bytes(codec.encode(value))
            assert value == before
            if isinstance(value, list | dict | set):
                assert codec.decode(data) is not codec.decode(data) is not value

    def test_refuses_what_has_no_stored_form(self, codec: Codec) -> None:
        """What cannot be stored is an error of encoding, not of reading it back."""
        for value in self.refused:
            assert attempt(partial(codec.encode, value)).error is not None

    def test_content_type(self, codec: Codec) -> None:
        """A media type tells others what the bytes are."""
        kind, _, subtype = codec.content_type.partition("/")
        assert kind
        assert subtype

    @needs("detects_truncation")
    def test_truncated_bytes_are_an_error(self, codec: Codec) -> None:
        """A value whose end is missing is never taken for a whole one."""
        wrong = []
        for value in self.samples:
            data = bytes(codec.encode(value))
            lengths = range(len(data)) if len(data) < 500 else range(0, len(data), 97)
            wrong += [(value, n) for n in lengths if not _fails(codec, data[:n])]
        assert wrong == []

    @needs("detects_damage")
    def test_flipped_bits_are_noticed(self, codec: Codec) -> None:
        """A damaged value is an error and never a wrong value."""
        wrong = []
        for value in self.samples:
            data = bytes(codec.encode(value))
            step = 1 + len(data) // 200
            for n in range(0, len(data), step):
                for bit in range(8):
                    damaged = bytearray(data)
                    damaged[n] ^= 1 << bit
                    if not _fails(codec, bytes(damaged), unless=value):
                        wrong.append((value, n, bit))
        assert wrong == []


_NOTHING = object()


def _fails(codec: Codec, data: bytes, unless: Any = _NOTHING) -> bool:
    """Return whether decoding fails, or gives the right value in spite of all."""
    got = attempt(partial(codec.decode, data))
    return got.error is not None or (unless is not _NOTHING and bool(got.result == unless))
