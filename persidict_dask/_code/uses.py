"""What code does with an object that it loads: whether it may change it, or what is inside of it.

Only what certainly leaves an object as it is counts as reading. Everything else may write: the
object is passed on, stored, returned, or asked for a method that is not known.
"""

from __future__ import annotations

import functools
import inspect
from collections import deque
from types import CodeType, FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final

from persidict_dask._code.instructions import Step, steps_of

WRITTEN: Final = 0
BELOW: Final = 1  # the object stays as it is, but what is taken out of it may be changed
READ: Final = 99  # the object and all inside of it stay as they are
"""A use is the number of levels that stay as they are: 2 for `CONFIG["a"]["b"]`, stored."""

_METHODS: Final = frozenset({"get", "keys", "values", "items", "copy", "index", "count"})
"""Methods of built-in containers that only read."""
LOOKING: Final = frozenset(
    {
        "abs", "all", "any", "bool", "float", "int", "isinstance", "len", "max", "min", "repr",
        "round", "sorted", "str", "sum", "vars",
    }
)  # fmt: skip
"""Built-in functions that leave their argument as it is."""
_CONTAINERS: Final = (dict, list, set, deque, bytearray)
_SLOTS: Final = (GetSetDescriptorType, MemberDescriptorType)
_GIVE_BACK: Final = frozenset({"max", "min", "sorted"})  # what is inside, which may be changed
_PUSHES: Final = {"LOAD_CONST": 1, "LOAD_SMALL_INT": 1, "LOAD_FAST": 1, "LOAD_DEREF": 1}
_LOOKS: Final = frozenset(
    {"UNARY_NEGATIVE", "UNARY_NOT", "UNARY_INVERT", "UNARY_POSITIVE", "TO_BOOL", "FORMAT_VALUE"}
    | {"FORMAT_SIMPLE", "CONVERT_VALUE", "POP_TOP", "COMPARE_OP", "IS_OP", "CONTAINS_OP"}
    | {"POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE", "POP_JUMP_IF_NONE", "POP_JUMP_IF_NOT_NONE"}
)
_TAKEN: Final = {  # how many operands an instruction takes; each of these leaves one
    "UNARY_NEGATIVE": 1, "UNARY_NOT": 1, "UNARY_INVERT": 1, "UNARY_POSITIVE": 1, "TO_BOOL": 1,
    "FORMAT_VALUE": 1, "FORMAT_SIMPLE": 1, "CONVERT_VALUE": 1, "LOAD_ATTR": 1, "COMPARE_OP": 2,
    "IS_OP": 2, "CONTAINS_OP": 2, "BINARY_OP": 2, "BINARY_SUBSCR": 2, "BINARY_SLICE": 3,
}  # fmt: skip
_FIRST_IN_PLACE: Final = 13  # of the operators of BINARY_OP, `+=` is the first


def use_of(steps: list[Step], at: int, start: int | None = None) -> int:
    """What happens to the value that the step at a position puts onto the stack.

    The expression of the value begins at `start`.
    """
    start = at if start is None else start
    height = 1  # of the stack, counted from the value upwards
    for here in range(at + 1, len(steps)):
        step = steps[here]
        taken = _operands(step)
        if taken is None or taken >= height:
            return _end(steps, start, here, height)
        if step.jump is not None:
            return WRITTEN
        height += _pushed(step) - taken
    return WRITTEN


def use_by_kind(value: Any, use: int, name: str | None, *, is_project: bool) -> int:
    """What a use means for a value: on objects of the project, operators and attributes run code.

    `name` is the attribute that is taken, if one is.
    """
    cls: Any = type(value)
    if name is None:
        runs_code = is_project and not isinstance(value, type)
        return min(use, use_by_operators(cls)) if runs_code or hasattr(cls, "__missing__") else use
    member = inspect.getattr_static(cls, name, None)
    if isinstance(value, _CONTAINERS) and not is_project:
        return use if name in _METHODS else WRITTEN
    if member is None and hasattr(cls, "__getattr__"):
        return WRITTEN
    is_data = member is None or isinstance(member, _SLOTS) or not hasattr(type(member), "__get__")
    return use if is_data else _use_by_member(member)


def _use_by_member(member: Any) -> int:
    """What a method or a property does with its object."""
    function = member.fget if isinstance(member, property) else member
    return _use_in(function.__code__) if isinstance(function, FunctionType) else WRITTEN


@functools.lru_cache(maxsize=4096)
def _use_in(code: CodeType) -> int:
    """What a method does with its first argument."""
    first = next(iter(code.co_varnames), "")
    if code.co_argcount == 0 or first in code.co_cellvars:
        return WRITTEN
    steps = [step for step in steps_of(code) if not step.silent]
    loads = (at for at, s in enumerate(steps) if (s.name, s.argument) == ("LOAD_FAST", first))
    return min((use_of(steps, at) for at in loads), default=READ)


@functools.lru_cache(maxsize=1024)
def use_by_operators(cls: Any) -> int:
    """What operators on objects of a class, and functions like `len`, do with the object."""
    members: list[Any] = [getattr(cls, name, None) for name in _LOOKED_AT]
    if any(hasattr(cls, name) and not _is_python(getattr(cls, name)) for name in _CHANGING):
        return WRITTEN
    return min((_use_in(one.__code__) for one in members if _is_python(one)), default=READ)


def _is_python(member: Any) -> bool:
    return isinstance(member, FunctionType)


_CHANGING: Final = ("__missing__", "__next__")
_LOOKED_AT: Final = (
    *_CHANGING,
    *("__bool__", "__contains__", "__getattr__", "__getitem__", "__iter__", "__len__"),
    *("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__reversed__"),
    *("__abs__", "__float__", "__index__", "__int__", "__invert__", "__neg__", "__pos__"),
    *("__add__", "__and__", "__floordiv__", "__matmul__", "__mod__", "__mul__", "__or__"),
    *("__pow__", "__radd__", "__rmul__", "__rsub__", "__rtruediv__", "__sub__", "__truediv__"),
    "__xor__",
)
"""Methods that run when an object is looked at."""


def is_method(step: Step) -> bool:
    """Does a step take an attribute only to call it?"""
    return step.name == "LOAD_METHOD" or (step.name == "LOAD_ATTR" and step.argument[1])


def _operands(step: Step) -> int | None:
    """How many values a step takes from the stack; `None` if that is not known here."""
    if step.name in _PUSHES or step.name == "LOAD_GLOBAL":
        return 0
    if step.name in ("BUILD_SLICE", "BUILD_TUPLE"):
        return int(step.argument)
    return None if is_method(step) else _TAKEN.get(step.name)


def _pushed(step: Step) -> int:
    return 1 + (step.name == "LOAD_GLOBAL" and step.argument[1])


def _end(steps: list[Step], start: int, here: int, height: int) -> int:
    """What the step that takes the value does to it; the value is the `height`-th from the top."""
    step = steps[here]
    if step.name in _LOOKS or (step.name == "BINARY_SUBSCR" and height == 1):
        return READ
    if step.name == "BINARY_OP":
        is_changed = height == 2 and step.argument >= _FIRST_IN_PLACE
        return WRITTEN if is_changed else _inside(steps, start, here)
    if step.name in ("BINARY_SUBSCR", "BINARY_SLICE"):
        return _inside(steps, start, here)
    if step.name == "BUILD_TUPLE":
        return READ if use_of(steps, here, start) == READ else WRITTEN
    if height == 1 and is_method(step):
        name = step.argument[0] if step.name == "LOAD_ATTR" else step.argument
        return BELOW if name in _METHODS else WRITTEN
    if height == 1 and step.name == "LOAD_ATTR":
        return _inside(steps, start, here)
    if height != 1 or not _is_looked_at(steps, start, here):
        return WRITTEN
    name = steps[start - 1].argument[0]
    if name == "vars":
        called = here + (steps[here].name == "PRECALL")
        return READ if use_of(steps, called, start - 1) == READ else WRITTEN
    return BELOW if name in _GIVE_BACK else READ


def _inside(steps: list[Step], start: int, at: int) -> int:
    return min(use_of(steps, at, start) + 1, READ)


def _is_looked_at(steps: list[Step], start: int, here: int) -> bool:
    """Is the value the only argument of a function that changes nothing, as in `len(value)`?"""
    if steps[here].name == "PRECALL":
        here += 1
    is_call = steps[here].name == "CALL" and steps[here].argument == 1
    before = steps[start - 1]
    return is_call and start > 0 and before.name == "LOAD_GLOBAL" and before.argument[0] in LOOKING
