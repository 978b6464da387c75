"""Fingerprints follow every change of what they are made of, and only those."""

from __future__ import annotations

import gc
import textwrap
import threading
import types
import weakref

import pytest

from persidict_dask._code import fingerprint, running


@pytest.fixture
def script():
    """Definitions as a notebook cell makes them: in a namespace called `__main__`."""
    namespace = {"__name__": "__main__"}

    def run(text):
        exec(textwrap.dedent(text), namespace)
        return types.SimpleNamespace(**namespace)

    return run


def changed(before, after):
    """Names of the components that differ."""
    pairs = before.components.items() ^ after.components.items()
    return {name for name, _ in pairs}


def test_an_unchanged_function_is_not_hashed_again(script):
    """The same fingerprint object comes back."""
    f = script("LIMIT = [1]\nclass C:\n    a = 1\ndef f(x):\n    return LIMIT, C\n").f
    assert fingerprint(f) is fingerprint(f)


REDEFINITIONS = {
    "a helper": "def clean(x):\n    return x + 2",
    "a constant": "LIMIT = 2",
    "an item of a list": "ITEMS[0] = 2",
    "a list that grew": "ITEMS.append(2)",
    "an item of a dict": "CONFIG['a']['b'] = 2",
    "a key of a dict": "CONFIG['c'] = 2",
    "a member of a set": "NAMES.add('c')",
    "an array in place": "ARRAY[3] = 2",
    "bytes in place": "BYTES[0] = 2",
    "a frame in place": "FRAME.loc[0, 'a'] = 2",
    "state of an instance": "OBJECT.a = 2",
    "state in slots": "SLOTTED.a = 2",
    "a method": "Row.run = lambda self: 2",
    "an attribute of a base": "Base.size = 2",
    "an attribute of a function": "clean.limit = 2",
    "code of a function": "clean.__code__ = (lambda x: x + 2).__code__",
    "defaults of a function": "clean.__defaults__ = (2,)",
    "keyword defaults of a function": "clean.__kwdefaults__['z'] = 2",
    "a cell": "set_count(2)",
    "a name that hides a builtin": "def len(x):\n    return 2",
    "a name that was missing": "missing = 2",
    "the content of a described object": "DESCRIBED.size = 2",
    "a function of a described object": "shown.__code__ = (lambda x: x + 2).__code__",
    "an attribute of a module": "helpers.size = 2",
}


@pytest.mark.parametrize("edit", REDEFINITIONS.values(), ids=REDEFINITIONS)
def test_a_fingerprint_follows_redefinition(script, edit):
    """What is rebound or changed in place between two calls is seen at the next call."""
    text = """
        import types
        import numpy, pandas
        helpers = types.ModuleType("helpers_of_a_test")
        helpers.size = 1
        LIMIT, ITEMS, CONFIG, NAMES = 1, [1], {"a": {"b": 1}}, {"a"}
        ARRAY, BYTES = numpy.zeros(5), bytearray(3)
        FRAME = pandas.DataFrame({"a": [1, 1]})
        class Base:
            size = 1
        class Row(Base):
            def __init__(self):
                self.a = 1
            def run(self):
                return 1
        class Slotted:
            __slots__ = ("a",)
        OBJECT, SLOTTED = Row(), Slotted()
        SLOTTED.a = 1
        def counter():
            count = 1
            def get():
                return count
            def put(n):
                nonlocal count
                count = n
            return get, put
        get_count, set_count = counter()
        def clean(x, y=1, *, z=1):
            return x + 1
        def shown(x):
            return x + 1
        class Described:
            def __init__(self):
                self.size, self.noise = 1, object()
            def __persist_token__(self):
                return "described", self.size, shown
        DESCRIBED = Described()
        def f(x):
            missing, DESCRIBED
            helpers.size
            return clean(x), LIMIT, ITEMS, CONFIG, NAMES, ARRAY, BYTES, FRAME, OBJECT, SLOTTED, \\
                get_count(), len(x)
    """
    f = script(text).f
    before = fingerprint(f)
    assert fingerprint(f) is before
    script(edit)
    after = fingerprint(f)
    assert after.hexdigest != before.hexdigest
    assert changed(before, after)


def test_a_change_that_is_undone_gives_the_first_fingerprint_again(script):
    """Only the state at the call counts."""
    f = script("LIMIT = [1]\ndef f(x):\n    return LIMIT\n").f
    before = fingerprint(f)
    script("LIMIT[0] = 2")
    between = fingerprint(f)
    script("LIMIT[0] = 1")
    assert before.hexdigest == fingerprint(f).hexdigest != between.hexdigest


def test_state_that_the_function_keeps_for_itself_is_not_in_the_key(script):
    """A lazily loaded global is filled at the first call, which must not be the only hit."""
    namespace = script("""
        MODEL = None
        def f(x):
            global MODEL
            if MODEL is None:
                MODEL = object()
            return x
    """)
    before = fingerprint(namespace.f)
    changed = []
    with running(namespace.f, changed=changed):
        namespace.f(1)
    assert fingerprint(namespace.f) is before
    assert changed == ["__main__.MODEL"]


def test_use_of_a_cached_property_changes_nothing(script):
    """What is computed from the rest and kept is not a part of the state."""
    namespace = script("""
        import functools
        class Config:
            @functools.cached_property
            def limit(self):
                return 1
        CONFIG = Config()
        def f(x):
            return CONFIG.limit
    """)
    before = fingerprint(namespace.f).hexdigest
    namespace.f(1)
    assert fingerprint(namespace.f).hexdigest == before


def test_specialised_bytecode_does_not_leak(script):
    """A function that ran hot has the fingerprint of one that never ran."""
    text = "def clean(x):\n    return x + 1\ndef f(x):\n    return [clean(v) for v in x]\n"
    namespace = script(text)
    for _ in range(100):
        namespace.f(range(100))
    warm = fingerprint(namespace.f)
    assert warm.hexdigest == fingerprint(script(text).f).hexdigest


def test_data_of_a_dead_closure_is_not_kept_alive():
    """The memory of fingerprints lets go of a function that nobody else has."""

    class Data:
        size = 1

    def made():
        data = Data()
        return (lambda: data), weakref.ref(data)

    f, found = made()
    fingerprint(f)
    del f
    gc.collect()
    assert found() is None


def test_fingerprints_of_many_threads_agree(script):
    """Nothing is shared that a second thread could disturb."""
    f = script("A = {1: [2]}\ndef g(n):\n    return n and f(n - 1)\ndef f(n):\n    return A, g\n").f
    found = []
    threads = [threading.Thread(target=lambda: found.append(fingerprint(f))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({made.hexdigest for made in found}) == 1
