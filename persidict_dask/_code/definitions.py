"""Which handler gives the token of code: a function's, a class's, a module's, or a descriptor's."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from persidict_dask._code.classes import class_token
from persidict_dask._code.data import data_token
from persidict_dask._code.descriptors import descriptor_token
from persidict_dask._code.flow import flow_token
from persidict_dask._code.functions import function_token, module_token
from persidict_dask._code.walk import DEFINITIONS, CodeWalker
from persidict_dask._digest.definitions import Data


def _code(_: CodeWalker, code: types.CodeType) -> bytes:
    return flow_token(code)


_KINDS: dict[type, Callable[[CodeWalker, Any], bytes]] = {
    types.FunctionType: function_token,
    Data: data_token,
    type: class_token,
    types.ModuleType: module_token,
    types.CodeType: _code,
    object: descriptor_token,
}


def _of_kind(cls: type) -> Callable[[CodeWalker, Any], bytes]:
    return next(handler for kind, handler in _KINDS.items() if issubclass(cls, kind))


DEFINITIONS.find_by(_of_kind)
