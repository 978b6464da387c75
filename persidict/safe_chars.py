"""The characters that keys may consist of, safe in file names and object names everywhere."""

from __future__ import annotations

import string

SAFE_CHARS_SET: set[str] = set(string.ascii_letters + string.digits + "()_-~.=")
SAFE_STRING_MAX_LENGTH: int = 254
"""A key component must be shorter than this."""


def get_safe_chars() -> set[str]:
    """Return a fresh copy of the set of safe characters."""
    return set(SAFE_CHARS_SET)


def replace_unsafe_chars(a_str: str, replace_with: str) -> str:
    """Return `a_str` with each unsafe character replaced by the whole of `replace_with`."""
    return "".join(c if c in SAFE_CHARS_SET else replace_with for c in a_str)


def contains_unsafe_chars(a_str: str) -> bool:
    """True if any character of `a_str` may not appear in a key."""
    return not SAFE_CHARS_SET.issuperset(a_str)
