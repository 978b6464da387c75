"""Which names outside of itself a code object reads: globals, attributes of modules, imports."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import chain
from types import CodeType
from typing import Final, NamedTuple

from persidict_dask._code.instructions import Step, steps_of
from persidict_dask._code.uses import WRITTEN, use_of


class Import(NamedTuple):
    """What an import statement inside a function binds a name to."""

    level: int
    module: str
    attribute: str | None = None  # of `from module import attribute`
    binds_top: bool = False  # `import a.b` binds `a`


class Read(NamedTuple):
    """A name and the attributes taken from it: `np.linalg.norm` is `np`, `linalg`, `norm`.

    `uses` tell what is done with what the name stands for, and with what each attribute is.
    """

    name: str
    chain: tuple[str, ...]
    is_free: bool = False  # read from the closure
    binding: Import | None = None  # or bound by an import inside the function
    uses: tuple[int, ...] = (WRITTEN,)
    stores: bool = False  # the last attribute is assigned or deleted
    items: tuple[str, ...] = ()  # texts that are asked for: `environ["HOME"]`
    keys: tuple[str, ...] = ()  # names of globals that are asked for: `environ[KEY]`

    @property
    def first_use(self) -> tuple[int, str | None]:
        """What is done with what the name stands for, and which attribute is taken of it."""
        return self.uses[0], next(iter(self.chain), None)

    def __str__(self) -> str:
        return ".".join((self.name, *self.chain))


_GLOBAL: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_FREE: Final = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_LOCAL: Final = frozenset({"LOAD_FAST", "LOAD_FAST_AND_CLEAR"})
_STORES: Final = frozenset({"STORE_FAST", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME"})
_ATTRIBUTE: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "DELETE_ATTR"})


@functools.lru_cache(maxsize=4096)
def reads_of(code: CodeType) -> tuple[Read, ...]:
    """What a function's code and the code nested in it read; each name once, sorted."""
    codes = list(codes_of(code))
    imports = [pair for one in codes for pair in _imports(meaningful(one))]
    bound: dict[str, list[Import]] = {}
    for name, binding in imports:
        bound.setdefault(name, []).append(binding)
    reads = [read for one in codes for read in _reads(one, code, bound)]
    used = {read.name for read in reads}
    reads += [Read(name, (), binding=to) for name, to in imports if name not in used]
    return tuple(sorted(_united(reads), key=repr))


@functools.lru_cache(maxsize=4096)
def assigned_in(code: CodeType) -> frozenset[str]:
    """Names of the globals that a function's code and the code nested in it assign or delete."""
    return frozenset(
        step.argument
        for one in codes_of(code)
        for step in meaningful(one)
        if step.name in ("STORE_GLOBAL", "DELETE_GLOBAL")
    )


@functools.lru_cache(maxsize=4096)
def stored_in(code: CodeType) -> frozenset[str]:
    """Names that code assigns or deletes: outer variables, and attributes of functions and classes.

    What a method assigns to `self` is an attribute of an instance.
    """
    return frozenset(name for one in codes_of(code) for name in _stored(one))


def _stored(code: CodeType) -> Iterator[str]:
    steps, instance = meaningful(code), _instance_in(code)
    for at, step in enumerate(steps):
        if step.name in ("STORE_DEREF", "DELETE_DEREF"):
            yield step.argument
        elif step.name in ("STORE_ATTR", "DELETE_ATTR"):
            target = steps[_target_of(steps, at)]
            if instance is None or (target.name, target.argument) != ("LOAD_FAST", instance):
                yield attribute_of(step)


def _instance_in(code: CodeType) -> str | None:
    """What a method calls the instance; `None` in other code, and in methods of classes."""
    holder = code.co_qualname.rpartition(".")[0]
    first = next(iter(code.co_varnames), "cls")
    is_method = holder and not holder.endswith("<locals>") and code.co_argcount > 0
    return first if is_method and first not in ("cls", "mcs", "mcls", "metacls") else None


def _target_of(steps: list[Step], at: int) -> int:
    """The position of what an attribute is assigned to; in `x.a += 1` it stands before the sum."""
    if steps[at - 1].name != "SWAP":
        return at - 1
    for here in range(at - 1, 1, -1):
        is_read = steps[here].name == "LOAD_ATTR" and steps[here - 1].name == "COPY"
        if is_read and attribute_of(steps[here]) == attribute_of(steps[at]):
            return here - 2
    return at - 1


@functools.lru_cache(maxsize=4096)
def mentioned_in(code: CodeType) -> frozenset[str]:
    """All names and texts in a function's code and the code nested in it."""
    return frozenset(
        text
        for one in codes_of(code)
        for text in chain(one.co_names, one.co_varnames, one.co_freevars, one.co_consts)
        if isinstance(text, str)
    )


@functools.lru_cache(maxsize=4096)
def names_in(code: CodeType) -> frozenset[str]:
    """Names of globals and attributes in a function's code and the code nested in it."""
    return frozenset(name for one in codes_of(code) for name in one.co_names)


def _united(reads: list[Read]) -> Iterator[Read]:
    """One read for those of one name and chain, with all that is done there."""
    found: dict[Read, Read] = {}
    for read in reads:
        bare = read._replace(uses=(), stores=False, items=(), keys=())
        known = found.get(bare, read)
        uses = tuple(map(min, known.uses, read.uses))
        items = tuple(sorted({*known.items, *read.items}))
        keys = tuple(sorted({*known.keys, *read.keys}))
        stores = known.stores or read.stores
        found[bare] = read._replace(uses=uses, stores=stores, items=items, keys=keys)
    return iter(found.values())


def codes_of(code: CodeType) -> Iterator[CodeType]:
    """A code object, and those nested in it that are made when it runs."""
    yield code
    for step in meaningful(code):
        if step.is_constant and isinstance(step.argument, type(code)):
            yield from codes_of(step.argument)


def meaningful(code: CodeType) -> list[Step]:
    """The steps of a code object that do something."""
    return [step for step in steps_of(code) if not step.silent]


def _reads(code: CodeType, outer: CodeType, bound: dict[str, list[Import]]) -> Iterator[Read]:
    steps = meaningful(code)
    own = {name for name, _ in _imports(steps)}  # elsewhere the name may be another one's
    for at, step in enumerate(steps):
        name = step.argument[0] if step.name == "LOAD_GLOBAL" else step.argument
        if step.name in _GLOBAL | _FREE | _LOCAL and name in bound:
            yield from (_read(name, steps, at)._replace(binding=to) for to in bound[name])
            if name in own:
                continue
        if step.name in _GLOBAL:
            yield _read(name, steps, at)
        elif step.name in _FREE and name in outer.co_freevars:
            yield _read(name, steps, at)._replace(is_free=True)


def _read(name: str, steps: list[Step], at: int) -> Read:
    chain = _chain(steps, at)
    end = at + len(chain)
    added = _chain(steps, end + 1)[:1] if steps[end + 1].name == "COPY" else ()
    if added:  # as in `name.attribute += 1`
        before = (use_of(steps, taken) for taken in range(at, end))
        return Read(name, chain + added, uses=(*before, WRITTEN, WRITTEN), stores=True)
    stores = steps[end].name in ("STORE_ATTR", "DELETE_ATTR")
    uses = [use_of(steps, taken) for taken in range(at, end)]
    uses.append(WRITTEN if stores else use_of(steps, end))
    asked = at - 1 if steps[end + 1].name == "CONTAINS_OP" else end + 1
    item, key = _text_at(steps, asked), _global_at(steps, asked)
    items, keys = (tuple(filter(None, (found,))) for found in (item, key))
    return Read(name, chain, uses=tuple(uses), stores=stores, items=items, keys=keys)


def _text_at(steps: list[Step], at: int) -> str | None:
    """The text that is loaded at a position, if a constant one is."""
    is_there = 0 <= at < len(steps) and steps[at].is_constant
    argument = steps[at].argument if is_there else None
    return argument if isinstance(argument, str) else None


def _global_at(steps: list[Step], at: int) -> str | None:
    """The name of the global that is loaded at a position, if one is."""
    is_global = 0 <= at < len(steps) and steps[at].name == "LOAD_GLOBAL"
    return steps[at].argument[0] if is_global else None


def _chain(steps: list[Step], at: int) -> tuple[str, ...]:
    chain = []
    for step in steps[at + 1 :]:
        if step.name not in _ATTRIBUTE:
            break
        chain.append(attribute_of(step))
    return tuple(chain)


def attribute_of(step: Step) -> str:
    """The name of the attribute that a step takes, assigns or deletes."""
    return str(step.argument[0] if isinstance(step.argument, tuple) else step.argument)


def _imports(steps: list[Step]) -> Iterator[tuple[str, Import]]:
    for at, step in enumerate(steps):
        if step.name == "IMPORT_NAME":
            level, names = steps[at - 2].argument, steps[at - 1].argument
            if names:
                yield from _from_imports(steps, at + 1, Import(level, step.argument))
            else:
                yield _plain_import(steps, at + 1, Import(level, step.argument))


def importing(module: str) -> Import:
    """The import of a module by its name, which may begin with dots."""
    name = module.lstrip(".")
    return Import(len(module) - len(name), name)


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
