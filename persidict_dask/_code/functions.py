"""Functions and modules of the project: their code, and the tokens of all that they read."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import importlib.util
import types
from collections.abc import Iterator
from typing import Any

from persidict_dask._code.flow import flow_token
from persidict_dask._code.reads import Import, Read, reads_of
from persidict_dask._code.walk import CodeWalker
from persidict_dask._code.watch import MISSING, cell_content
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.walk import SCALARS
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import PROJECT, find, module_of, origin_of


def function_token(walker: CodeWalker, f: types.FunctionType) -> bytes:
    """Token of a function: what it does, what it was given, and what it reads."""
    if not walker.is_by_value(f):
        return _library_function(walker, f)
    name = f"{module_of(f)}.{f.__qualname__}"
    walker.name("function", name, f.__code__)
    parts = (
        flow_token(f.__code__),
        frame_all(b"defaults", _defaults(walker, f, name)),
        frame_all(b"cells", _cells(walker, f, name)),
        frame_all(b"reads", (_read(walker, read, f) for read in reads_of(f.__code__))),
        frame_all(b"attributes", _attributes(walker, f, name)),
    )
    return frame_all(b"function", parts)


def _library_function(walker: CodeWalker, f: types.FunctionType) -> bytes:
    """By name; but what a decorator of a library made holds something of the project."""
    if find(module_of(f), f.__qualname__) is f:
        return walker.library(f)
    wrapped = vars(f).get("__wrapped__")
    parts = (
        walker.library(f, f.__code__.co_qualname),
        frame_all(b"defaults", _defaults(walker, f, f.__qualname__)),
        frame_all(b"cells", _cells(walker, f, f.__qualname__)),
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


def _cells(walker: CodeWalker, f: types.FunctionType, name: str) -> Iterator[bytes]:
    for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        value = cell_content(cell)
        if not isinstance(value, types.ModuleType):  # of a module only what is read counts
            yield _value(walker, "closure", f"{name}.{variable}", value)


def _read(walker: CodeWalker, read: Read, f: types.FunctionType) -> bytes:
    label = str(read).encode()
    if read.binding is not None:
        return frame(b"read", label) + _imported(walker, read, read.binding, f)
    if read.is_free:
        value = _free(f, read.name)
        is_seen = not isinstance(value, types.ModuleType)
        return b"" if is_seen else frame(b"read", label) + _followed(walker, value, read.chain)
    return frame(b"read", label) + _global(walker, f.__globals__, read)


def _free(f: types.FunctionType, name: str) -> Any:
    cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
    return cell_content(cells[name])


def _global(walker: CodeWalker, namespace: dict[str, Any], read: Read) -> bytes:
    if walker.watches is not None:
        walker.watches.name(namespace, read.name)
    value = namespace.get(read.name, MISSING)
    if value is MISSING:
        is_built_in = hasattr(builtins, read.name)
        return b"builtin 0:" if is_built_in else b"missing 0:"
    if isinstance(value, types.ModuleType):
        return _followed(walker, value, read.chain)
    module = namespace.get("__name__", "__main__")
    return _value(walker, "global", f"{module}.{read.name}", value)


def _followed(walker: CodeWalker, value: Any, chain: tuple[str, ...]) -> bytes:
    """Token of the first thing on a chain of attributes that is not a module."""
    for at, name in enumerate(chain):
        if not walker.is_by_value(value):
            return walker.library(value, ".".join(chain[at:]))
        if walker.watches is not None:
            walker.watches.name(vars(value), name)
        module, value = value, getattr(value, name, MISSING)
        if not isinstance(value, types.ModuleType):
            return _value(walker, "global", f"{module.__name__}.{name}", value)
    return walker.token(value)


def _imported(walker: CodeWalker, read: Read, binding: Import, f: types.FunctionType) -> bytes:
    module = "." * binding.level + binding.module
    if binding.level:
        module = importlib.util.resolve_name(module, f.__globals__["__package__"])
    origin = origin_of(module, walker.by_value)
    if origin.kind != PROJECT:  # not imported for its version alone
        walker.versions[origin.name] = origin.version
        return frame(b"library", f"{origin} {module} {binding.attribute} {read}".encode())
    chain = read.chain if binding.attribute is None else (binding.attribute, *read.chain)
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return b"missing 0:"
    if binding.binds_top:
        loaded = importlib.import_module(module.partition(".")[0])
    if binding.attribute and not hasattr(loaded, binding.attribute):
        with contextlib.suppress(ImportError):  # a submodule that nobody has imported so far
            importlib.import_module(f"{module}.{binding.attribute}")
    return _followed(walker, loaded, chain)


def _value(walker: CodeWalker, kind: str, name: str, value: Any) -> bytes:
    if value is MISSING:
        return b"missing 0:"
    if not isinstance(value, (types.FunctionType, type, types.ModuleType)):
        walker.name(kind, name, value)
    try:
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
