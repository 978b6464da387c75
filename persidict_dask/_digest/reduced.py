"""Tokens of all other instances: by a name that leads to them, or what `pickle` would take."""

from __future__ import annotations

import copyreg
import functools
import gc
import typing
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.named import by_library, leads_to, made_by_library, name_of_sentinel
from persidict_dask._digest.selfcheck import survives_pickle
from persidict_dask._digest.walk import SCALARS, Walker
from persidict_dask._digest.wrapped import hidden_code, named_parts, transparent
from persidict_dask._errors import UnstableKeyError
from persidict_dask._origin import PROJECT, module_of, origin_of

_ADVICE = (
    "leave it out (ignore='x' for an argument, 'module.x' for a global), give its class a method "
    "__persist_token__, or say with register_digest what its content is"
)


def refuse(obj: Any, because: str) -> UnstableKeyError:
    """The error for a value without stable content; the path is added on the way out."""
    cls = type(obj)
    name = (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )
    article = "an" if name[0] in "aeiou" else "a"
    return UnstableKeyError(f"{article} {name} has no stable content ({because}); {_ADVICE}")


def reduced(walker: Walker, obj: Any) -> bytes:
    """Any other object: what `pickle` would take of it, unless a module names it."""
    known = _named(walker, obj) or _sentinel(walker, obj)
    if known is not None:
        return known
    try:
        made = _reduce(obj)
    except UnstableKeyError:
        seen_through = by_library(walker, obj) or transparent(walker, obj)
        if seen_through is None:
            raise
        return seen_through
    is_plain = pickles_by_default(type(obj))
    if not is_plain and not survives_pickle(walker, obj, partial(_is_by_name, walker)):
        raise refuse(obj, "a copy made by pickle has another digest")
    taken = _by_name(walker, obj, made) if isinstance(made, str) else _taken(walker, obj, made)
    inside = b"" if is_plain else hidden_code(walker, obj)
    return frame_all(b"callable", (taken, inside)) if inside else taken


def _named(walker: Walker, obj: Any) -> bytes | None:
    """In code, what an installed module has made; a value travels, and leaves its name behind.

    The generators of the process have a name everywhere: their state is nobody's content.
    """
    is_named = walker.is_code or type(obj).__name__ in _GENERATORS
    return by_library(walker, obj) if is_named else None


_GENERATORS = ("Random", "RandomState", "Generator")


def _is_by_name(walker: Walker, obj: Any) -> bool:
    is_named = walker.is_code and type(obj) not in SCALARS
    return type(obj) is object or (is_named and made_by_library(obj, walker.by_value) is not None)


def _taken(walker: Walker, obj: Any, made: tuple[Any, ...]) -> bytes:
    function, args, state, items, pairs, setter = (*made, *(None,) * 6)[:6]
    make = _mapping_of(walker, obj)
    parts = (
        walker.constructor_token(function),
        frame_all(b"args", (_argument(walker, part) for part in args)),
        state_token(walker, obj, state),
        walker.sequence(b"items", items) if items is not None else b"",
        make(b"pairs", pairs) if pairs is not None else b"",
        walker.constructor_token(setter) if setter is not None else b"",
    )
    return frame_all(b"object", parts)


def _sentinel(walker: Walker, obj: Any) -> bytes | None:
    """An object that a module names and that is good for nothing but to be told from others."""
    cls: Any = type(obj)
    if not _is_bare(cls) or any(True for _ in named_parts(obj)):
        return None
    name = name_of_sentinel(obj)
    if name is None:
        return None
    return frame_all(b"sentinel", (class_of(walker, obj), walker.token(str(name))))


@functools.lru_cache(maxsize=1024)
def _is_bare(cls: type) -> bool:
    """Has a class no behaviour of its own?"""
    names = {name for base in cls.__mro__[:-1] for name in vars(base)}
    return names <= _NO_BEHAVIOUR and cls.__basicsize__ <= object.__basicsize__ + 16


_NO_BEHAVIOUR = frozenset(
    {
        *("__module__", "__doc__", "__dict__", "__weakref__", "__slots__", "__qualname__"),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
        *(
            "__firstlineno__",
            "__static_attributes__",
            "__slotnames__",
            "__new__",
            "__init__",
            "__repr__",
        ),
        *("__str__", "__bool__", "__copy__", "__deepcopy__", "__init_subclass__"),
    }
)


def _by_name(walker: Walker, obj: Any, name: str) -> bytes:
    """What pickles as a name is believed if that leads to it, and is no mask of the project's."""
    if isinstance(obj, _TYPE_PARAMETERS):
        return _type_parameter(walker, obj, _OF_PARAMETERS)
    if isinstance(obj, typing.NewType):
        return _type_parameter(walker, obj, ("name", "supertype"))
    if not leads_to(name, obj):
        raise refuse(obj, f"it pickles as {name!r}, and that does not lead to it")
    cls, module = type(obj), module_of(obj)
    head = (class_of(walker, obj), walker.token(f"{module}:{name}"))
    origin = origin_of(module, walker.by_value)
    if origin.kind != PROJECT:
        return frame_all(b"global", (*head, walker.version(origin)))
    parts = dict(named_parts(obj))
    if not parts and not walker.is_by_value(cls):
        raise refuse(obj, f"it pickles as {name!r}, and nothing of it can be seen")
    return frame_all(b"global", (*head, walker.attributes(b"attributes", parts.items())))


_TYPE_PARAMETERS = (typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple)
_OF_PARAMETERS = ("name", "bound", "constraints", "covariant", "contravariant", "infer_variance")


def _type_parameter(walker: Walker, obj: Any, names: tuple[str, ...]) -> bytes:
    """A parameter of a generic class or function may stand in the scope of that alone."""
    values = [(name, getattr(obj, f"__{name}__", None)) for name in names]
    return frame_all(
        b"parameter", (class_of(walker, obj), walker.attributes(b"attributes", values))
    )


def ufunc(walker: Walker, obj: Any) -> bytes:
    """A universal function of a library by name; one that `frompyfunc` made by its function."""
    known = by_library(walker, obj)
    if known is not None:
        return known
    inside = [part for part in gc.get_referents(obj) if callable(part)]
    if len(inside) != 1:
        raise refuse(obj, "no module names it, and nothing of it can be seen")
    shape = walker.token((obj.nin, obj.nout, obj.identity, obj.signature))
    return frame_all(b"ufunc", (class_of(walker, obj), shape, walker.at(".pyfunc", inside[0])))


def _mapping_of(walker: Walker, obj: Any) -> Callable[[bytes, Iterable[Any]], bytes]:
    return walker.ordered_mapping if isinstance(obj, OrderedDict) else walker.mapping


_ORDER_OF_HASHES = ("set_iterator", "dict_keyiterator")


def _reduce(obj: Any) -> Any:
    cls = type(obj)
    if cls is object:
        raise refuse(obj, "nothing but its identity tells it from others, and no module names it")
    if cls.__name__ in _ORDER_OF_HASHES:
        raise refuse(obj, "its order is that of the hash seed")
    try:
        special = copyreg.dispatch_table.get(cls)
        made = special(obj) if special else obj.__reduce_ex__(4)
    except UnstableKeyError:
        raise
    except Exception as error:
        raise refuse(obj, f"{type(error).__name__}: {error}") from error
    if not isinstance(made, (str, tuple)):
        raise refuse(obj, "its __reduce__ is not usable")
    return made


def _argument(walker: Walker, part: Any) -> bytes:
    """A class among the arguments of a constructor is the class of an instance."""
    _refuse_shared(walker, part)
    return walker.class_token(part) if isinstance(part, type) else walker.token(part)


def state_token(walker: Walker, obj: Any, state: Any) -> bytes:
    """Token of the state that `pickle` would take."""
    cls: Any = type(obj)
    if state is None:
        return b""
    if isinstance(state, tuple) and pickles_by_default(cls):
        state = {**(state[0] or {}), **state[1]}  # instance dict and slots
    if type(state) is dict and all(type(key) is str for key in state):
        hidden = cached_names(cls)
        kept = [(key, value) for key, value in state.items() if key not in hidden]
        return attributes_token(walker, b"attributes", kept) if kept else b""
    return frame(b"state", walker.token(state))


def attributes_token(walker: Walker, tag: bytes, parts: list[tuple[str, Any]]) -> bytes:
    """Token of what an instance holds, which goes with it into a copy."""
    for name, part in parts:
        _refuse_shared(walker, part, f".{name}")
    return walker.attributes(tag, parts)


def _refuse_shared(walker: Walker, part: Any, segment: str = "") -> None:
    """The generator of the process has a name, but in a copy of its holder it is another one."""
    is_generator = not walker.is_code and type(part).__name__ in _GENERATORS
    if is_generator and made_by_library(part, walker.by_value) is not None:
        error = refuse(part, _SHARED)
        error.prepend(segment)
        raise error


_SHARED = (
    "it is the generator of the whole process, and a copy made by pickle takes its state along: "
    "give a seed, often as random_state= or seed="
)


def pickles_by_default(cls: Any) -> bool:
    """Does the class leave all of its pickling to `object`?"""
    return (
        cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and cls.__getstate__ is object.__getstate__
    )


@functools.lru_cache(maxsize=1024)
def cached_names(cls: Any) -> frozenset[str]:
    """Cached properties are computed from the rest: whether they were asked for does not count.

    Neither does the hash that classes of attrs keep.
    """
    members = (pair for base in cls.__mro__ for pair in vars(base).items())
    names = {name for name, value in members if isinstance(value, functools.cached_property)}
    return frozenset(names | ({_HASH_OF_ATTRS} if hasattr(cls, "__attrs_attrs__") else set()))


_HASH_OF_ATTRS = "_attrs_cached_hash"


def class_of(walker: Walker, obj: Any) -> bytes:
    """Token of the class of an instance."""
    return walker.class_token(type(obj))
