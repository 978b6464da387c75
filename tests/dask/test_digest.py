"""Digests of values: equal for equal content, different for different, refused when unstable."""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import math
import operator
import os
import pathlib
import pickle
import random
import re
import subprocess
import sys
import types
import uuid
import zoneinfo
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persidict_dask._digest import digest, digest_arguments


class Float(float):
    unit = None


class Text(str):
    pass


class Names(set):
    pass


class Row(NamedTuple):
    a: object
    b: object


class OtherRow(NamedTuple):
    a: object
    b: object


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Shade(enum.Enum):
    RED = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Slim:
    x: object


class Plain:
    def __init__(self, **names):
        self.__dict__.update(names)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, **names):
        for name, value in names.items():
            setattr(self, name, value)

    def method(self):
        return self.a


class Described:
    def __init__(self, value):
        self.value, self.noise = value, object()

    def __persist_token__(self):
        return self.value


class Lazy:
    @functools.cached_property
    def size(self):
        return 3


def with_state(obj, **state):
    obj.__dict__.update(state)
    return obj


def loop(*items):
    found = list(items)
    found.append(found)
    return found


def unrolled(*items):
    found = list(items)
    found.append([*items, found])
    return found


def in_dict(value):
    found = {"v": value}
    found["self"] = found
    return found


def shared(depth):
    found = ["leaf"]
    for _ in range(depth):
        found = [found, found]
    return found


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2026, 1, 1, 12)

DIFFERENT = {
    "small values": (
        [0, 1, -1, 255, 256, 2**63, 2**64, -(2**64), 10**5000, True, False, None, ..., 0.0, -0.0]
        + [1.0, math.nan, math.inf, -math.inf, 5e-324, 0j, complex(0, -0.0), 1j, NotImplemented]
        + ["", "0", "1", "a", "é", "e\u0301", "\ud800", b"", b"0", b"a", bytearray(b"a"), "None"]
        + [decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal("NaN"), "1.0"]
        + [fractions.Fraction(1, 2), 0.5, "1/2", uuid.UUID(int=1), uuid.UUID(int=2)]
        + [memoryview(b"a"), memoryview(b"ab"), array.array("b", [97]), array.array("B", [97])]
    ),
    "containers": [
        *[(), [], {}, set(), frozenset(), [[]], [()], ([],), [None], (None,), {None}],
        *[[1, 2], [2, 1], (1, 2), {1, 2}, frozenset({1, 2}), [[1], 2], [1, [2]], [[1, 2]]],
        *[["ab", "c"], ["a", "bc"], ["abc"], [b"ab", "c"], ["a-b", "c"], ["a", "b-c"]],
        *[{1: 2}, {2: 1}, {1: {2: 3}}, {(1, 2): 3}, {"1": 2}, {1.0: 2}, {True: 2}, {1: 2, 2: 1}],
        *[collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2}],
        *[collections.defaultdict(int, a=1), collections.defaultdict(list, a=1)],
        *[collections.Counter(a=1), collections.deque([1]), collections.deque([1], maxlen=2)],
        types.MappingProxyType({1: 2}),
        *[slice(1), slice(1, 2), slice(1, 2, 3), range(3), range(0, 3, 2), range(0)],
        *[collections.ChainMap({1: 2}), collections.ChainMap({}, {1: 2})],
        types.SimpleNamespace(a=1),
    ],
    "moments": [
        *[dt.date(2026, 1, 1), dt.datetime(2026, 1, 1), NOON, NOON.replace(tzinfo=dt.UTC)],
        *[NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=1)))],
        *[NOON.replace(fold=1), NOON.time(), dt.time(12, tzinfo=dt.UTC), dt.timedelta(1)],
        *[dt.timedelta(seconds=1), dt.timedelta(-1), dt.UTC, BERLIN, zoneinfo.ZoneInfo("UTC")],
    ],
    "objects": [
        *[Color.RED, Color.BLUE, Shade.RED, Rights.READ, Rights.READ | Rights.WRITE, 1, Color],
        *[Point(1), Point(1, 2), Point(2), Slim(1), Slim(2), Plain(x=1), Plain(x=1, y=0), Plain()],
        *[Row(1, 2), Row(2, 1), OtherRow(1, 2), (1, 2), Row],
        *[Slotted(), Slotted(a=1), Slotted(b=1), Slotted(a=1, b=2)],
        *[with_state(Point(1), z=1), with_state(Point(1), z=2)],
        *[Described(1), Described(2), Described([1])],
    ],
    "subclasses with state": [
        *[1.5, Float(1.5), with_state(Float(1.5), unit="m"), with_state(Float(1.5), unit="s")],
        *["a", Text("a"), with_state(Text("a"), lang="de"), with_state(Text("a"), lang="en")],
        *[{1}, Names({1}), with_state(Names({1}), of="x"), Names({2})],
    ],
    "paths and patterns": [
        *[pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a"), "a"],
        *[pathlib.Path("a/b"), re.compile("a"), re.compile(b"a"), re.compile("a", re.IGNORECASE)],
    ],
    "callables": [
        *[len, max, str.upper, "a".upper, "b".upper, [].append, [1].append, math.sin, math.cos],
        *[functools.partial(max, 1), functools.partial(max, 2), functools.partial(min, 1)],
        *[functools.partial(max, key=len), operator.itemgetter(1), operator.attrgetter("a")],
        *[Slotted(a=1).method, Slotted(a=2).method, Slotted.method, loop, unrolled, math, operator],
        *[lambda x: x, lambda x: x + 1, lambda x: x + 1.0, lambda x, y=1: x],
        *[
            int,
            float,
            Plain,
            Slotted,
            Point,
            list[int],
            list[str],
            int | str,
            int | bytes,
            dict,
            collections.OrderedDict,
        ],
    ],
    "cycles": [loop(), loop(1), loop(2), [[]], loop(loop()), [loop(1)], in_dict(1), in_dict(2)],
    "errors and generators of numbers": [
        *[ValueError("a"), ValueError("b"), TypeError("a"), KeyError("a")],
        *[random.Random(1), random.Random(2)],
    ],
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_values_that_differ_have_different_digests(values):
    """Content, type, order, sign and state all count."""
    found = collections.defaultdict(list)
    for value in values:
        found[digest(value)].append(value)
    assert [same for same in found.values() if len(same) > 1] == []


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_a_digest_is_that_of_a_copy(values):
    """Copying and, where it is possible, pickling changes nothing."""
    for value in values:
        assert digest(value) == digest(value)
        if not isinstance(value, (memoryview, types.ModuleType, types.MappingProxyType)):
            assert digest(copy.deepcopy(value)) == digest(value), value


@pytest.mark.parametrize("name", [name for name in DIFFERENT if name != "callables"])
def test_a_digest_survives_pickle(name):
    """A value that was sent to a worker has the digest that it had before."""
    for value in DIFFERENT[name]:
        if not isinstance(value, (memoryview, types.MappingProxyType, Described)):
            assert digest(pickle.loads(pickle.dumps(value))) == digest(value), value


EQUAL = {
    "the order of a dict": ({1: 2, "a": [3]}, {"a": [3], 1: 2}),
    "the order of attributes": (Plain(a=1, b=2), Plain(b=2, a=1)),
    "shared parts": ([shared(3)] * 2, [shared(3), copy.deepcopy(shared(3))]),
    "one string or two": (["ab"] * 2, ["ab", "".join(["a", "b"])]),
    "nan": (math.nan, float("-nan")),
    "nan from a computation": (math.nan, math.inf - math.inf),
    "a cycle and its unrolling": (loop(1), unrolled(1)),
    "a cycle entered elsewhere": (loop()[0], loop()),
    "a cached property": (Lazy(), with_state(Lazy(), size=3)),
    "a protocol": (Described([1]), Described([1])),
    "a memory view": (memoryview(b"abcd")[::2], memoryview(b"ac")),
    "keywords of a partial": (
        functools.partial(max, a=1, b=2),
        functools.partial(max, b=2, a=1),
    ),
}


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL)
def test_equal_content_has_equal_digests(pair):
    """What does not count does not count."""
    first, second = pair
    assert digest(first) == digest(second)
    assert digest([first, 1]) == digest([second, 1])


def test_arguments_are_digested_apart():
    """Many objects are not one container of them, and their bounds count."""
    found = [digest(), digest(1), digest(1, 2), digest((1, 2)), digest([1], 2), digest(1, [2])]
    assert len(set(found)) == len(found)
    assert re.fullmatch("[0-9a-f]{40}", digest())


def test_each_argument_has_a_digest_of_its_own():
    """A key can tell which argument changed."""
    first = digest_arguments({"x": 1, "y": [2]})
    second = digest_arguments({"x": 1, "y": [3]})
    assert first["x"] == second["x"] == digest_arguments({"x": 1})["x"]
    assert first["y"] != second["y"]


# -- properties ---------------------------------------------------------------------------------

atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.binary(max_size=2000),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.datetimes(timezones=st.sampled_from([None, dt.UTC, BERLIN])),
    st.timedeltas(),
    st.sampled_from([Color.RED, Rights.WRITE, ..., len, int, Point]),
)
hashables = st.deferred(
    lambda: atoms | st.tuples(hashables, hashables) | st.frozensets(hashables, max_size=3)
)
values = st.deferred(
    lambda: st.one_of(
        atoms,
        st.lists(values, max_size=3),
        st.dictionaries(hashables, values, max_size=3),
        st.sets(hashables, max_size=3),
        st.builds(Point, values, values),
        st.builds(lambda a: Plain(a=a), values),
        st.builds(Row, values, values),
    )
)


def typed(value):
    """A form in which equality means equal content and type."""
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(typed, value))
    if isinstance(value, (set, frozenset)):
        return type(value), frozenset(map(typed, value))
    if isinstance(value, dict):
        return dict, frozenset((typed(key), typed(part)) for key, part in value.items())
    if isinstance(value, (Point, Plain)):
        return type(value), typed(vars(value))
    if isinstance(value, (float, complex, decimal.Decimal)):
        return type(value), repr(value)
    if isinstance(value, dt.datetime):
        return dt.datetime, value.replace(tzinfo=None), value.fold, str(value.tzinfo)
    return type(value), value


@settings(max_examples=300, deadline=None)
@given(values, values)
def test_digests_are_equal_exactly_when_content_is(first, second):
    """Any two values, and each with its pickled copy and its reordered self."""
    assert (digest(first) == digest(second)) == (typed(first) == typed(second))
    assert digest(pickle.loads(pickle.dumps(first))) == digest(first)


@settings(max_examples=100, deadline=None)
@given(values, st.randoms())
def test_order_counts_in_lists_and_not_in_dicts(value, chance):
    """Shuffled dicts are equal, shuffled lists are what they are."""
    pairs = [(str(n), part) for n, part in enumerate([value, 1, [value], None])]
    mixed = chance.sample(pairs, len(pairs))
    assert digest(dict(pairs)) == digest(dict(mixed))
    assert (digest(pairs) == digest(mixed)) == (typed(pairs) == typed(mixed))


# -- processes ----------------------------------------------------------------------------------

CHILD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
module = importlib.util.module_from_spec(spec)
sys.modules[sys.argv[1]] = module
spec.loader.exec_module(module)
print(module.all_digests())
"""


def all_digests():
    """Digests of everything above, as each process sees it."""
    tables = [value for values in DIFFERENT.values() for value in values]
    pairs = [value for pair in EQUAL.values() for value in pair]
    names = {f"name{n}" for n in range(50)}
    more = (names, Names(names), Plain(names=names))
    return [(type(value).__name__, digest(value)) for value in (*tables, *pairs, *more)]


def test_digests_are_the_same_in_every_process():
    """Under other hash seeds, and in a session that never saw the values before."""
    command = [sys.executable, "-c", CHILD, __name__, __file__]
    children = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONHASHSEED": seed}, text=True
        )
        for seed in ("1", "2")
    ]
    outputs = [child.communicate()[0].strip().splitlines()[-1] for child in children]
    expected = all_digests()
    for output in outputs:
        pairs = zip(eval(output), expected, strict=True)
        assert [other for other, mine in pairs if other != mine] == []


def test_an_exception_keeps_its_digest_when_tracebacks_learn_to_pickle():
    """Dask's workers change how exceptions are pickled, and so does any user of `copyreg`."""
    import tblib.pickling_support

    class Failure(Exception):
        pass

    before = digest(Failure(1))
    tblib.pickling_support.install()
    assert digest(Failure(1)) == before != digest(Failure(2))


def test_digests_load_no_library():
    """Neither numpy nor pandas is imported to find out that a value is not theirs."""
    code = (
        "import sys; from persidict_dask._digest import digest; digest([1, {'a': {2}}, print]);"
        "print([m for m in ('numpy', 'pandas', 'pyarrow', 'scipy') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


# -- the scheme ---------------------------------------------------------------------------------

GOLDEN_ARGUMENTS = [
    (),
    (None,),
    (True, 1, -1, 1.5, 2j),
    ("é", b"\xff", [1, (2, {3})], {"a": 1, 2: "b"}),
    ("x" * 100, "y" * 2000, "z" * 3_000_000),
    (decimal.Decimal("1.50"), dt.date(2026, 1, 2), uuid.UUID(int=3), slice(1, None)),
    (loop("a"),),
]
GOLDEN_DIGESTS = [
    "58e2da34dc1dd151f60573248d6dd7f698b6a678",
    "c4f90cdb40bd4545bf41ff564c879e331038299d",
    "6a1d81555b11858b33dc2995fb8a7c1cd3debf34",
    "8e057fea0d4b2cbae5a39ab2e1b91af48187cb76",
    "85c667cca0bffe684a82eda18c55a0cc66959835",
    "ab9d854327fdc63b51bd230e552ad153e8e54212",
    "4c4872e5565e81db5b88f01ea8be974effedebb7",
]


def test_the_scheme_is_what_it_was():
    """Golden vectors: a change of any of these needs a new version of the scheme."""
    assert [digest(*arguments) for arguments in GOLDEN_ARGUMENTS] == GOLDEN_DIGESTS


def test_long_values_are_streamed_to_the_same_token():
    """A payload that came in pieces is the payload."""
    from persidict_dask._digest.frame import LEAF, SMALL, Stream, frame

    for size in (0, 1, SMALL, SMALL + 1, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF):
        data, stream = random.Random(size).randbytes(size), Stream()
        for start in range(0, size, 99_991):
            stream.add(data[start : start + 99_991])
        assert stream.token(b"t") == frame(b"t", data) == frame(b"t", memoryview(data))


def test_every_byte_of_a_long_value_counts():
    """Leaves of a large buffer stand in the token in their order."""
    from persidict_dask._digest.frame import LEAF

    data = bytearray(2 * LEAF + 5)
    found = {digest(bytes(data))}
    for at in (0, LEAF - 1, LEAF, 2 * LEAF, 2 * LEAF + 4):
        data[at] = 1
        found.add(digest(bytes(data)))
        data[at] = 0
    assert len(found) == 6


def test_buffers_are_read_as_they_are_and_not_kept():
    """A stream of bytes has its content, and no open file has any."""
    assert digest(io.BytesIO(b"a")) == digest(io.BytesIO(b"a")) != digest(io.BytesIO(b"b"))
