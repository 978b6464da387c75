"""Functions and modules of the project: their code, and the tokens of all that they read."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from persidict_dask._code.accessors import accessors_in
from persidict_dask._code.annotations import hints_token
from persidict_dask._code.flow import flow_token
from persidict_dask._code.looks import cell_content
from persidict_dask._code.places import INCIDENTAL, relative_location, variables_token
from persidict_dask._code.reads import (
    Import,
    Read,
    assigned_in,
    importing,
    mentioned_in,
    names_in,
    reads_of,
    stored_in,
)
from persidict_dask._code.state import MISSING
from persidict_dask._code.uses import LOOKING, READ, WRITTEN
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import SCALARS
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import PROJECT, find, module_of, origin_of

_IGNORED: Final = b"ignored 0:"
_IMPORTERS: Final = (importlib.import_module, builtins.__import__, sys.modules)
_DATA: Final = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)
_CONSTANTS: Final = frozenset({"_", "__debug__"})  # and what a session has printed last
_CACHES: Final = frozenset({"cache_token", "dispatch_cache"})  # of functools.singledispatch
_DYNAMIC: Final = frozenset(
    {"__dict__", "__setattr__", "delattr", "eval", "exec", "globals", "setattr"}
)
"""Names by which code may change globals that it does not name."""


def function_token(walker: CodeWalker, f: types.FunctionType) -> bytes:
    """Token of a function: what it does, what it was given, and what it reads."""
    if not walker.is_by_value(f):
        return _library_function(walker, f)
    name = f"{module_of(f)}.{f.__qualname__}"
    walker.name("function", name, f.__code__)
    walker.is_dynamic |= not _DYNAMIC.isdisjoint(names_in(f.__code__))
    walker.stored |= stored_in(f.__code__)
    walker.read |= mentioned_in(f.__code__)
    walker.assigned |= {("name", id(f.__globals__), each) for each in assigned_in(f.__code__)}
    reads = _reads(f)
    parts = (
        flow_token(f.__code__),
        frame_all(b"defaults", _defaults(walker, f, name)),
        frame_all(b"cells", _cells(walker, f, name, reads)),
        frame_all(b"reads", (_read(walker, read, f) for read in reads)),
        frame_all(b"attributes", _attributes(walker, f, name)),
        hints_token(walker, f.__annotations__) if walker.counts_hints else b"",
        frame_all(b"accessors", map(walker.token, accessors_in(names_in(f.__code__), walker))),
    )
    return frame_all(b"function", parts)


def _reads(f: types.FunctionType) -> tuple[Read, ...]:
    """What a function reads; what is called like a built-in function may change its argument."""
    reads = reads_of(f.__code__)
    if LOOKING.isdisjoint(f.__globals__.keys() & names_in(f.__code__)):
        return reads
    return tuple(read._replace(uses=(WRITTEN,) * len(read.uses)) for read in reads)


def _library_function(walker: CodeWalker, f: types.FunctionType) -> bytes:
    """By name; but what a decorator of a library made holds something of the project."""
    if find(module_of(f), f.__qualname__) is f:
        return walker.library(f)
    wrapped = vars(f).get("__wrapped__")
    parts = (
        walker.library(f, f.__code__.co_qualname),
        frame_all(b"defaults", _defaults(walker, f, f.__qualname__)),
        frame_all(b"cells", _cells(walker, f, f.__qualname__, None)),
        b"" if wrapped is None else walker.token(wrapped),
    )
    return frame_all(b"wrapper", parts)


def _defaults(walker: CodeWalker, f: types.FunctionType, name: str) -> Iterator[bytes]:
    count = f.__code__.co_argcount
    defaults = f.__defaults__ or ()
    names = f.__code__.co_varnames[count - len(defaults) : count]
    pairs = [*zip(names, defaults, strict=False), *sorted((f.__kwdefaults__ or {}).items())]
    for parameter, value in pairs:
        yield _value(walker, "default", f"{name}.{parameter}", value)


def _attributes(walker: CodeWalker, f: types.FunctionType, name: str) -> Iterator[bytes]:
    for key, value in sorted(vars(f).items()):
        yield SCALARS[str](key) + _value(walker, "attribute", f"{name}.{key}", value)


def _cells(
    walker: CodeWalker, f: types.FunctionType, name: str, reads: tuple[Read, ...] | None
) -> Iterator[bytes]:
    """Tokens of what the closure holds; without `reads`, of all of it."""
    free = {read.name: read for read in reads or () if read.is_free}
    for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        value = cell_content(cell)
        if reads is not None and variable not in free and variable != "__class__":
            continue  # of an annotation of an inner function
        if reads is None and variable in _CACHES:
            continue
        if variable == "__class__" and value in walker.hidden:
            yield b"super 0:"
        elif not isinstance(value, types.ModuleType):  # of a module only what is read counts
            yield _value(walker, "closure", f"{name}.{variable}", value, free.get(variable))


def _read(walker: CodeWalker, read: Read, f: types.FunctionType) -> bytes:
    token = _seen(walker, read, f)
    if not token:
        return b""
    asked = b"" if token == _IGNORED else _asked(walker, read, f)
    return frame(b"read", str(read).encode()) + token + asked


def _seen(walker: CodeWalker, read: Read, f: types.FunctionType) -> bytes:
    """Token of what a read leads to; empty for a variable of the closure, which counts there."""
    if read.binding is not None:
        return _imported(walker, read, read.binding, f)
    if read.is_free:
        value = _free(f, read.name)
        return _followed(walker, value, read, 0) if isinstance(value, types.ModuleType) else b""
    return _global(walker, f.__globals__, read, assigned_in(f.__code__))


def _asked(walker: CodeWalker, read: Read, f: types.FunctionType) -> bytes:
    """Token of the modules, or variables of the environment, that code asks for by their names."""
    texts = map(f.__globals__.get, read.keys)
    items = (*read.items, *(text for text in texts if isinstance(text, str)))
    holder, use = _holder(read, f) if items else (None, READ)
    if any(holder is each for each in _IMPORTERS):
        return b"".join(
            _imported(walker, Read(module, ()), importing(module), f) for module in items
        )
    if use == WRITTEN and holder is os.environ:
        walker.assigned |= {("variable", name) for name in items}
    return variables_token(holder, items, walker.watches)


def _holder(read: Read, f: types.FunctionType) -> tuple[Any, int]:
    """The first thing on the chain of a read that is no module, and what is done with it."""
    chain, uses = read.chain, read.uses
    if read.binding is not None:
        holder: Any = sys.modules.get(read.binding.module)
        if read.binding.attribute is not None:
            chain, uses = (read.binding.attribute, *chain), (WRITTEN, *uses)
    elif read.is_free:
        holder = _free(f, read.name)
    else:
        holder = f.__globals__.get(read.name, getattr(builtins, read.name, None))
    for at, name in enumerate(chain):
        if not isinstance(holder, types.ModuleType):
            return holder, uses[at]
        holder = getattr(holder, name, None)
    return holder, uses[-1]


def _free(f: types.FunctionType, name: str) -> Any:
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
    return cell_content(cells[name])


def _global(
    walker: CodeWalker,
    namespace: dict[str, Any],
    read: Read,
    assigned: frozenset[str] = frozenset(),
) -> bytes:
    if read.name in INCIDENTAL:
        return b"incidental 0:"
    name = f"{namespace.get('__name__', '__main__')}.{read.name}"
    if walker.is_ignored(name):
        return _IGNORED
    value = _named(walker, namespace, read.name, name)
    if value is MISSING:
        return _built_in(walker, read)
    if isinstance(value, types.ModuleType):
        return _followed(walker, value, read, 0)
    try:
        located = relative_location(value, namespace)
        return located or _value(walker, "global", name, value, read, namespace)
    except UnstableKeyError:
        if read.name in assigned:  # the function keeps there what it wants
            walker.forget(value)
            return b"state 0:"
        raise


def _built_in(walker: CodeWalker, read: Read) -> bytes:
    """Token of a built-in name; of what the project has put there, the content."""
    if not hasattr(builtins, read.name):
        return b"missing 0:"
    value = getattr(builtins, read.name)
    is_own = module_of(value) != "builtins" and walker.is_by_value(value)
    if (not is_own and not isinstance(value, _DATA)) or read.name in _CONSTANTS:
        return b"builtin 0:"
    value = _named(walker, vars(builtins), read.name, f"builtins.{read.name}")
    return _value(walker, "global", f"builtins.{read.name}", value, read)


def _named(walker: CodeWalker, namespace: dict[str, Any], name: str, label: str) -> Any:
    """What a global name stands for, or stood for before runs changed it."""
    if walker.watches is None:
        return namespace.get(name, MISSING)
    return walker.watches.name(namespace, name, label)


def _followed(walker: CodeWalker, value: Any, read: Read, done: int) -> bytes:
    """Token of the first thing on a chain of attributes that is not a module."""
    for at, name in enumerate(read.chain[done:], done):
        if not walker.is_by_value(value):
            return walker.library(value, ".".join(read.chain[at:]))
        if name in INCIDENTAL:
            return b"incidental 0:"
        label = f"{value.__name__}.{name}"
        if walker.is_ignored(label):
            return _IGNORED
        if read.stores and at == len(read.chain) - 1:
            walker.assigned.add(("name", id(vars(value)), name))
        hook = vars(value).get("__getattr__") if name not in vars(value) else None
        module, value = value, _attribute(walker, value, name, label)
        if hook is not None:
            return walker.token(hook) + _value(walker, "global", label, value)
        if not isinstance(value, types.ModuleType):
            rest = read._replace(chain=read.chain[at + 1 :], uses=read.uses[at + 1 :])
            located = relative_location(value, vars(module))
            return located or _value(walker, "global", label, value, rest, vars(module))
    return walker.token(value)


def _attribute(walker: CodeWalker, module: types.ModuleType, name: str, label: str) -> Any:
    value = _named(walker, vars(module), name, label)
    return getattr(module, name, MISSING) if value is MISSING else value


def _imported(walker: CodeWalker, read: Read, binding: Import, f: types.FunctionType) -> bytes:
    module = "." * binding.level + binding.module
    if binding.level:
        try:
            module = importlib.util.resolve_name(module, f.__globals__.get("__package__") or "")
        except ImportError:  # there is no package around a script
            return b"missing 0:"
    origin = origin_of(module, walker.by_value)
    if origin.kind != PROJECT:  # not imported for its version alone
        walker.versions[origin.name] = origin.version
        walker.uses_library(".".join(filter(None, (module, binding.attribute, *read.chain))))
        return frame(b"library", f"{origin} {module} {binding.attribute} {read}".encode())
    if binding.attribute is not None:
        read = read._replace(chain=(binding.attribute, *read.chain), uses=(WRITTEN, *read.uses))
    try:
        loaded = importlib.import_module(module)
    except Exception:  # the function may never come to this import
        return b"missing 0:"
    if binding.binds_top:
        loaded = importlib.import_module(module.partition(".")[0])
    if binding.attribute and not hasattr(loaded, binding.attribute):
        with contextlib.suppress(Exception):  # a submodule that is not imported so far
            importlib.import_module(f"{module}.{binding.attribute}")
    return _followed(walker, loaded, read, 0)


def _value(
    walker: CodeWalker,
    kind: str,
    name: str,
    value: Any,
    read: Read | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> bytes:
    """Token of a value that code reads; without a `read` it may do anything with it."""
    if value is MISSING:
        return b"missing 0:"
    if walker.is_ignored(name):
        return _IGNORED
    if not isinstance(value, (types.FunctionType, type, types.ModuleType)):
        walker.name(kind, name, value)
    walker.use(value, *(read.first_use if read is not None else (WRITTEN, None)))
    try:
        with walker.reading(name, namespace, is_global=kind == "global"):
            return walker.token(value)
    except UnstableKeyError as error:
        error.anchor(name)
        raise


def module_token(walker: CodeWalker, module: types.ModuleType) -> bytes:
    """A module used as a value: everything in it may be meant."""
    if not walker.is_by_value(module):
        return walker.library(module)
    names = sorted(name for name in vars(module) if not name.startswith("__"))
    reads = (_global(walker, vars(module), Read(name, ())) for name in names)
    return frame_all(b"module", (walker.token(names), *reads))
