"""Thousands of random values in five processes: equal content has one digest, other another."""

from __future__ import annotations

import dataclasses
import decimal
import math
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd

from persidict_dask import digest

CHILD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules[sys.argv[1]] = module
spec.loader.exec_module(module)
print(module.digests())
"""
HASHABLES = [0, 1, -1, 2.0, "a", "b", b"a", None, True, (1, "a")]


@dataclasses.dataclass
class Point:
    x: Any
    y: Any


class Plain:
    def __init__(self, a):
        self.a = a


def values():
    """The same in every process; small, so that many are equal."""
    chance = random.Random(20)
    return [_value(chance) for _ in range(4000)]


def digests():
    return [digest(value) for value in values()]


def _value(chance, depth=0):
    simple = [
        lambda: chance.randrange(-3, 4),
        lambda: chance.choice([0.0, -0.0, 1.0, math.nan, math.inf]),
        lambda: chance.choice(["", "a", "b", "é"]),
        lambda: chance.choice([b"", b"a", bytearray(b"a")]),
        lambda: chance.choice([None, True, False, ..., 2**70]),
        lambda: decimal.Decimal(chance.choice(["1", "1.0"])),
        lambda: np.arange(chance.randrange(3)).astype(chance.choice(["i4", "i8", "f8", "bool"])),
        lambda: np.float64(chance.choice([0.0, -0.0, 1.0])),
        lambda: pd.Series([1, chance.choice([2, None])], dtype=chance.choice(["Int64", "float"])),
    ]
    few = range(chance.randrange(3))

    def part():
        return _value(chance, depth + 1)

    def key():
        return chance.choice(HASHABLES)

    made_of_parts = [
        lambda: [part() for _ in few],
        lambda: tuple(part() for _ in few),
        lambda: {key(): part() for _ in few},
        lambda: {key() for _ in few},
        lambda: frozenset(key() for _ in few),
        lambda: Point(part(), part()),
        lambda: Plain(part()),
    ]
    return chance.choice(simple if depth > 2 else simple + made_of_parts)()


def form(value):
    """The same form for equal content and type, made without `digest`."""
    if isinstance(value, np.ndarray):
        return "array", str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, pd.Series):
        return "series", str(value.dtype), tuple(map(repr, value))
    if isinstance(value, (list, tuple)):
        return type(value).__name__, tuple(map(form, value))
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, tuple(sorted(repr(form(member)) for member in value))
    if isinstance(value, dict):
        return "dict", tuple(sorted(repr((form(key), form(part))) for key, part in value.items()))
    if isinstance(value, (Point, Plain)):
        return type(value).__name__, form(vars(value))
    return type(value).__name__, repr(value)


def test_equal_content_and_nothing_else_has_equal_digests_everywhere():
    command = [sys.executable, "-c", CHILD, __name__, __file__]
    children = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONHASHSEED": seed}, text=True
        )
        for seed in "12345"
    ]
    outputs = [child.communicate()[0].strip() for child in children]
    mine = digests()
    assert [output == str(mine) for output in outputs] == [True] * 5
    forms = [repr(form(value)) for value in values()]
    assert len(set(zip(forms, mine, strict=True))) == len(set(forms)) == len(set(mine))
    assert 500 < len(set(forms)) < len(forms) - 500
