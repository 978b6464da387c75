"""Kinds of values and of code that are easily overlooked beside others that are handled."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import pickle
import random
import threading
import typing

import attrs
import numpy as np
import pandas as pd
import pytest
import scipy.stats

from persidict_dask import UnstableKeyError, digest

# -- members of enumerations ----------------------------------------------------------------------


PLANETS = """
import enum, threading
from persidict_dask import persist

class Planet(enum.Enum):
    EARTH = 1
    MARS = 2, "red"
    def __init__(self, number, color="blue"):
        self.mass = number * 10
        self.color = color
        self.lock = threading.Lock()

@persist("{cache}")
def f(x):
    return Planet.EARTH.mass
"""


def test_an_attribute_of_a_member_with_an_init_counts(project):
    """It is read by its name, whoever has made it; what has no content of its own does not."""
    project.write("planets.py", PLANETS)
    planets = importlib.import_module("planets")
    assert planets.f(1) == 10
    first, argument = planets.f.key_of(1), digest(planets.Planet.EARTH)
    assert digest(pickle.loads(pickle.dumps(planets.Planet.EARTH))) == argument
    planets.Planet.EARTH.mass = 5
    assert planets.f(1) == 5
    assert planets.f.key_of(1) != first
    assert digest(planets.Planet.EARTH) != argument
    planets.Planet.EARTH.mass = 10
    assert planets.f.key_of(1) == first


def test_members_with_an_init_are_the_same_in_other_processes(project):
    """Keys and digests have nothing of one process in them."""
    project.write("planets.py", PLANETS)
    script = "import planets as p\nfrom persidict_dask import digest\n"
    project.write("show.py", f"{script}print(p.f.key_of(1), *map(digest, p.Planet))")
    assert project.run("show.py") == project.run("show.py")


def test_an_edit_of_what_new_puts_into_a_member_counts(project):
    """The value may say nothing of it."""
    source = """
import enum
from persidict_dask import persist

class Labelled(enum.Enum):
    ONE = 1, "one"
    def __new__(cls, value, label):
        made = object.__new__(cls)
        made._value_ = value
        made.label = label
        return made

@persist("{cache}")
def f(x):
    return Labelled.ONE.label

if __name__ == "__main__":
    print(f(1))
"""
    project.write("labels.py", source)
    assert project.run("labels.py").split() == ["one"]
    project.edit("labels.py", '"one"', '"uno"')
    assert project.run("labels.py").split() == ["uno"]


COUNTER = """
import enum
from persidict_dask import persist

class Counter(enum.Enum):
    ONE = 1
    def __init__(self, number):
        self.calls = 0
        self.seen = []

@persist("{cache}")
def f(x):
    Counter.ONE.calls += 1
    Counter.ONE.seen.append(x)
    Counter.ONE.last = x
    return x
"""


@pytest.mark.filterwarnings("ignore:a run of:RuntimeWarning")
def test_what_a_run_changes_in_a_member_is_state(project):
    """As in any other object: it counts as it was, and an edit between runs counts."""
    project.write("counter.py", COUNTER)
    counter = importlib.import_module("counter")
    before = counter.f.key_of(1)
    assert [counter.f(1), counter.f(2), counter.f(1)] == [1, 2, 1]
    assert counter.Counter.ONE.calls == 2
    assert counter.f.key_of(1) == before
    counter.Counter.ONE.calls = 7
    assert counter.f.key_of(1) != before


def test_members_that_hold_each_other():
    """Asking whether an attribute has a content does not go in circles."""
    digests = {digest(one) for one in Opposite}
    assert len(digests) == 2
    assert digests == {digest(pickle.loads(pickle.dumps(one))) for one in Opposite}


class Opposite(enum.Enum):
    LEFT = 1
    RIGHT = 2

    def __init__(self, number):
        self.mutex = threading.Lock()
        self.others = [other for other in type(self) if other is not self]
        for other in self.others:
            other.others.append(self)


# -- tables of pandas -----------------------------------------------------------------------------


def table():
    index = pd.MultiIndex.from_product([["a", "b"], [1.5, None]], names=["n", None])
    return pd.DataFrame({"x": range(4)}, index=index)


def test_levels_that_are_not_used_count():
    """Whoever asks for `index.levels` sees them."""
    part = table().iloc[:2]
    less = part.set_axis(part.index.remove_unused_levels())
    assert digest(part) != digest(less)
    assert digest(less) == digest(pickle.loads(pickle.dumps(less)))
    assert digest(part) == digest(pickle.loads(pickle.dumps(part))) == digest(table().iloc[:2])


def test_the_width_of_codes_does_not_count():
    """It depends on how many levels there once were."""
    index = table().index
    wide = pd.MultiIndex(levels=index.levels, codes=index.codes, names=index.names)
    wide._codes = [codes.astype("i8") for codes in index.codes]
    assert digest(wide) == digest(index)


# -- what has a cache, or a scope, of its own -----------------------------------------------------


@attrs.define(slots=False, unsafe_hash=True, cache_hash=True)
class Point:
    x: int = 1


@attrs.define(unsafe_hash=True, cache_hash=True)
class Slotted:
    x: int = 1


class WithSlot(Point):
    y = 2


@pytest.mark.parametrize("cls", [Point, Slotted, WithSlot])
def test_a_hash_that_is_kept_does_not_count(cls):
    """Whether an object was hashed is nobody's content."""
    point, digests = cls(), {digest(cls())}
    hash(point)
    digests |= {digest(point), digest(pickle.loads(pickle.dumps(point)))}
    assert len(digests) == 1
    assert digest(cls(2)) not in digests


def test_a_new_type_that_no_module_names():
    """Its name and what it is made of tell it from others."""
    one, same = typing.NewType("A", int), typing.NewType("A", int)
    assert digest(one) == digest(same)
    others = typing.NewType("B", int), typing.NewType("A", str), typing.NewType("A", one)
    assert len({digest(one), *map(digest, others)}) == 4


# -- the generators of the process ----------------------------------------------------------------


class Holder:
    def __init__(self, rng):
        self.rng = rng


@dataclasses.dataclass
class Fields:
    rng: object


SHARED = {
    "multivariate": (lambda: scipy.stats.multivariate_normal([0, 0]), "._dist._random_state"),
    "a family": (lambda: scipy.stats.multivariate_normal, "._random_state"),
    "wishart": (lambda: scipy.stats.wishart(3, np.eye(2)), "._dist._random_state"),
    "univariate": (lambda: scipy.stats.norm(0, 1), ".dist._random_state"),
    "a holder": (lambda: Holder(np.random.mtrand._rand), ".rng"),
    "fields": (lambda: Fields(random._inst), ".rng"),
}


@pytest.mark.parametrize("what", SHARED)
def test_an_object_that_holds_the_generator_of_the_process_is_refused(what):
    """A copy would have the state of that moment; the generator was met by itself before."""
    make, path = SHARED[what]
    with pytest.raises(UnstableKeyError, match="give a seed") as caught:
        digest(np.random.mtrand._rand, random._inst, make())
    assert caught.value.path == f"args[2]{path}"


def test_a_seed_is_the_way_out():
    """Each has a generator of its own then, which counts by its state."""
    univariate = scipy.stats.norm(0, 1)
    univariate.random_state = 1
    for one in (scipy.stats.multivariate_normal([0, 0], seed=1), univariate):
        assert digest(one) == digest(pickle.loads(pickle.dumps(one)))
    with pytest.raises(UnstableKeyError, match="give a seed"):
        digest(scipy.stats.norm(0, 1))  # whatever was met before


def test_the_generators_by_themselves_have_a_fixed_token():
    """Whatever was drawn from them."""
    before = digest(random.shuffle, [np.random.mtrand._rand])
    random.random()
    np.random.mtrand._rand.normal()
    assert digest(random.shuffle, [np.random.mtrand._rand]) == before


# -- functions that pydantic checks ---------------------------------------------------------------

CHECKED = """
import pydantic
from typing import Annotated
from persidict_dask import persist

def check(v):
    return v + 1

Number = Annotated[int, pydantic.AfterValidator(check)]

class Options(pydantic.BaseModel):
    k: int = 1

@pydantic.validate_call(config={"strict": False}, validate_return=True)
def helper(x: Number, options: "Options" = Options(), n: int = pydantic.Field(3, gt=0)) -> float:
    return x + options.k

class Job:
    @pydantic.validate_call
    def run(self, x: int) -> int:
        return x

@persist("{cache}")
def f(x):
    return helper(x), Job().run(x)

if __name__ == "__main__":
    print(f.key_of(1))
"""
CHANGES = {
    "a validator": ("return v + 1", "return v + 2", True),
    "the body": ("return x + options.k", "return x - options.k", True),
    "the settings": ('"strict": False', '"strict": True', True),
    "whether the result is checked": ("validate_return=True", "validate_return=False", True),
    "the type of the result": ("-> float", "-> int", True),
    "a type": ("run(self, x: int)", "run(self, x: float)", True),
    "a field of a model": ("k: int = 1", "k: int = 2", True),
    "a constraint": ("gt=0", "gt=1", True),
    "a type of a result that nothing checks": ("x: int) -> int", "x: int) -> float", False),
    "another global": ("def check", "LIMIT = 5\n\ndef check", False),
    "an open file": ("def check", "FILE = open(__file__)\n\ndef check", False),
}


@pytest.fixture(scope="module")
def checked_keys(new_project):
    """The keys of the original and of each edit, each in a folder of its own."""
    sources = {None: CHECKED, "again": CHECKED}
    sources |= {what: CHECKED.replace(old, new) for what, (old, new, _) in CHANGES.items()}
    keys = {}
    for what, source in sources.items():
        made = new_project()
        made.write("script.py", source)
        keys[what] = made.run("script.py")
    return keys


def test_a_function_under_validate_call_is_the_same_elsewhere(checked_keys):
    """In another process and folder."""
    assert checked_keys["again"] == checked_keys[None]


@pytest.mark.parametrize("what", CHANGES)
def test_an_edit_beside_validate_call(checked_keys, what):
    """The function, the settings, and the annotations that are read count."""
    is_counted = CHANGES[what][2]
    assert (checked_keys[what] != checked_keys[None]) is is_counted


def test_a_function_under_validate_call_as_an_argument(project):
    """It counts by value as well, and a call of it changes nothing."""
    project.write("checked.py", CHECKED)
    checked = importlib.import_module("checked")
    before = digest(checked.helper), checked.f.key_of(1)
    assert checked.f(1) == (3.0, 1)
    assert (digest(checked.helper), checked.f.key_of(1)) == before
    checked.UNRELATED = open(__file__)  # noqa: SIM115
    checked.UNRELATED.close()
    assert (digest(checked.helper), checked.f.key_of(1)) == before
