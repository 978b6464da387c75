"""Tokens of numbers that lie in memory: bytes in C order, with one nan for all."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from persidict_dask._digest.frame import LEAF, Stream

_BLOCK = 1 << 16  # elements gathered at a time from an array that is not contiguous

_INFINITY = {"float16": 0x7C00, "bfloat16": 0x7F80}
"""Bits of infinity in the types that are quicker to look at as integers."""

_HALVES = {"complex32": "float16", "bcomplex32": "bfloat16"}


def _numpy() -> Any:
    return sys.modules["numpy"]


def buffer_token(pieces: Iterable[Any]) -> bytes:
    """Token of arrays of one dtype, one after the other, each in C order."""
    stream = Stream()
    for piece in pieces:
        for block in _blocks(piece):
            stream.add(memoryview(_clean(block)))
    return stream.token(b"buffer")


def _blocks(array: Any) -> Iterable[Any]:
    """An array as flat contiguous blocks, without a copy where it is contiguous."""
    if not array.nbytes:
        return ()
    if not array.flags.c_contiguous:
        return _gathered(array)
    flat = _numpy().asarray(array).reshape(-1)
    step = max(LEAF // array.itemsize, 1)
    return (
        [flat[at : at + step] for at in range(0, flat.size, step)] if flat.size > step else [flat]
    )


def _gathered(array: Any) -> Iterator[Any]:
    flags = ["external_loop", "buffered", "zerosize_ok"]
    blocks = _numpy().nditer(array, flags, order="C", buffersize=_BLOCK)
    yield from (block.copy() for block in blocks)  # the iterator uses its buffer again


def _clean(block: Any) -> Any:
    """The bytes of a block with one nan for all, whatever its sign and payload, and no padding."""
    kind = block.dtype.kind
    if kind not in "fcVW" or block.dtype.type is _numpy().void:
        return block.view("u1")
    if kind in "cW":
        block = block.view(_half(block.dtype))
    if _has_nan(block):
        block = _without_noise(block)
    return _without_padding(block) if _has_padding(block.dtype) else block.view("u1")


def _half(dtype: Any) -> str:
    """Complex numbers are pairs: nan in one part leaves the other one what it is."""
    return _HALVES.get(dtype.name) or f"{dtype.byteorder}f{dtype.itemsize // 2}"


def _has_nan(block: Any) -> bool:
    """Is there a nan? One pass without a temporary array for the common types."""
    dtype = block.dtype
    if dtype.char in "fd":
        largest = _numpy().maximum.reduce(block)  # nan, if there is one
        return bool(largest != largest)
    infinity = _INFINITY.get(dtype.name)
    if infinity is None:
        return bool(_nan_in(block).any())
    bits = block.view(f"{dtype.byteorder}i2")
    below_zero = bits.view(f"{dtype.byteorder}u2")
    return bool(bits.max() > infinity or below_zero.max() > infinity | 0x8000)


def _nan_in(block: Any) -> Any:
    with _numpy().errstate(invalid="ignore"):  # for signalling ones
        return block != block


def _without_noise(block: Any) -> Any:
    clean = block.copy()
    clean[_nan_in(block)] = _numpy().nan
    return clean


def _has_padding(dtype: Any) -> bool:
    """Extended doubles have 10 bytes of content in 16; the others are not set."""
    is_extended = dtype.kind == "f" and dtype.itemsize == 16
    return is_extended and bool(_numpy().finfo("g").nmant == 63)


def _without_padding(block: Any) -> Any:
    native = block.astype(block.dtype.newbyteorder("="))
    return _numpy().ascontiguousarray(native.view("u1").reshape(-1, 16)[:, :10]).reshape(-1)
