"""Signing of keys: a digest after each component, for file systems that ignore case."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from persidict.safe_str_tuple import SafeStrTuple

_MAX_DIGEST_LEN = 32
_GROUP = 8  # characters that base32 makes of 5 bytes
_SIGNIFICANT = 26  # characters that it makes of the 16 bytes of a digest, before the padding
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def sign_safe_str_tuple(str_seq: Any, digest_len: int) -> SafeStrTuple:
    """Return the key with a digest of `digest_len` characters after each component; idempotent."""
    return _each(sign_component, str_seq, digest_len)


def unsign_safe_str_tuple(str_seq: Any, digest_len: int) -> SafeStrTuple:
    """Return the key without valid digests; components that carry none stay as they are."""
    return _each(unsign_component, str_seq, digest_len)


def checked_digest_len(digest_len: Any) -> int:
    """Return the length, at most that of a whole digest; `TypeError` or `ValueError` if bad."""
    if not isinstance(digest_len, int):
        raise TypeError(f"digest_len must be an int, not {type(digest_len).__name__}")
    if digest_len < 0:
        raise ValueError(f"digest_len must not be negative, got {digest_len}")
    return min(digest_len, _MAX_DIGEST_LEN)


def _each(act: Callable[[str, int], str], str_seq: Any, digest_len: int) -> SafeStrTuple:
    key = SafeStrTuple(str_seq)
    if not key:
        return key
    length = checked_digest_len(digest_len)
    return SafeStrTuple([act(component, length) for component in key]) if length else key


def sign_component(component: str, digest_len: int) -> str:
    """Append the digest unless the component carries it already."""
    if not digest_len or unsign_component(component, digest_len) != component:
        return component
    return component + _suffix(component, digest_len)


def unsign_component(component: str, digest_len: int) -> str:
    """Cut a valid digest off."""
    body, tail = component[: -digest_len - 1], component[-digest_len - 1 :]
    return body if digest_len and body and tail == _suffix(body, digest_len) else component


def _suffix(component: str, digest_len: int) -> str:
    digest = hashlib.md5(component.encode(), usedforsecurity=False).digest()
    if digest_len <= _GROUP:
        return "_" + _base32(digest[:5])[:digest_len]
    groups = (digest + bytes(4))[: (digest_len + 7) // 8 * 5]
    text = "".join(_base32(groups[start : start + 5]) for start in range(0, len(groups), 5))
    return "_" + text[:_SIGNIFICANT].ljust(len(text), "=")[:digest_len]


def _base32(five: bytes) -> str:
    """Return 5 bytes as 8 characters, in less time than the standard library."""
    bits = int.from_bytes(five, "big")
    return (
        _PAIRS[bits >> 30]
        + _PAIRS[bits >> 20 & 1023]
        + _PAIRS[bits >> 10 & 1023]
        + _PAIRS[bits & 1023]
    )
