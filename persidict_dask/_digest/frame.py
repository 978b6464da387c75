"""The bytes of the digest scheme: length-prefixed tokens, and the tree over large buffers."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

from xxhash import xxh3_128, xxh3_128_digest

SCHEME: Final = b"persidict-digest-2"
"""Stands at the head of every digest: another scheme gives other keys, never wrong hits."""

INLINE: Final = 64  # a payload up to here stands in its token as it is
SMALL: Final = 1024  # a payload up to here is hashed by blake2b itself, above it by leaves
LEAF: Final = 1 << 20
_FLUSH: Final = 1 << 16


def frame(tag: bytes, payload: Any) -> bytes:
    """Token of a payload: itself behind tag and length, or a hash of that when it is long."""
    size = len(payload)
    if size <= INLINE:
        return b"%b %d:%b" % (tag, size, payload)
    if size <= SMALL:
        return hashed(b"%b %d:%b" % (tag, size, payload))
    return hashed(b"%b %d^%b" % (tag, size, _leaves(payload)))


def hashed(data: bytes) -> bytes:
    """Token that stands for longer ones; no framed token begins with its mark."""
    return b"#" + blake2b(data, digest_size=32).digest()


def hex_digest(token: bytes) -> str:
    """What users see of a token: 40 hex characters, the scheme included."""
    return blake2b(SCHEME + b"\n" + token, digest_size=20).hexdigest()


def frame_all(tag: bytes, tokens: Iterable[bytes]) -> bytes:
    """Token of a container, from the tokens of its members in the order given."""
    return frame(tag, b"".join(tokens))


def _leaves(payload: bytes | memoryview) -> bytes:
    view = memoryview(payload)
    return b"".join(xxh3_128_digest(view[at : at + LEAF]) for at in range(0, len(view), LEAF))


class Stream:
    """A payload that arrives in pieces and is never held as a whole; same token as `frame`."""

    def __init__(self) -> None:
        self._pieces: list[bytes | memoryview] = []
        self._waiting = 0
        self._size = 0
        self._leaves: list[bytes] = []
        self._leaf = xxh3_128()

    def add(self, piece: bytes | memoryview) -> None:
        """Append to the payload; a memory view must stay unchanged until the next `add`."""
        self._pieces.append(piece)
        self._waiting += len(piece)
        if self._waiting >= _FLUSH:
            self._flush()

    def token(self, tag: bytes) -> bytes:
        """Close the payload."""
        if self._size == 0 and self._waiting <= SMALL:
            return frame(tag, b"".join(self._pieces))
        self._flush()
        if self._size % LEAF:
            self._close_leaf()
        return hashed(b"%b %d^%b" % (tag, self._size, b"".join(self._leaves)))

    def _flush(self) -> None:
        data = memoryview(b"".join(self._pieces) if len(self._pieces) != 1 else self._pieces[0])
        self._pieces, self._waiting = [], 0
        while data:
            room = LEAF - self._size % LEAF
            self._leaf.update(data[:room])
            self._size += len(data[:room])
            data = data[room:]
            if self._size % LEAF == 0:
                self._close_leaf()

    def _close_leaf(self) -> None:
        self._leaves.append(self._leaf.digest())
        self._leaf = xxh3_128()
