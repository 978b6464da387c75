"""Ids of parametrised tests that are the same in every process, so that tests can be shared out."""

import re


def stable(value):
    """The repr without addresses, and sets in order."""
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({sorted(map(repr, value))})"
    return re.sub(r"0x[0-9a-f]{6,}", "", repr(value))
