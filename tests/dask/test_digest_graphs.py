"""Digests of graphs of objects: cycles, sharing, depth; and the paths to what is refused."""

from __future__ import annotations

import dataclasses
import enum
import functools
import os
import pickle
import sys
import threading
from typing import NamedTuple

import pytest

from persidict_dask._digest import digest, digest_arguments, register_digest
from persidict_dask._errors import UnstableKeyError


class Row(NamedTuple):
    a: object
    b: object


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


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


class Tree:
    def __init__(self, *children):
        self.children, self.parent = children, None
        for child in children:
            child.parent = self


def linked(n):
    head = node = {}
    for at in range(n):
        node["at"], node["next"] = at, {}
        node = node["next"]
    return head


def shared(depth):
    found = ["leaf"]
    for _ in range(depth):
        found = [found, found]
    return found


# -- cycles and depth ---------------------------------------------------------------------------


def test_a_tree_with_parents_is_told_from_another_one():
    """Objects that know their owner are compared by all they are part of."""
    one = Tree(Tree(), Tree(Tree()))
    same = Tree(Tree(), Tree(Tree()))
    other = Tree(Tree(Tree()), Tree())
    assert digest(one) == digest(same) != digest(other)
    assert digest(one.children[0]) == digest(same.children[0])
    assert digest(one.children[0]) != digest(one)


def test_parts_of_a_cycle_do_not_depend_on_what_was_seen_before():
    """A digest of two objects is made of what each would have alone."""
    first, second = {"name": 1}, {"name": 2}
    first["peer"], second["peer"] = second, first
    assert digest([first, second]) != digest([second, first])
    arguments = digest_arguments({"a": first, "b": second})
    assert arguments == {
        "b": digest_arguments({"b": second})["b"],
        "a": digest_arguments({"a": first})["a"],
    }


def test_an_acyclic_part_has_one_digest_inside_and_outside_of_a_cycle():
    """Going by the graph changes no token of what is not on a cycle."""
    part = {"rows": [Point(1), {2, 3}, "x" * 100]}
    cyclic = [part]
    cyclic.append(cyclic)
    assert digest_arguments({"c": cyclic, "p": part})["p"] == digest_arguments({"p": part})["p"]


def test_a_web_of_references_is_digested_in_reasonable_time():
    """Everybody knows everybody: the number of paths is astronomical, the digest is not."""
    people = [Plain(name=n) for n in range(40)]
    for person in people:
        person.friends = people
    assert digest(people[0]) != digest(people[1])


def test_sharing_does_not_multiply_the_work():
    """Sixty doublings are sixty tokens."""
    assert digest(shared(60)) == digest(shared(60)) != digest(shared(61))


def test_depth_is_not_limited_by_the_stack():
    """A linked list of ten thousand nodes."""
    assert digest(linked(10_000)) == digest(linked(10_000)) != digest(linked(9_999))


def test_depth_does_not_change_a_digest():
    """The same value is digested with much of the stack in use and with little."""
    value, expected = linked(100), digest(linked(100))

    def deep(n):
        return deep(n - 1) if n else digest(value)

    assert deep(800) == expected


# -- refusals -----------------------------------------------------------------------------------


class Holder:
    def __init__(self):
        self.lock = threading.Lock()


def cyclic_holder():
    found = {"self": []}
    found["self"].append(found)
    found["deep"] = (1, Holder())
    return found


REFUSED = {
    "a lock": (threading.Lock(), r"args\[0\]: "),
    "a lock in an object in a dict": ({"callback": Holder()}, r"args\[0\]\['callback'\]\.lock: "),
    "in a list": ([1, [2, Holder()]], r"args\[0\]\[1\]\[1\]\.lock: "),
    "far down a long list": ([0] * 10_000 + [Holder()], r"args\[0\]\[10000\]\.lock: "),
    "in a dataclass": (Point(1, Holder()), r"args\[0\]\.y\.lock: "),
    "in a named tuple": (Row(1, Holder()), r"args\[0\]\.b\.lock: "),
    "in a partial": (functools.partial(max, key=Holder()), r"args\[0\]\.keywords\['key'\]\.lock: "),
    "in a cycle": (cyclic_holder(), r"args\[0\]\['deep'\]\[1\]\.lock: "),
    "in a method": (Plain(a=Holder()).__eq__, r"args\[0\]"),
    "in slots": (Slotted(a=Holder()), r"args\[0\]\.a\.lock: "),
    "an open file": (open(os.devnull), r"args\[0\]: .*TextIOWrapper"),  # noqa: SIM115
    "a generator": ((n for n in []), r"args\[0\]: a generator"),
    "a plain object": (object(), r"args\[0\]: .*identity"),
    "an iterator over a set": (iter({1, 2}), r"args\[0\]: .*hash seed"),
    "an iterator over a dict": (iter({1: 2}), r"args\[0\]: a dict_keyiterator"),
    "a frame of the stack": (sys._getframe(), r"args\[0\]: a frame"),
    "a thread": (threading.current_thread(), r"args\[0\]\."),
    "a weak set": (__import__("weakref").WeakSet([Color]), r"args\[0\]"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_has_no_stable_content_is_refused_with_the_path(case):
    """The error leads to the culprit and says what to do."""
    value, path = case
    with pytest.raises(UnstableKeyError, match=f"^{path}.*") as caught:
        digest(value)
    assert isinstance(caught.value, TypeError)
    assert "register_digest" in str(caught.value)


def test_the_path_begins_with_the_name_of_the_argument():
    """In a call, users know their arguments by name."""
    with pytest.raises(UnstableKeyError, match=r"^options\['a'\]\.lock: "):
        digest_arguments({"x": 1, "options": {"a": Holder()}})


def test_the_path_leads_into_code():
    """A function as an argument is refused because of what it reads."""
    namespace = {"__name__": "__main__", "FILE": (n for n in [])}
    exec("def f(x):\n    return FILE\n", namespace)
    with pytest.raises(UnstableKeyError, match=r"^args\[0\]\[1\] -> __main__\.FILE: "):
        digest([1, namespace["f"]])


def test_an_error_can_be_pickled():
    """It comes back from a worker whole."""
    with pytest.raises(UnstableKeyError) as caught:
        digest([threading.Lock()])
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.path == "args[0][0]"


# -- registered types ---------------------------------------------------------------------------


def test_a_registered_function_gives_the_content():
    """Also for subclasses, and in place of what the library would do."""

    class Connection:
        def __init__(self, url):
            self.url, self.lock = url, threading.Lock()

    class Pooled(Connection):
        pass

    with pytest.raises(UnstableKeyError):
        digest(Connection("a"))
    register_digest(Connection, lambda c: c.url)
    assert digest(Connection("a")) == digest(Connection("a")) != digest(Connection("b"))
    assert digest(Connection("a")) != digest(Pooled("a")) == digest(Pooled("a"))
    assert digest([Connection("a")]) == digest([Connection("a")])


def test_the_code_of_a_class_counts_in_its_instances():
    """A call may use any method of what it is given; docstrings and comments do not matter."""
    text = "class Model:\n    def run(self):\n        {}\n        return {}\n"
    found = []
    for arguments in (("", 1), ("'One.'", 1), ("", 2)):
        namespace = {"__name__": "__main__"}
        exec(text.format(*arguments), namespace)
        found.append(digest([namespace["Model"]()]))
    assert found[0] == found[1] != found[2]


def test_digests_of_plain_values_are_not_up_for_change():
    """What the fast path takes cannot be registered."""
    with pytest.raises(TypeError, match="fixed"):
        register_digest(int, str)


def test_stores_are_digested_by_reference(tmp_path):
    """Class and parameters count, and not what is stored; memory has no reference."""
    from persidict import FileDirDict, LocalDict

    one, two = FileDirDict(base_dir=tmp_path / "a"), FileDirDict(base_dir=tmp_path / "b")
    before = digest(one)
    one["x"] = 1
    assert digest(one) == before == digest(FileDirDict(base_dir=tmp_path / "a")) != digest(two)
    with pytest.raises(UnstableKeyError, match="this process only"):
        digest(LocalDict())


def test_dask_collections_are_refused():
    """A recipe is not a value."""
    import dask.array
    import dask.bag
    from dask import delayed

    for value in (delayed(1), dask.array.ones(3), dask.bag.from_sequence([1])):
        with pytest.raises(UnstableKeyError, match=r"args\[0\]\['x'\]: .*not computed"):
            digest({"x": value})
