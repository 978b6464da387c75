"""How things are shown to people: briefly, without secrets, keys as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from itertools import islice
from typing import Any

_SECRET = re.compile(r"(?:key|secret|token|password)$", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_COUNTED = 1000
_LISTED = 5
_LONGEST = 80


def call(name: str, params: Mapping[str, Any]) -> str:
    """Return what makes such an object: `name(param=value, ...)`."""
    return f"{name}({', '.join(f'{param}={value(v)}' for param, v in params.items())})"


def value(thing: Any) -> str:
    """Return the repr of a parameter, with passwords and keys of encryption left out."""
    if isinstance(thing, dict):  # not every mapping: that of a store would be read
        pairs = (f"{k!r}: {'...' if _is_secret(k) else value(v)}" for k, v in thing.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(without_login(thing) if isinstance(thing, str) else thing)


def without_login(text: str) -> str:
    """Return a text with the logins left out of its URLs."""
    return _LOGIN.sub("...", text)


def key(thing: Any) -> str:
    """Return a key as it is written between brackets: 'a' for a single component."""
    strings = getattr(thing, "strings", thing)
    return repr(strings[0] if strings is not thing and len(strings) == 1 else strings)


def table(name: str, params: Mapping[str, Any], keys: Iterable[Any]) -> str:
    """Return HTML with the parameters and a first glance at the keys, of which few are read."""
    rows = {"items": "", "first keys": ""} | {param: value(v) for param, v in params.items()}
    try:
        seen = list(islice(keys, _COUNTED))
        rows["items"] = f"{len(seen):,}" + "+" * (len(seen) == _COUNTED)
        rows["first keys"] = ", ".join(f"{key(each):.{_LONGEST}}" for each in seen[:_LISTED])
    except Exception as error:
        rows["items"] = f"{type(error).__name__}: {error}"
    lines = (f"<tr><th>{escape(n)}</th><td>{escape(text)}</td></tr>" for n, text in rows.items())
    return f"<table><caption>{escape(name)}</caption>{''.join(lines)}</table>"


def _is_secret(name: Any) -> bool:
    return isinstance(name, str) and bool(_SECRET.search(name))
