"""Attributes of the members of enumerations: what counts beside the name and the value."""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from typing import Any

from persidict_dask._digest.graph import root_token
from persidict_dask._digest.reduced import cached_names
from persidict_dask._digest.walk import SCALARS, Walker
from persidict_dask._errors import UnstableKeyError


def attributes_of_member(
    walker: Walker, member: enum.Enum, attributes: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of the attributes of a member that count.

    What its class has made of the value need not have a stable content, and is left out then.
    """
    hidden = cached_names(type(member))
    own = {k: v for k, v in attributes.items() if k not in hidden and not k[0] == k[-1] == "_"}
    if not own or not _makes_attributes(type(member)):
        return own
    if walker.is_trial:
        return {}
    given = _given(member)
    new = {k: v for k, v in own.items() if k not in given or not _is_same(v, given[k])}
    return {key: value for key, value in new.items() if _is_stable(walker, value)}


def _makes_attributes(cls: type) -> bool:
    makers = (base for base in cls.__mro__ if base.__module__ not in ("enum", "builtins"))
    return any({"__init__", "__new_member__"} & vars(maker).keys() for maker in makers)


def _given(member: enum.Enum) -> dict[str, Any]:
    """What `__init__` got, by its names: such an attribute says what the value says.

    `cloudpickle` loses the attributes where it ships the class.
    """
    init = getattr(type(member), "__init__", None)
    if not isinstance(init, types.FunctionType):
        return {}
    value = member._value_
    names = init.__code__.co_varnames[1 : init.__code__.co_argcount]
    return dict(zip(names, value if isinstance(value, tuple) else (value,), strict=False))


def _is_same(value: Any, other: Any) -> bool:
    scalar = SCALARS.get(type(value))
    is_equal = scalar is not None and type(value) is type(other) and scalar(value) == scalar(other)
    return value is other or is_equal


def _is_stable(walker: Walker, value: Any) -> bool:
    """Has a value a content by itself? What members hold inside of it is not asked for."""
    if type(value) in SCALARS:
        return True
    trial = type(walker)(walker.by_value)
    trial.is_trial, trial.ignored = True, walker.ignored
    try:
        root_token(trial, value)
    except UnstableKeyError:
        return False
    return True
