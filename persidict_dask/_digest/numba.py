"""Tokens of numba: functions by the Python function they were compiled from, typed containers."""

from __future__ import annotations

from typing import Any

from persidict_dask._digest.frame import frame_all
from persidict_dask._digest.walk import Handler, Walker


def _compiled(walker: Walker, obj: Any, function: Any, *settings: Any) -> bytes:
    parts = (walker.class_token(type(obj)), walker.at(".py_func", function))
    return frame_all(b"numba", (*parts, walker.token(settings)))


def _dispatcher(walker: Walker, dispatcher: Any) -> bytes:
    """What was compiled so far does not count, unless nothing else may be."""
    signatures = () if dispatcher._can_compile else tuple(map(str, dispatcher.signatures))
    options = (dict(dispatcher.targetoptions), dict(dispatcher.locals))
    return _compiled(walker, dispatcher, dispatcher.py_func, *options, signatures)


def _ufunc(walker: Walker, function: Any) -> bytes:
    source = getattr(function, "gufunc_builder", None) or function._dispatcher
    types = tuple(function.types) if function._frozen else ()
    options = (dict(source.targetoptions), function.identity, function.signature)
    return _compiled(walker, function, source.py_func, *options, types)


def _callback(walker: Walker, function: Any) -> bytes:
    return _compiled(walker, function, function._pyfunc, str(function._sig))


def _stencil(walker: Walker, stencil: Any) -> bytes:
    options = (stencil.mode, dict(stencil.options), stencil.neighborhood)
    return _compiled(walker, stencil, stencil.kernel_ir.func_id.func, *options)


def _type(walker: Walker, kind: Any) -> bytes:
    """Types have a number too, which is another one in each process."""
    return frame_all(b"numba", (walker.class_token(type(kind)), walker.token(str(kind))))


def _list(walker: Walker, items: Any) -> bytes:
    kind = walker.token(str(items._list_type) if items._typed else None)
    return frame_all(b"numba", (kind, walker.sequence(b"list", items if items._typed else ())))


def _dict(walker: Walker, pairs: Any) -> bytes:
    kind = walker.token(str(pairs._dict_type) if pairs._typed else None)
    content = walker.mapping(b"dict", pairs.items() if pairs._typed else ())
    return frame_all(b"numba", (kind, content))


HANDLERS: dict[str, Handler] = {
    "Dispatcher": _dispatcher,
    "DUFunc": _ufunc,
    "GUFunc": _ufunc,
    "CFunc": _callback,
    "StencilFunc": _stencil,
    "Type": _type,
    "List": _list,
    "Dict": _dict,
}
