"""Classes in keys: all they hold counts, what use and transport do to them does not."""

from __future__ import annotations

import json
import textwrap

import pytest

from persidict_dask import UnstableKeyError, digest
from persidict_dask._code import fingerprint, running

SCRIPT = '''
import abc, collections, dataclasses, enum, functools, json, operator, pickle, sys, typing
from typing import Annotated, Generic, NamedTuple, Optional, Protocol, TypedDict, TypeVar

import attr, attrs, cloudpickle, pydantic

from persidict_dask import digest, persist
from persidict_dask._code import fingerprint

T = TypeVar("T", bound=float)
LIMIT = 3

def check(v):
    return v + LIMIT

class Plain:
    """A class."""
    size, names = 1, ("a", "b")
    def run(self) -> int:
        return self.size

class Repeats(Plain):
    size, names = 1, ("a", "b")
    big = 10**20

class RepeatsMore(Repeats):
    size, big = 1, 10**20
    __match_args__ = ("size",)

class Lists(Plain):
    items = []

class OwnLists(Lists):
    items = []

class Slots:
    __slots__ = ("a", "b")
    def __init__(self, a=1):
        self.a = a

class MoreSlots(Slots):
    __slots__ = "c"

class NoSlots(Slots):
    __slots__ = ()

class Equal:
    def __eq__(self, other):
        return type(self) is type(other)

class EqualChild(Equal):
    def __eq__(self, other):
        return super().__eq__(other)

class Outer:
    class Inner:
        size = 2

def made(by):
    class Local(Plain):
        def run(self):
            return super().run() + by
    return Local

Local = made({"p", "q", "r"})

@dataclasses.dataclass
class Base:
    a: int = 1

@dataclasses.dataclass
class Child(Base):
    b: list = dataclasses.field(default_factory=list, metadata={"unit": "m"})

@dataclasses.dataclass(frozen=True, order=True, slots=True, kw_only=True)
class Frozen:
    a: int = 1

@dataclasses.dataclass(eq=False)
class Nested:
    child: Optional["Nested"] = None

Made = dataclasses.make_dataclass("Made", [("a", int, 1)])

class Pair(NamedTuple):
    """A pair."""
    x: int
    y: float = 2.0
    def total(self):
        return self.x + self.y

Tuple = collections.namedtuple("Tuple", "x y", defaults=[1])

class Marked(Tuple):
    __slots__ = ()
    def _asdict(self):
        return {}

class Color(enum.Enum):
    RED = 1
    CRIMSON = 1
    BLUE = "b"
    @classmethod
    def _missing_(cls, value):
        return cls.RED

class Auto(enum.StrEnum):
    def _generate_next_value_(name, start, count, last):
        return name.title()
    ONE = enum.auto()

class Switch(enum.IntFlag, boundary=enum.EJECT):
    A = 1
    B = 2
    BOTH = 3

class Labelled(enum.Enum):
    ONE = 1, "one"
    def __new__(cls, value, label):
        made = object.__new__(cls)
        made._value_ = value
        made.label = label
        return made

class Planet(enum.Enum):
    EARTH = 5.97, 6.37
    def __init__(self, mass, radius):
        self.mass = mass
        self.radius = radius

class Abstract(abc.ABC):
    @abc.abstractmethod
    def run(self): ...

class Concrete(Abstract):
    def run(self):
        return 1

Abstract.register(int)

class Runs(Protocol):
    def run(self): ...

class Runner(Runs):
    def run(self):
        return 1

class Box(Generic[T]):
    content: T

class IntBox(Box[int]):
    pass

class Row(TypedDict, total=False):
    a: int

class Meta(type):
    def __new__(meta, name, bases, namespace, **kwargs):
        return super().__new__(meta, name, bases, namespace)

class OfMeta(metaclass=Meta):
    a: Annotated[int, check] = 1

class Hook:
    def __init_subclass__(cls):
        cls.kinds = 1

class Hooked(Hook):
    a: Annotated[int, check] = 1

class Special:
    __len__ = functools.partial(len, ())
    __call__ = functools.partialmethod(lambda self, a, b: a + b, 1)
    __str__ = Plain.run
    __getitem__ = operator.itemgetter(0)
    @classmethod
    def make(cls):
        return cls()
    def __class_getitem__(cls, key):
        return key

@functools.total_ordering
class Ordered:
    def __eq__(self, other):
        return True
    def __lt__(self, other):
        return False

class Typed:
    def __set_name__(self, owner, name):
        self.name = name
    def __get__(self, obj, owner=None):
        return 1

class WithDescriptor:
    a = Typed()

@attrs.define
class Attrs:
    a: int = attrs.field(default=1, converter=int, validator=attrs.validators.instance_of(int))
    b: list = attrs.Factory(lambda self: [self.a], takes_self=True)

@attrs.define
class AttrsChild(Attrs):
    c: int = 3

@attrs.frozen
class FrozenAttrs:
    a: int = 1

@attr.s(hash=True)
class OldAttrs:
    a = attr.ib(default=1)

class Model(pydantic.BaseModel):
    """A model."""
    model_config = {"frozen": True}
    limit: Annotated[int, pydantic.AfterValidator(check)] = pydantic.Field(10, alias="top")
    names: list[str] = pydantic.Field(default_factory=lambda: ["a"])
    _cache: int = 1
    @pydantic.field_validator("limit")
    @classmethod
    def even(cls, v):
        return v
    @pydantic.computed_field
    @property
    def double(self) -> int:
        """Twice."""
        return 2 * self.limit

class Submodel(Model):
    more: Optional[Auto] = None

class Generics(pydantic.BaseModel, Generic[T]):
    content: T

class Root(pydantic.RootModel[list[int]]):
    pass

@pydantic.dataclasses.dataclass
class OfPydantic:
    a: int = pydantic.Field(1, ge=0)

class Failure(ValueError):
    code = 3

PAIRS = {
    "Plain": (Plain, Plain()), "Repeats": (Repeats, Repeats()),
    "RepeatsMore": (RepeatsMore, RepeatsMore()), "Lists": (Lists, Lists()),
    "OwnLists": (OwnLists, OwnLists()), "Slots": (Slots, Slots()),
    "MoreSlots": (MoreSlots, MoreSlots()), "NoSlots": (NoSlots, NoSlots()),
    "Equal": (Equal, Equal()), "EqualChild": (EqualChild, EqualChild()),
    "Inner": (Outer.Inner, Outer.Inner()), "Outer": (Outer, Outer()), "Local": (Local, Local()),
    "Base": (Base, Base()), "Child": (Child, Child()), "Frozen": (Frozen, Frozen()),
    "Nested": (Nested, Nested(Nested())), "Made": (Made, Made()), "Pair": (Pair, Pair(1)),
    "Tuple": (Tuple, Tuple(1)), "Marked": (Marked, Marked(1)), "Color": (Color, Color.BLUE),
    "Auto": (Auto, Auto.ONE), "Switch": (Switch, Switch.A), "Labelled": (Labelled, Labelled.ONE),
    "Planet": (Planet, Planet.EARTH),
    "Abstract": (Abstract, 1), "Concrete": (Concrete, Concrete()), "Runs": (Runs, 1),
    "Runner": (Runner, Runner()), "Box": (Box, Box()), "IntBox": (IntBox, IntBox()),
    "Row": (Row, Row(a=1)), "OfMeta": (OfMeta, OfMeta()), "Hooked": (Hooked, Hooked()),
    "Special": (Special, Special()), "Ordered": (Ordered, Ordered()),
    "WithDescriptor": (WithDescriptor, WithDescriptor()), "Attrs": (Attrs, Attrs()),
    "AttrsChild": (AttrsChild, AttrsChild()), "FrozenAttrs": (FrozenAttrs, FrozenAttrs()),
    "OldAttrs": (OldAttrs, OldAttrs()), "Model": (Model, Model(top=3)),
    "Submodel": (Submodel, Submodel()), "Generics": (Generics, Generics[int](content=1)),
    "Root": (Root, Root([1])), "OfPydantic": (OfPydantic, OfPydantic()),
    "Failure": (Failure, Failure(1)),
}

@persist("{cache}")
def f(x, kind=None):
    return isinstance(x, kind)

def report(pairs, f):
    return {
        name: [fingerprint(cls).hexdigest, digest(obj), "/".join(f.key_of(obj, kind=cls))]
        for name, (cls, obj) in pairs.items()
    }

if __name__ == "__main__":
    if sys.argv[1] == "dump":
        with open(sys.argv[2], "wb") as file:
            file.write(cloudpickle.dumps((report, PAIRS, f)))
        print(json.dumps(report(PAIRS, f)))
    else:
        from distributed import Client, LocalCluster
        del PAIRS["Color"], PAIRS["Switch"]  # aliases, which cloudpickle cannot load where they are
        with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            with Client(cluster) as client:
                there = client.submit(report, PAIRS, f).result()
        print(json.dumps([report(PAIRS, f), there]))
'''
LOAD = """
import json, pickle, sys
report, pairs, f = pickle.load(open(sys.argv[1], "rb"))
print(json.dumps(report(pairs, f)))
"""


def test_n5_a_class_of_a_script_is_the_same_in_another_process(project):
    """Fingerprint, digest and key are those of the driver, for each of fifty kinds of classes."""
    project.write("kinds.py", SCRIPT)
    data = project.folder / "data"
    here = json.loads(project.run("kinds.py", "dump", data))
    again = json.loads(project.run("kinds.py", "dump", data))
    project.write("load.py", LOAD)
    there = json.loads(project.run("load.py", data))
    assert len(here) >= 45
    assert differing(here, again) == set()
    assert differing(here, there) == LOST


def test_n5_a_class_of_a_script_is_the_same_on_a_worker(project):
    """The same by way of a real cluster of processes."""
    project.write("kinds.py", SCRIPT)
    here, there = json.loads(project.run("kinds.py", "cluster"))
    assert differing(here, there) == LOST


LOST = {"Labelled"}
"""`cloudpickle` loses what `__new__` has put into members: without it, they are other members."""


def differing(here, there):
    """Names of the classes for which anything differs."""
    assert here.keys() == there.keys()
    return {name for name in here if here[name] != there[name]}


# -- use ----------------------------------------------------------------------------------------

USES = {
    "a model": (
        """
        import pydantic
        from typing import Optional
        class C(pydantic.BaseModel):
            a: int = 1
            parent: Optional["C"] = None
            later: "Optional[Later]" = None
            _p: int = 2
        class Later(pydantic.BaseModel):
            b: int = 1
        """,
        "c = C(a=2); c.a = 3; c._p = 4; C.model_json_schema(); repr(c); type('S', (C,), {})",
    ),
    "a dataclass of pydantic": (
        """
        import pydantic
        @pydantic.dataclasses.dataclass
        class C:
            a: int = 1
            later: "Later | None" = None
        @pydantic.dataclasses.dataclass
        class Later:
            b: int = 1
        """,
        "C(a=2); import pydantic; pydantic.TypeAdapter(C).validate_python({'a': 1})",
    ),
    "a generic model": (
        """
        import pydantic
        from typing import Generic, TypeVar
        T = TypeVar("T")
        class C(pydantic.BaseModel, Generic[T]):
            a: T
        """,
        "C[int](a=1); C[str]",
    ),
    "a model of version 1": (
        """
        import pydantic.v1
        class C(pydantic.v1.BaseModel):
            a: int = 1
        """,
        "C(a=2).json(); C.schema()",
    ),
    "a protocol": (
        """
        from typing import Protocol, runtime_checkable
        @runtime_checkable
        class P(Protocol):
            def m(self): ...
        class B:
            def __init__(self):
                self.a = 1
        class C(P, B):
            def m(self): return 1
        """,
        "isinstance(C(), P); isinstance(1, P)",
    ),
    "a protocol alone": (
        """
        from typing import Protocol
        class P(Protocol):
            def m(self): ...
        class C(P):
            def m(self): return 1
        """,
        "C()",
    ),
    "an abstract class": (
        """
        import abc
        class C(abc.ABC):
            def m(self): return 1
        """,
        "C.register(int); isinstance(1, C); copy.copy(C()); type('S', (C,), {})",
    ),
    "slots": ("class C:\n    __slots__ = ('a',)\n", "c = C(); c.a = 1; copy.copy(c); digest(c)"),
    "descriptors": (
        """
        import functools
        class C:
            @functools.cached_property
            def p(self): return 1
            @functools.lru_cache
            def m(self): return 1
            @functools.singledispatchmethod
            def s(self, x): return 1
            @s.register
            def _(self, x: int): return 2
        """,
        "c = C(); c.p; c.m(); c.s(1); c.s('a'); C.__doc__ = 'Some.'",
    ),
    "a flag": (
        "import enum\nclass C(enum.Flag):\n    A = 1\n    B = 2\n    C = 4\n",
        "C.A | C.B; ~C.A; C(3); list(C); repr(C.A | C.C)",
    ),
    "an enumeration": (
        """
        import enum
        class C(enum.Enum):
            A = 1
            @classmethod
            def _missing_(cls, value): return cls.A
        """,
        "C(5); C['A']; list(C); C.A.name",
    ),
    "a class of attrs": (
        """
        import attrs
        @attrs.define
        class C:
            a: "int" = 1
            b: list = attrs.Factory(list)
        """,
        "import attrs; c = C(); c.a = 2; repr(c); attrs.resolve_types(C); attrs.asdict(c)",
    ),
    "a struct": (
        """
        import msgspec
        class C(msgspec.Struct):
            a: "int" = 1
            b: list = []
        """,
        "import msgspec; msgspec.json.encode(C()); msgspec.convert({'a': 1}, C); copy.copy(C())",
    ),
    "a typed dict": (
        "from typing import TypedDict\nclass C(TypedDict):\n    a: 'int'\n",
        "import typing; typing.get_type_hints(C)",
    ),
    "annotations for a hook": (
        """
        from typing import Optional
        class B:
            def __init_subclass__(cls): ...
        class C(B):
            a: Optional["C"]
        """,
        "import typing; typing.get_type_hints(C)",
    ),
    "traits": (
        """
        import traitlets
        class C(traitlets.HasTraits):
            a = traitlets.Int(3)
            @traitlets.observe("a")
            def changed(self, change): ...
        """,
        "c = C(); c.a = 4; C.class_traits()",
    ),
    "an estimator": (
        """
        import sklearn.base
        class C(sklearn.base.TransformerMixin, sklearn.base.BaseEstimator):
            def __init__(self, a=1): self.a = a
            def fit(self, X): return self
            def transform(self, X): return X
        """,
        "import sklearn.base; c = C(); repr(c); sklearn.base.clone(c); c.fit(1); c.get_params()",
    ),
}


ASKED = """
import copy, importlib, json
from persidict_dask import digest
from persidict_dask._code import fingerprint
FOUND = {}
for kind, use in json.loads(%r):
    module = importlib.import_module(f"used_{kind}")
    space = {"copy": copy, "digest": digest, "__name__": "uses", **vars(module)}
    FOUND[kind] = []
    if %r:
        FOUND[kind].append(fingerprint(module.C).hexdigest)
    exec(use, space)
    FOUND[kind].append(fingerprint(module.C).hexdigest)
print(json.dumps(FOUND))
"""


@pytest.fixture(scope="module")
def uses(new_project):
    """Fingerprints of classes before and after their use, and in a process that asks after only."""
    made = new_project()
    kinds = {kind: kind.replace(" ", "_") for kind in USES}
    for kind, name in kinds.items():
        made.write(f"used_{name}.py", USES[kind][0])
    pairs = json.dumps([(name, USES[kind][1]) for kind, name in kinds.items()])
    found = {}
    for is_before in (True, False):
        made.write("asked.py", ASKED % (pairs, is_before))
        told = json.loads(made.run("asked.py"))
        for kind, name in kinds.items():
            found.setdefault(kind, []).extend(told[name])
    return found


@pytest.mark.parametrize("kind", USES)
def test_k5_use_of_a_class_is_no_edit(kind, uses):
    """Instances, printing, schemas, subclasses, copies: the class is what it was."""
    assert len(uses[kind]) == 3
    assert len(set(uses[kind])) == 1


# -- annotations that code reads -------------------------------------------------------------------

READERS = {
    "fields of a dataclass": """
        from dataclasses import dataclass, fields
        @dataclass
        class Row:
            x: TYPE
        def f(x):
            return [g.type for g in fields(Row)]
    """,
    "get_type_hints": """
        import typing
        def h(a: TYPE): return a
        def f(x):
            return typing.get_type_hints(h)
    """,
    "a signature": """
        import inspect
        def h(a: TYPE): return a
        def f(x):
            return inspect.signature(h)
    """,
    "an import inside": """
        def h(a: TYPE): return a
        def f(x):
            from inspect import signature
            return signature(h)
    """,
    "a named tuple": """
        from typing import NamedTuple
        class R(NamedTuple):
            a: TYPE
        def f(x):
            return R.__annotations__
    """,
    "fields of attrs": """
        import attrs
        @attrs.define
        class R:
            a: TYPE
        def f(x):
            return attrs.fields(R)[0].type
    """,
    "a conversion by msgspec": """
        import msgspec, dataclasses
        @dataclasses.dataclass
        class R:
            a: TYPE
        def f(x):
            return msgspec.convert(x, R)
    """,
    "an adapter of pydantic": """
        import pydantic, dataclasses
        @dataclasses.dataclass
        class R:
            a: TYPE
        def f(x):
            return pydantic.TypeAdapter(R).validate_python(x)
    """,
    "a decoder of msgspec": """
        import msgspec, dataclasses
        @dataclasses.dataclass
        class R:
            a: TYPE
        def f(x):
            return msgspec.json.decode(x, type=R)
    """,
}


def typed(text, kind):
    namespace = {"__name__": "__main__"}
    exec(textwrap.dedent(text).replace("TYPE", kind), namespace)
    return fingerprint(namespace["f"]).hexdigest


@pytest.mark.parametrize("what", READERS)
def test_n4_annotations_count_where_code_asks_for_them(what):
    """By functions that are known to read them, and by their name."""
    one, same, other = (typed(READERS[what], kind) for kind in ("int", "int", "str"))
    assert one == same != other


# -- what there is no content of ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["__call__", "__match_args__", "__getitem__", "stream"])
def test_k6_a_member_without_content_is_refused_by_its_path(name):
    """Under a dunder name as elsewhere; never in silence."""
    cls = type("C", (), {name: (n for n in ()), "__module__": "__main__"})
    with pytest.raises(UnstableKeyError, match=rf"^__main__\.C\.{name}: .*generator"):
        fingerprint(cls)


def test_k5_a_default_without_content_is_refused_by_its_path():
    """The path names the field."""
    import pydantic

    with_stream = pydantic.Field(default=(n for n in ()))
    cls = pydantic.create_model("C", __module__="__main__", a=(object, with_stream))
    with pytest.raises(UnstableKeyError, match=r"^__main__\.C\.a\.default: .*generator"):
        fingerprint(cls)


# -- changed at run time ------------------------------------------------------------------------


def test_m11_bases_that_change_at_run_time_count():
    """An assignment to `__bases__` is seen at the next look, and taken back with it."""
    namespace = {"__name__": "__main__"}
    text = """
class One:
    def run(self): return 1
class Two:
    def run(self): return 2
class Root: pass
class C(One, Root): pass
class D(C): pass
def f(x): return D().run()
"""
    exec(text, namespace)
    f, (one, two, c, d) = namespace["f"], (namespace[n] for n in ("One", "Two", "C", "D"))
    before, before_instance = fingerprint(f), digest(d())
    c.__bases__ = (two, namespace["Root"])
    assert f(1) == 2
    after, after_instance = fingerprint(f), digest(d())
    assert before.hexdigest != after.hexdigest
    assert before_instance != after_instance
    c.__bases__ = (one, namespace["Root"])
    assert fingerprint(f).hexdigest == before.hexdigest


def test_m11_the_order_of_bases_counts():
    """It decides which method is found."""
    namespace = {"__name__": "__main__"}
    text = "class A: a = 1\nclass B: a = 2\nclass C(A, B): pass\ndef f(x): return C.a\n"
    exec(text, namespace)
    before = fingerprint(namespace["f"]).hexdigest
    namespace["C"].__bases__ = (namespace["B"], namespace["A"])
    assert fingerprint(namespace["f"]).hexdigest != before


STRUCTURES = {
    "bases": lambda names: setattr(names["C"], "__bases__", (names["Two"],)),
    "code": lambda names: setattr(names["helper"], "__code__", names["other"].__code__),
    "defaults": lambda names: setattr(names["helper"], "__defaults__", (5,)),
}


@pytest.mark.parametrize("change", STRUCTURES.values(), ids=STRUCTURES)
def test_m11_what_every_use_reads_is_edited_even_while_it_runs(change):
    """A run that assigns other attributes of such things has not changed that."""
    namespace = {"__name__": "__main__"}
    text = """
class One:
    def run(self, n): return n
class Two:
    def run(self, n): return 2 * n
class C(One): pass
def helper(n=1): return n
def other(n=1): return 3 * n
def f(x):
    c = C()
    c.seen = helper()
    return c.run(c.seen)
"""
    exec(text, namespace)
    f = namespace["f"]
    before, changed = fingerprint(f).hexdigest, []
    with running(f, changed=changed):
        value = f(1)
        change(namespace)
        assert f(1) != value
    assert fingerprint(f).hexdigest != before
    assert changed == []


def test_k5_a_member_set_at_run_time_counts_under_a_dunder_name():
    """Also when the fingerprint was known already."""
    namespace = {"__name__": "__main__"}
    exec("class C:\n    __match_args__ = ('a',)\ndef f(x): return C\n", namespace)
    before = fingerprint(namespace["f"]).hexdigest
    namespace["C"].__match_args__ = ("b",)
    assert fingerprint(namespace["f"]).hexdigest != before


@pytest.mark.parametrize("slots", ["__kept", "_kept", "kept"])
def test_a_slot_is_seen_whatever_its_name(slots):
    """A private one has another name in the class than where it is written."""
    namespace = {"__name__": "__main__"}
    text = """
class __C_:
    __slots__ = ("SLOT",)
    def __init__(self): self.SLOT = 1
    def set(self, value): self.SLOT = value
    def get(self): return self.SLOT
c = __C_()
def f(x): return c.get()
"""
    exec(text.replace("SLOT", slots), namespace)
    before = fingerprint(namespace["f"]).hexdigest
    assert fingerprint(namespace["f"]).hexdigest == before
    namespace["c"].set(2)
    assert fingerprint(namespace["f"]).hexdigest != before


ANNOTATED = """
from typing import Annotated, Optional
def check(v):
    return v + 1
class Meta(type): pass
class Hook:
    def __init_subclass__(cls): pass
class Row({base}):
    a: Optional[Annotated[int, check]]
def f(x):
    return Row
"""


@pytest.mark.parametrize(
    ("base", "is_seen"), [("metaclass=Meta", True), ("Hook", True), ("", False)]
)
def test_n4_annotations_count_by_value_where_something_reads_them(base, is_seen):
    """Twice the same, and another when the function that an annotation holds is edited."""
    text = ANNOTATED.format(base=base)
    found = []
    for version in (text, text, text.replace("v + 1", "v + 2")):
        namespace = {"__name__": "__main__"}
        exec(compile(version, "script", "exec", dont_inherit=True), namespace)
        found.append(fingerprint(namespace["f"]).hexdigest)
    assert found[0] == found[1]
    assert (found[0] != found[2]) is is_seen


# -- names --------------------------------------------------------------------------------------


def test_k5_fields_are_components():
    """An explanation names the field that was edited."""
    text = "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = {}\n    b: int = 1\n"
    made = []
    for value in (1, 2):
        namespace = {"__name__": "__main__"}
        exec(text.format(value), namespace)
        made.append(fingerprint(namespace["C"]).components)
    assert {name for name, _ in made[0].items() ^ made[1].items()} == {"field __main__.C.a"}


def test_n5_qualified_names_do_not_count():
    """A class that was defined elsewhere is the same class; a transport keeps no such name."""
    inside = {"__name__": "__main__"}
    exec("class Outer:\n    class C:\n        a = 1\nC = Outer.C\n", inside)
    outside = {"__name__": "__main__"}
    exec("class C:\n    a = 1\n", outside)
    assert fingerprint(inside["C"]).hexdigest == fingerprint(outside["C"]).hexdigest
    assert digest(inside["C"]()) == digest(outside["C"]())


def test_k5_the_list_of_what_does_not_count_is_documented():
    """Each name stands in docs/keys.md."""
    from pathlib import Path

    from persidict_dask._code.classes import _INCIDENTAL

    text = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
    assert {name for name in _INCIDENTAL if f"`{name}`" not in text} == set()
