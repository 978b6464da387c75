"""Methods: what one reaches through its first argument, so that edits of others do not count."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final, NamedTuple

from persidict_dask._code.instructions import Step
from persidict_dask._code.reads import attribute_of, codes_of, meaningful
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.graph import root_token
from persidict_dask._errors import UnstableKeyError

_MISSING: Final = object()
_OF_INSTANCES: Final = (types.MemberDescriptorType, types.GetSetDescriptorType)
_OF_PYTHON: Final = types.WrapperDescriptorType
_LOADS: Final = frozenset({"LOAD_FAST", "LOAD_DEREF"})
_TAKES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"})
_HOOKS: Final = ("__getattr__", "__getattribute__", "__setattr__", "__delattr__")


class Reach(NamedTuple):
    """Names that code takes from its first argument, and by `super()`.

    `is_known` is false if the argument goes where it cannot be followed.
    """

    own: frozenset[str]
    inherited: frozenset[str]
    is_known: bool


def method_token(walker: CodeWalker, function: Any, owner: type) -> bytes:
    """Token of a method of a class, or of its instances: itself and the members it reaches.

    The whole class counts where the first argument goes out of sight.
    """
    members = _reached(function, owner)
    if members is None:
        return frame_all(b"method", (root_token(walker, function), root_token(walker, owner)))
    for cls in owner.__mro__:
        walker.watch(cls)
    with walker.by_parts(owner):
        parts = [root_token(walker, function)]
        for name, member in sorted(members, key=lambda pair: pair[0]):
            parts.append(walker.token(name) + _member(walker, owner, name, member))
    return frame_all(b"method", parts)


def _member(walker: CodeWalker, owner: type, name: str, member: Any) -> bytes:
    try:
        return root_token(walker, member)
    except UnstableKeyError as error:
        error.anchor(f"{owner.__module__}.{owner.__qualname__}.{name}")
        raise


def _reached(function: Any, owner: type) -> list[tuple[str, Any]] | None:
    """Names and members that a method reaches by itself and by others; `None`: out of sight."""
    if any(_is_hooked(cls) for cls in owner.__mro__):
        return None
    found: dict[str, Any] = {}
    waiting = [function]
    while waiting:
        codes = _codes(waiting.pop())
        if codes is None:
            return None
        for code, place in codes:
            reach = reach_of(code, place)
            if not reach.is_known or "__class__" in reach.own:
                return None
            for name, member in _members(reach, owner):
                if name not in found:
                    found[name] = member
                    waiting.append(member)
    return list(found.items())


def _is_hooked(cls: type) -> bool:
    hooks = (vars(cls).get(name) for name in _HOOKS)
    return any(hook is not None and not isinstance(hook, _OF_PYTHON) for hook in hooks)


def _members(reach: Reach, owner: type) -> Iterator[tuple[str, Any]]:
    for name in reach.own:
        member = inspect.getattr_static(owner, name, _MISSING)
        if member is not _MISSING and not isinstance(member, _OF_INSTANCES):
            yield name, member
    for name in reach.inherited:
        for cls in owner.__mro__:
            if name in vars(cls):
                yield f"{cls.__qualname__}.{name}", vars(cls)[name]


def _codes(member: Any) -> list[tuple[CodeType, int]] | None:
    """Code that gets the instance, in all layers, and as which argument; `None`: not known."""
    inner: tuple[Any, ...] = ()
    own: list[tuple[CodeType, int]] = []
    if isinstance(member, types.FunctionType):
        inner, own = (vars(member).get("__wrapped__"),), [(member.__code__, 0)]
    elif isinstance(member, property):
        inner = (member.fget, member.fset, member.fdel)
    elif isinstance(member, _HOLDERS):
        inner = (getattr(member, "func", None), getattr(member, "__wrapped__", None))
    elif hasattr(member, "__persist_settings__"):
        inner = (member.__wrapped__,)
    elif not isinstance(member, _NO_CODE):
        return _of_descriptor(type(member))
    found = [_codes(each) for each in inner if each is not None]
    return None if None in found else [*own, *(pair for pairs in found for pair in pairs or ())]


def _of_descriptor(cls: type) -> list[tuple[CodeType, int]] | None:
    """What the methods of a descriptor do with the instance that they are given."""
    methods = [getattr(cls, name, None) for name in ("__get__", "__set__", "__delete__")]
    if not all(isinstance(each, types.FunctionType) for each in methods if each is not None):
        return None
    return [(each.__code__, 1) for each in methods if each is not None]


_HOLDERS: Final = (functools.cached_property, functools._lru_cache_wrapper, classmethod)
_NO_CODE: Final = (staticmethod, type, types.BuiltinFunctionType, types.WrapperDescriptorType)


@functools.lru_cache(maxsize=4096)
def reach_of(code: CodeType, place: int) -> Reach:
    """What code does with its first argument, or another; code nested in it included."""
    if code.co_argcount <= place:
        return Reach(frozenset(), frozenset(), is_known=not code.co_flags & inspect.CO_VARARGS)
    first, own, inherited = code.co_varnames[place], set[str](), set[str]()
    for one in codes_of(code):
        steps = meaningful(one)
        is_shadowed = one is not code and first not in one.co_freevars
        for at in range(len(steps)):
            is_closure = (
                steps[at].name == "LOAD_FAST" and first in one.co_cellvars + one.co_freevars
            )
            if not is_shadowed and not is_closure and not _is_followed(steps, at, first, own):
                return Reach(frozenset(), frozenset(), is_known=False)
            name = _asked_of_super(steps, at)
            if name == "":
                return Reach(frozenset(), frozenset(), is_known=False)
            if name is not None:
                inherited.add(name)
    return Reach(frozenset(own), frozenset(inherited), is_known=True)


def _is_followed(steps: list[Step], at: int, first: str, own: set[str]) -> bool:
    """Note the attribute that is taken at a step; false if the argument goes elsewhere."""
    step = steps[at]
    if step.argument != first or step.is_constant or not step.name.endswith(("FAST", "DEREF")):
        return True
    if _is_for_super(steps, at):
        return True
    following = next((s for s in steps[at + 1 :] if s.name != "COPY"), step)
    if step.name not in _LOADS or following.name not in _TAKES:
        return False
    own.add(attribute_of(following))
    return True


def _is_for_super(steps: list[Step], at: int) -> bool:
    return at + 1 < len(steps) and steps[at + 1].name == "LOAD_SUPER_ATTR"


def _asked_of_super(steps: list[Step], at: int) -> str | None:
    """The attribute that is taken from `super()` at a step; empty for another use of it."""
    step = steps[at]
    if step.name == "LOAD_SUPER_ATTR":
        return attribute_of(step)
    if step.name == "LOAD_DEREF" and step.argument == "__class__":
        return None if at + 2 < len(steps) and _is_for_super(steps, at + 1) else ""
    if step.name != "LOAD_GLOBAL" or step.argument[0] != "super":
        return None
    rest = [each for each in steps[at + 1 :] if each.name != "PRECALL"][:3]
    if len(rest) > 1 and rest[0].name == "CALL" and rest[0].argument == 0:
        return attribute_of(rest[1]) if rest[1].name in _TAKES else ""
    return None if len(rest) > 2 and rest[2].name == "LOAD_SUPER_ATTR" else ""
