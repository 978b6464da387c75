"""What libraries make of classes: fields count by what they were made from, machinery does not."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Iterator
from typing import Any, Final

from persidict_dask._code.annotations import value_token
from persidict_dask._code.kinds import Members, Model, Parts, hides, holds, step
from persidict_dask._code.pydantic import PYDANTIC
from persidict_dask._code.structs import ATTRS, MSGSPEC, is_of_attrs
from persidict_dask._code.uses import WRITTEN
from persidict_dask._code.walk import CodeWalker
from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.members import attributes_of_member
from persidict_dask._origin import module_of


def models_of(cls: type, members: Members) -> list[Model]:
    """The kinds that a class is of: a dataclass of pydantic is of two."""
    return [model for model in _MODELS if model.fits(cls, members)]


def is_generated(members: Members, key: str, value: Any) -> bool:
    """Was a method made from the fields of a class?

    By names that survive a transport by value; the name of the file does not.
    """
    function = getattr(value, "__func__", value)
    function = getattr(function, "__wrapped__", function)
    if not isinstance(function, types.FunctionType):
        return False
    name, module = function.__code__.co_qualname, module_of(function)
    return (
        name.startswith("__create_fn__.<locals>.")  # of a dataclass
        or (name.startswith("namedtuple.<locals>.") and module == "collections")
        or (name.endswith("<lambda>") and module.startswith("namedtuple_"))
        or ("__attrs_attrs__" in members and is_of_attrs(key, function))
    )


# -- dataclasses --------------------------------------------------------------------------------

_UNSET: Final = type(dataclasses.MISSING)
_FIELD_PARTS: Final = ("default", "default_factory", "init", "repr", "hash", "compare", "kw_only")


def _dataclass_parts(walker: CodeWalker, _: type, members: Members) -> Parts:
    for field in members["__dataclass_fields__"].values():
        with step(f".{field.name}"):
            token = frame_all(b"field", _dataclass_field(walker, field))
        yield field.name, token
    yield "options", walker.token(repr(members.get("__dataclass_params__")))


def _dataclass_field(walker: CodeWalker, field: Any) -> Iterator[bytes]:
    for part in _FIELD_PARTS:
        value = getattr(field, part)
        is_set = not isinstance(value, _UNSET)  # a transport by value makes another marker
        yield value_token(walker, value) if is_set else b"unset 0:"
    yield walker.token(str(field._field_type)) + walker.token(field.metadata)


# -- enumerations -------------------------------------------------------------------------------

_OF_ENUM: Final = frozenset(
    {
        "_generate_next_value_",
        "_hashable_values_",
        "_member_map_",
        "_member_names_",
        "_member_type_",
        "_unhashable_values_",
        "_unhashable_values_map_",
        "_use_args_",
        "_value2member_map_",
        "_value_repr_",
        "_flag_mask_",
        "_singles_mask_",
        "_all_bits_",
        "_inverted_",
    }
)


def _enum_hides(cls: type, key: str, value: Any) -> bool:
    is_member = isinstance(value, cls) or (isinstance(value, enum.property) and value.fget is None)
    return key in _OF_ENUM or is_member


def _enum_parts(walker: CodeWalker, cls: Any, members: Members) -> Parts:
    """Members in their order; what else stands for one of them is no member after a transport."""
    own = {member._name_: member for member in cls}
    every = {key: value for key, value in members.items() if isinstance(value, cls)}
    every |= cls.__members__
    for key in (*own, *sorted(every.keys() - own.keys())):
        held = vars(every[key])
        walker.uses.append((held, WRITTEN))  # every user of the member may change them
        more = attributes_of_member(walker, every[key], walker.before(held))
        added = walker.attributes(b"attributes", more.items()) if more else b""
        yield key, walker.at(f".{key}", every[key]._value_) + added


# -- the table ----------------------------------------------------------------------------------


def _no_parts(_: CodeWalker, __: type, ___: Members) -> Parts:
    return iter(())


def _is_made_of_fields(_: type, key: str, value: Any) -> bool:
    return type(value).__name__ in ("_tuplegetter", "CField")


_MODELS: Final = (
    Model(
        holds("__dataclass_fields__"),
        hides("__dataclass_fields__", "__dataclass_params__"),
        _dataclass_parts,
    ),
    Model(lambda cls, _: issubclass(cls, enum.Enum), _enum_hides, _enum_parts),
    Model(holds("_fields"), _is_made_of_fields, _no_parts),  # named tuples
    Model(holds("_fields_"), _is_made_of_fields, _no_parts),  # structures of ctypes
    ATTRS,
    MSGSPEC,
    PYDANTIC,
)
