"""What pydantic makes of classes: fields, decorators and settings; not what it compiles of them."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from typing import Any, Final

from persidict_dask._code.annotations import annotation_token, described
from persidict_dask._code.kinds import Members, Model, Parts, holds, step
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all

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
