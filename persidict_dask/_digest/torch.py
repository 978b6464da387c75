"""Tokens of torch: tensors by content, modules by class, parameters, settings and hooks."""

from __future__ import annotations

import sys
from typing import Any

from persidict_dask._digest.families import class_in
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.numpy import array_token
from persidict_dask._digest.objects import refuse
from persidict_dask._digest.walk import Handler, Walker


def _tensor(walker: Walker, tensor: Any) -> bytes:
    """Dtype, shape, kind of device, whether it takes a gradient, values; not the strides."""
    own = {key: value for key, value in vars(tensor).items() if not key.startswith("_")}
    settings = (str(tensor.dtype), tensor.device.type, tensor.requires_grad, str(tensor.layout))
    parts = (
        class_in(walker, tensor, "torch"),
        walker.token(settings),
        _values(walker, tensor.detach()),
        walker.attributes(b"state", own.items()),
    )
    return frame_all(b"torch.Tensor", parts)


def _values(walker: Walker, tensor: Any) -> bytes:
    torch = sys.modules["torch"]
    if tensor.device.type == "meta" or tensor.is_quantized:
        raise refuse(tensor, "its values cannot be read as numbers")
    if tensor.layout != torch.strided:
        entries = tensor.to_sparse_coo().coalesce()
        parts = (_values(walker, entries.indices()), _values(walker, entries.values()))
        return frame_all(b"sparse", (walker.token(tuple(tensor.shape)), *parts))
    plain = tensor.cpu().resolve_conj().resolve_neg()
    if plain.dtype.is_floating_point and plain.dtype not in (torch.float32, torch.float64):
        plain = plain.to(torch.float32)  # exact; numpy has no types for some of them
    return array_token(walker, plain.numpy())


def _module(walker: Walker, module: Any) -> bytes:
    """All attributes; hooks are kept under numbers that differ between processes."""
    if type(module).__module__.startswith("torch.jit"):
        raise refuse(module, "its code is not Python's: pass the module that was scripted")
    state = ((name, _hooks_in_order(name, value)) for name, value in vars(module).items())
    parts = (walker.class_token(type(module)), walker.attributes(b"state", state))
    return frame_all(b"torch.Module", parts)


def _hooks_in_order(name: str, value: Any) -> Any:
    return list(value.values()) if "_hooks" in name and isinstance(value, dict) else value


def _generator(walker: Walker, generator: Any) -> bytes:
    state = (generator.device.type, generator.get_state())
    return frame(b"torch.Generator", walker.token(state))


def _by_text(walker: Walker, obj: Any) -> bytes:
    return frame_all(b"torch", (walker.known_class(type(obj)), walker.token(str(obj))))


HANDLERS: dict[str, Handler] = {
    "Tensor": _tensor,
    "TensorBase": _tensor,
    "Module": _module,
    "Generator": _generator,
    "dtype": _by_text,
    "device": _by_text,
    "layout": _by_text,
    "memory_format": _by_text,
}
