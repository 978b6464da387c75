"""The instructions of a code object, the same ones on every layout and free of what is cosmetic."""

from __future__ import annotations

import dis
import functools
import re
import sys
from collections import defaultdict
from types import CodeType
from typing import Any, Final, NamedTuple


class Step(NamedTuple):
    """One instruction; `jump` and `handler` are positions in the list of steps."""

    name: str
    argument: Any
    is_constant: bool
    silent: bool  # does nothing, or belongs to a docstring or an annotation
    jump: int | None
    handler: int | None
    unwinding: bytes  # what the handler finds on the stack


_SILENT: Final = frozenset({"NOP", "EXTENDED_ARG", "CACHE"})
_BOOKKEEPING: Final = frozenset({"__doc__", "__firstlineno__", "__static_attributes__"})
_LITERALS: Final = frozenset({"LOAD_CONST", "LOAD_SMALL_INT"})
_CERTAIN: Final = frozenset(
    {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE"}
)
_HARMLESS: Final = frozenset({"LOAD_CONST", "STORE_FAST"}) | (
    {"LOAD_FAST", "LOAD_FAST_BORROW"} if sys.version_info >= (3, 12) else frozenset[str]()
)
"""These never raise: whether they stand inside a `try` makes no difference."""

_ANNOTATED: Final = 0x04
_ANNOTATING: Final = _ANNOTATED | 0x10  # the annotations, or from 3.14 on what makes them


@functools.lru_cache(maxsize=512)
def steps_of(code: CodeType) -> list[Step]:
    """The steps of a code object in their order."""
    instructions = [part for one in dis.get_instructions(code) for part in _split(one)]
    silent = _silent(instructions)
    places: dict[int, int] = {}
    for at, instruction in enumerate(instructions):
        places.setdefault(instruction.offset, at)
    handlers = _handlers(code, places)
    steps: list[Step] = []
    for at, instruction in enumerate(instructions):
        step = _step(instruction, at in silent, places, handlers[instruction.offset])
        if step.name == "KW_NAMES":  # not among the constants for `dis`
            step = step._replace(argument=code.co_consts[instruction.arg or 0], is_constant=True)
        steps.append(step)
    _exchange(steps)
    return steps


def _exchange(steps: list[Step]) -> None:
    """Store in the other order instead of swapping first, as the compiler does on one line."""
    targets = {at for step in steps for at in (step.jump, step.handler)}
    for at in range(len(steps) - 1, -1, -1):
        if steps[at].name == "SWAP":
            stores = _stores_after(steps, at, steps[at].argument, targets)
            names = [steps[store].argument or store for store in stores]  # POP_TOP has none
            if stores and names[0] not in names[1:] and names[-1] not in names[:-1]:
                first, last = stores[0], stores[-1]
                steps[first], steps[last] = steps[last], steps[first]
                steps[at] = steps[at]._replace(silent=True)


def _stores_after(steps: list[Step], at: int, count: int, targets: set[int | None]) -> list[int]:
    """Positions of so many stores that follow, if nothing else stands between them."""
    found: list[int] = []
    for here in range(at + 1, len(steps)):
        if here in targets or len(found) == count:
            break
        if steps[here].name in ("STORE_FAST", "POP_TOP"):
            found.append(here)
        elif not steps[here].silent:
            break
    return found if len(found) == count else []


def _split(instruction: dis.Instruction) -> list[dis.Instruction]:
    """Two instructions in one, which the compiler makes of two on one line."""
    names = re.fullmatch(
        "((?:LOAD|STORE)_FAST)_((?:LOAD|STORE)_FAST)", _spelled(instruction.opname)
    )
    if names is None:
        return [instruction]
    pairs = zip(names.groups(), instruction.argval, strict=True)
    return [
        instruction._replace(opname=name, opcode=dis.opmap[name], arg=0, argval=variable)
        for name, variable in pairs
    ]


def _step(
    instruction: dis.Instruction,
    silent: bool,
    places: dict[int, int],
    handler: tuple[int | None, bytes],
) -> Step:
    name, argument = _spelled(instruction.opname), instruction.argval
    jump = None
    if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
        jump, argument = places[argument], None
    if name == "MAKE_FUNCTION":
        argument = (instruction.arg or 0) & ~_ANNOTATED
    elif name in ("LOAD_GLOBAL", "LOAD_ATTR", "LOAD_SUPER_ATTR"):
        argument = (argument, instruction.argrepr != argument)
    if instruction.opname in _HARMLESS:
        handler = (None, b"")
    is_constant = instruction.opcode in dis.hasconst
    return Step(name, argument, is_constant, silent, jump, *handler)


def _spelled(name: str) -> str:
    if name in _CERTAIN:
        return "JUMP"
    name = re.sub("FAST_(BORROW|CHECK)", "FAST", name)
    return re.sub("^POP_JUMP_(FORWARD|BACKWARD)_IF", "POP_JUMP_IF", name)


def _handlers(code: CodeType, places: dict[int, int]) -> defaultdict[int, tuple[int | None, bytes]]:
    """Where an exception leads, by offset."""
    found: defaultdict[int, tuple[int | None, bytes]] = defaultdict(lambda: (None, b""))
    for entry in dis._parse_exception_table(code):  # type: ignore[attr-defined]
        handler = (places[entry.target], b"%d %d" % (entry.depth, entry.lasti))
        found.update({at: handler for at in places if entry.start <= at < entry.end})
    return found


def _silent(instructions: list[dis.Instruction]) -> frozenset[int]:
    """Positions of instructions whose absence nobody would notice."""
    silent: set[int] = set()
    for at, instruction in enumerate(instructions):
        name = instruction.opname
        if name in _SILENT:
            silent.add(at)
        elif name == "STORE_NAME" and instruction.argval in _BOOKKEEPING:
            if at and instructions[at - 1].opname in _LITERALS:
                silent |= {at - 1, at}
        elif name == "MAKE_FUNCTION" and (instruction.arg or 0) & _ANNOTATED:
            silent |= _annotations(instructions, at - 1, instruction.arg or 0)
        elif name == "SET_FUNCTION_ATTRIBUTE" and (instruction.arg or 0) & _ANNOTATING:
            function = _expression(instructions, at - 1)
            silent |= {at} | _expression(instructions, min(function, default=at) - 1)
        elif name == "STORE_SUBSCR" and _stores_annotation(instructions, at):
            silent |= _expression(instructions, at - 3)
    return frozenset(silent)


def _annotations(instructions: list[dis.Instruction], code_at: int, flags: int) -> set[int]:
    """The expression under the code object, and under the closure if there is one."""
    end = code_at - 1
    if flags & 0x08:
        closure = _expression(instructions, end)
        end = min(closure, default=end + 1) - 1
    return _expression(instructions, end)


def _stores_annotation(instructions: list[dis.Instruction], at: int) -> bool:
    return (
        at >= 3
        and instructions[at - 1].opname in _LITERALS
        and instructions[at - 2].opname == "LOAD_NAME"
        and instructions[at - 2].argval == "__annotations__"
    )


def _expression(instructions: list[dis.Instruction], end: int) -> set[int]:
    """Positions of the expression whose value is pushed at `end`; none when it has branches."""
    height, at = 0, end
    while at >= 0:
        instruction = instructions[at]
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            return set()
        height += dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        if height == 1:
            return set(range(at, end + 1))
        at -= 1
    return set()
