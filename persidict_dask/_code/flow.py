"""What a code object does, without how it was laid out.

Line numbers steer the compiler: a statement broken over lines gets other NOPs, jumps to jumps and
copies of short endings. So a code object is seen as an automaton, whose states are instructions
with their resolved arguments and whose edges are "next", "jump" and "on an exception"; states
that behave alike are one. Docstrings and annotations have no state.
"""

from __future__ import annotations

from types import CodeType
from typing import Any, Final, NamedTuple

from xxhash import xxh3_128_digest

from persidict_dask._code.instructions import Step, steps_of
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import Walker

_FLAGS: Final = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
"""Varargs, varkeywords, generator, coroutine, iterable coroutine, asynchronous generator."""

_ENDS: Final = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"})
_SPIN: Final = -1  # a loop that does nothing
_KEPT: Final = 4096
_tokens: dict[CodeType, bytes] = {}


class _State(NamedTuple):
    label: bytes
    edges: tuple[int, ...]


def flow_token(code: CodeType) -> bytes:
    """Token of a code object, nested ones included."""
    token = _tokens.get(code)
    if token is None:
        if len(_tokens) >= _KEPT:
            _tokens.clear()
        token = _tokens[code] = frame_all(b"flow", (_signature(code), _behaviour(code)))
    return token


def _signature(code: CodeType) -> bytes:
    positional, keyword = code.co_argcount, code.co_kwonlyargcount
    variadic = bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    names = code.co_varnames[: positional + keyword + variadic]
    counts = (positional, code.co_posonlyargcount, keyword, code.co_flags & _FLAGS)
    return Walker().token((code.co_name, counts, names))


def _behaviour(code: CodeType) -> bytes:
    steps = steps_of(code)
    flow = _Flow(steps)
    states = flow.reachable()
    colours = _refined(states)
    everything = b"".join(sorted(set(colours.values())))
    return frame(b"automaton", colours[flow.start] + everything)


class _Flow:
    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self.start = self._follow(0)

    def reachable(self) -> dict[int, _State]:
        states: dict[int, _State] = {}
        waiting = [self.start]
        while waiting:
            at = waiting.pop()
            if at not in states:
                states[at] = self._state(at)
                waiting.extend(states[at].edges)
        return states

    def _state(self, at: int) -> _State:
        if at == _SPIN:
            return _State(b"spin", ())
        step = self._steps[at]
        name, edges = _name(step), list[int]()
        if step.name not in _ENDS and at + 1 < len(self._steps):
            edges.append(self._follow(at + 1))
        if step.jump is not None:
            name, target = self._threaded(step)
            edges.append(target)
            if name in _MIRRORED:  # "if not" jumps where "if" goes on
                name, edges = _MIRRORED[name], edges[::-1]
        if step.handler is not None:
            edges.append(self._follow(step.handler))
        label = frame_all(b"op", (name.encode(), b" ", _argument(step), step.unwinding))
        return _State(label, tuple(edges))

    def _follow(self, at: int) -> int:
        """The first state from here on that does something."""
        seen = set()
        while at not in seen:
            seen.add(at)
            step = self._steps[at]
            if step.silent or step.name == "PUSH_NULL":
                at += 1
            elif step.jump is not None and _is_certain(step):
                at = step.jump
            else:
                return at
        return _SPIN

    def _threaded(self, step: Step) -> tuple[str, int]:
        """A conditional jump onto a test of the same value: take the second jump at once.

        The compiler does so only when both stand on one line.
        """
        name = step.name
        assert step.jump is not None
        target = self._follow(step.jump)
        while name in _KEEPING and target != _SPIN:
            then = self._steps[target]
            truth = name == "JUMP_IF_TRUE_OR_POP"
            if then.name not in _TESTS or then.jump is None:
                break
            if _TESTS[then.name] == truth:  # the second jump is taken, too
                name, target = then.name, self._follow(then.jump)
            else:
                name = "POP_JUMP_IF_TRUE" if truth else "POP_JUMP_IF_FALSE"
                target = self._follow(target + 1)
        return name, target


_KEEPING: Final = frozenset({"JUMP_IF_TRUE_OR_POP", "JUMP_IF_FALSE_OR_POP"})
_MIRRORED: Final = {
    "POP_JUMP_IF_FALSE": "POP_JUMP_IF_TRUE",
    "POP_JUMP_IF_NONE": "POP_JUMP_IF_NOT_NONE",
}
_TESTS: Final = {
    "JUMP_IF_TRUE_OR_POP": True,
    "JUMP_IF_FALSE_OR_POP": False,
    "POP_JUMP_IF_TRUE": True,
    "POP_JUMP_IF_FALSE": False,
}


def _is_certain(step: Step) -> bool:
    return step.name == "JUMP"


def _name(step: Step) -> str:
    return "LOAD_ATTR" if step.name == "LOAD_METHOD" else step.name


def _argument(step: Step) -> bytes:
    """What a step works with; how a call is prepared depends on where a name was imported."""
    if step.is_constant:
        return _constant(step.argument)
    is_prepared = step.name in ("LOAD_GLOBAL", "LOAD_ATTR")
    return repr(step.argument[0] if is_prepared else step.argument).encode()


def _constant(value: Any) -> bytes:
    return flow_token(value) if isinstance(value, _CODE) else Walker().token(value)


_CODE: Final = type(_Flow.reachable.__code__)


def _refined(states: dict[int, _State]) -> dict[int, bytes]:
    """Colours that tell two states apart exactly when they do not behave alike."""
    colours = {at: xxh3_128_digest(state.label) for at, state in states.items()}
    classes = len(set(colours.values()))
    while True:
        colours = {
            at: xxh3_128_digest(colours[at] + b"".join(colours[to] for to in state.edges))
            for at, state in states.items()
        }
        if len(set(colours.values())) == classes:
            return colours
        classes = len(set(colours.values()))
