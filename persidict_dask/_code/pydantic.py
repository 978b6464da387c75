"""What pydantic makes of classes: fields, decorators and settings; not what it compiles of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
import typing
from typing import Any, Final

from persidict_dask._code.annotations import annotation_token, described
from persidict_dask._code.kinds import Members, Model, Parts, holds, step
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.walk import SCALARS
from persidict_dask._origin import module_of

_PYDANTIC: Final = "__pydantic_"
_COUNTED: Final = frozenset({"__pydantic_config__", "__pydantic_root_model__"})
_FIELDS: Final = ("__pydantic_fields__", "model_fields")  # the second up to 2.9
_REPLACED: Final = frozenset({"__private_attributes__", "__signature__", "model_fields"})


def _hides(_: type, key: str, value: Any) -> bool:
    return key in _REPLACED or (key.startswith(_PYDANTIC) and key not in _COUNTED)


def _parts(walker: CodeWalker, cls: Any, members: Members) -> Parts:
    _complete(cls)
    found = (vars(cls)[name] for name in _FIELDS if name in vars(cls))
    fields: dict[str, Any] = next(found, {})
    private = members.get("__private_attributes__", {})
    for name, field in [*fields.items(), *private.items()]:
        with step(f".{name}"):
            token = described(walker, field)
        yield name, token
    generic = members.get("__pydantic_generic_metadata__") or {}
    if generic.get("origin") is not None:
        hints = (generic["origin"], generic["args"])
        yield "origin", annotation_token(walker, hints)
    yield from _decorators(walker, members["__pydantic_decorators__"])


def _complete(cls: Any) -> None:
    """Resolve names that were not there yet, as the first use of the model does."""
    if vars(cls).get("__pydantic_complete__") is not False:
        return
    rebuild = getattr(cls, "model_rebuild", None)
    if rebuild is None:
        rebuild = functools.partial(sys.modules["pydantic.dataclasses"].rebuild_dataclass, cls)
    rebuild(raise_errors=False, _types_namespace={})


def _decorators(walker: CodeWalker, decorators: Any) -> Parts:
    """What decorators of methods say about them; the methods are members."""
    for kind in dataclasses.fields(decorators):
        for name, decorator in getattr(decorators, kind.name).items():
            info = decorator.info
            told = getattr(getattr(info, "wrapped_property", None), "__doc__", None)
            is_told = getattr(info, "description", None) == inspect.cleandoc(told or "")
            without = ("wrapped_property", *(("description",) if is_told else ()))
            parts = (
                walker.token(decorator.cls_var_name),
                walker.token(decorator.shim),
                described(walker, info, without),
            )
            yield f"{kind.name}.{name}", frame_all(b"decorator", parts)


PYDANTIC = Model(holds("__pydantic_decorators__"), _hides, _parts, has_hints=True)


# -- functions under `validate_call` --------------------------------------------------------------


def validated_token(walker: CodeWalker, wrapper: Any) -> bytes:
    """Token of what checks the arguments of a function: that, and what says how to check."""
    function = wrapper.function
    inner = function.func if isinstance(function, functools.partial) else function
    config = wrapper.config_wrapper.config_dict
    with_return = wrapper.validate_return or config.get("validate_return", False)
    hints = _hints(inner, wrapper.ns_resolver)
    read = {k: v for k, v in hints.items() if with_return or k != "return"}
    with step(".__annotations__"):
        tokens = (SCALARS[str](k) + annotation_token(walker, v) for k, v in read.items())
        seen = frame_all(b"hints", tokens)
    walker.name("annotations", f"{module_of(inner)}.{inner.__qualname__}", wrapper, seen)
    settings = (walker.at(".config", config), walker.token(bool(wrapper.validate_return)))
    return frame_all(b"validated", (walker.at(".function", function), *settings, seen))


def _hints(function: Any, resolver: Any) -> dict[str, Any]:
    """The annotations of a function, with names resolved as far as that is possible."""
    with contextlib.suppress(Exception):  # whatever the text of an annotation raises
        known = resolver.namespaces_tuple
        return typing.get_type_hints(function, known.globals, known.locals, include_extras=True)
    return dict(getattr(function, "__annotations__", {}))
