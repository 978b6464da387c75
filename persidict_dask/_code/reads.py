"""Which names outside of itself a code object reads: globals, attributes of modules, imports."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType
from typing import Final, NamedTuple

from persidict_dask._code.instructions import Step, steps_of


class Import(NamedTuple):
    """What an import statement inside a function binds a name to."""

    level: int
    module: str
    attribute: str | None = None  # of `from module import attribute`
    binds_top: bool = False  # `import a.b` binds `a`


class Read(NamedTuple):
    """A name and the attributes taken from it: `np.linalg.norm` is `np`, `linalg`, `norm`."""

    name: str
    chain: tuple[str, ...]
    is_free: bool = False  # read from the closure
    binding: Import | None = None  # or bound by an import inside the function

    def __str__(self) -> str:
        return ".".join((self.name, *self.chain))


_GLOBAL: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_FREE: Final = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_LOCAL: Final = frozenset({"LOAD_FAST", "LOAD_FAST_AND_CLEAR"})
_STORES: Final = frozenset({"STORE_FAST", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME"})
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"})


@functools.lru_cache(maxsize=4096)
def reads_of(code: CodeType) -> tuple[Read, ...]:
    """What a function's code and the code nested in it read; each name once, sorted.

    A global that the code assigns itself is its state, not a part of its meaning.
    """
    codes = list(_nested(code))
    imports = [pair for one in codes for pair in _imports(_meaningful(one))]
    bound: dict[str, list[Import]] = {}
    for name, binding in imports:
        bound.setdefault(name, []).append(binding)
    assigned = {
        step.argument
        for one in codes
        for step in _meaningful(one)
        if step.name == "STORE_GLOBAL" and step.argument not in bound
    }
    reads = {read for one in codes for read in _reads(one, code, bound)}
    used = {read.name for read in reads}
    reads |= {Read(name, (), binding=to) for name, to in imports if name not in used}
    kept = (read for read in reads if read.is_free or read.name not in assigned)
    return tuple(sorted(kept, key=repr))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for step in _meaningful(code):
        if step.is_constant and isinstance(step.argument, type(code)):
            yield from _nested(step.argument)


def _meaningful(code: CodeType) -> list[Step]:
    return [step for step in steps_of(code) if not step.silent]


def _reads(code: CodeType, outer: CodeType, bound: dict[str, list[Import]]) -> Iterator[Read]:
    steps = _meaningful(code)
    own = {step.argument for step in steps if step.name == "STORE_NAME"}
    for at, step in enumerate(steps):
        name = step.argument[0] if step.name == "LOAD_GLOBAL" else step.argument
        if step.name in _GLOBAL | _FREE | _LOCAL and name in bound:
            yield from (Read(name, _chain(steps, at), binding=to) for to in bound[name])
        elif step.name in _GLOBAL and not (step.name == "LOAD_NAME" and name in own):
            yield Read(name, _chain(steps, at))
        elif step.name in _FREE and name in outer.co_freevars:
            yield Read(name, _chain(steps, at), is_free=True)


def _chain(steps: list[Step], at: int) -> tuple[str, ...]:
    chain = []
    for step in steps[at + 1 :]:
        if step.name not in _ATTRIBUTE:
            break
        chain.append(step.argument[0] if step.name == "LOAD_ATTR" else step.argument)
    return tuple(chain)


def _imports(steps: list[Step]) -> Iterator[tuple[str, Import]]:
    for at, step in enumerate(steps):
        if step.name == "IMPORT_NAME":
            level, names = steps[at - 2].argument, steps[at - 1].argument
            if names:
                yield from _from_imports(steps, at + 1, Import(level, step.argument))
            else:
                yield _plain_import(steps, at + 1, Import(level, step.argument))


def _from_imports(steps: list[Step], at: int, module: Import) -> Iterator[tuple[str, Import]]:
    while steps[at].name == "IMPORT_FROM":
        name = steps[at + 1].argument
        yield name, module._replace(attribute=steps[at].argument)
        at += 2


def _plain_import(steps: list[Step], at: int, module: Import) -> tuple[str, Import]:
    """`import a.b as c` takes `b` out of `a` before it stores; `import a.b` stores `a`."""
    is_alias = steps[at].name == "IMPORT_FROM"
    while steps[at].name not in _STORES:
        at += 1
    binds_top = not is_alias and "." in module.module
    return steps[at].argument, module._replace(binds_top=binds_top)
