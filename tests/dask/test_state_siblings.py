"""State and edits in places that are easily overlooked: never a stale hit, nothing raised after."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import cloudpickle
import pytest

from persidict import LocalDict
from persidict_dask import digest, persist
from persidict_dask._code.state import Kind, Tracked, named

pytestmark = pytest.mark.filterwarnings("ignore:a run of:RuntimeWarning")

EDITS = {
    "a list that a run empties": (
        """
        BATCH = [1, 5]
        def f(x):
            total = sum(BATCH)
            BATCH.clear()
            return total
        """,
        "BATCH.append(1)",
    ),
    "a dict that a run empties": (
        """
        PENDING = {"a": 1, "b": 2}
        def f(x):
            total = sum(PENDING.values())
            PENDING.clear()
            return total
        """,
        "PENDING['a'] = 1",
    ),
    "a queue that a run takes from": (
        """
        QUEUE = [1, 2, 2]
        def f(x):
            total = sum(QUEUE)
            QUEUE.pop(0)
            return total
        """,
        "QUEUE.append(2)",
    ),
    "an array that a run has put in": (
        """
        import numpy
        CACHE = {}
        def f(x):
            if "a" not in CACHE:
                CACHE["a"] = numpy.ones(3)
            return float(CACHE["a"].sum() * x)
        """,
        "CACHE['a'][0] = 100",
    ),
    "a deque that a run has put in": (
        """
        from collections import deque
        CACHE = {}
        def f(x):
            return sum(CACHE.setdefault("a", deque([1])))
        """,
        "CACHE['a'].append(100)",
    ),
    "an object of slots that a run has made": (
        """
        class Model:
            __slots__ = ("k",)
        MODEL = None
        def f(x):
            global MODEL
            if MODEL is None:
                MODEL = Model()
                MODEL.k = 1
            return MODEL.k
        """,
        "MODEL.k = 100",
    ),
    "a closure that a run has made": (
        """
        CACHE = {}
        def made(kept):
            return lambda: sum(kept)
        LISTS = {}
        def f(x):
            if "a" not in CACHE:
                LISTS["a"] = [1]
                CACHE["a"] = made(LISTS["a"])
            return CACHE["a"]()
        """,
        "LISTS['a'].append(100)",
    ),
    "one of many things that a run has put in": (
        """
        ROWS = []
        def f(x):
            if not ROWS:
                ROWS.extend({"k": 1} for _ in range(3000))
            return sum(row["k"] for row in ROWS)
        """,
        "ROWS[5]['k'] = 100",
    ),
    "a variable of the environment": (
        """
        import os
        os.environ["MODE_OF_A_TEST"] = "1"
        def f(x):
            return int(os.environ["MODE_OF_A_TEST"])
        """,
        "os.environ['MODE_OF_A_TEST'] = '100'",
    ),
    "a variable of the environment that a global names": (
        """
        import os
        os.environ["MODE_OF_A_TEST"] = "1"
        KEY = "MODE_OF_A_TEST"
        def f(x):
            return int(os.environ[KEY])
        """,
        "os.environ['MODE_OF_A_TEST'] = '100'",
    ),
    "another variable that a global names": (
        """
        import os
        os.environ |= {"MODE_OF_A_TEST": "1", "MODE_OF_OTHERS": "2"}
        KEY = "MODE_OF_A_TEST"
        def f(x):
            return int(os.getenv(KEY, "7"))
        """,
        "KEY = 'MODE_OF_OTHERS'",
    ),
    "a variable that is asked for after an import inside": (
        """
        import os
        os.environ["MODE_OF_A_TEST"] = "1"
        def f(x):
            import os
            from os import environ
            return int(environ.get("MODE_OF_A_TEST")) + int(os.environ["MODE_OF_A_TEST"])
        """,
        "os.environ['MODE_OF_A_TEST'] = '100'",
    ),
    "whether there is a variable": (
        """
        import os
        os.environ["MODE_OF_A_TEST"] = "1"
        def f(x):
            return "MODE_OF_A_TEST" in os.environ
        """,
        "os.environ.pop('MODE_OF_A_TEST', None)",
    ),
    "a variable that is asked for in a closure": (
        """
        import os
        os.environ["MODE_OF_A_TEST"] = "1"
        def made():
            import os as system
            def f(x):
                return system.environ.get("MODE_OF_A_TEST")
            return f
        f = made()
        """,
        "os.environ['MODE_OF_A_TEST'] = '100'",
    ),
    "an attribute that only a constructor assigns": (
        """
        class Cfg:
            def __init__(self, k):
                self.k = k
        CFG = Cfg(1)
        class Other:
            def __init__(self):
                self.k = 0
        def f(x):
            Other()
            return x * CFG.k
        """,
        "CFG.k = 100",
    ),
    "the class of an object": (
        """
        class A:
            k = 1
        class B:
            k = 2
        G = A()
        def f(x):
            return G.k
        """,
        "G.__class__ = B",
    ),
    "the factory of a defaultdict": (
        """
        from collections import defaultdict
        D = defaultdict(int)
        def f(x):
            return D.default_factory()
        """,
        "D.default_factory = lambda: 5",
    ),
    "an attribute of a mapping": (
        """
        from collections import OrderedDict
        O = OrderedDict()
        O.tag = 1
        def f(x):
            return O.tag
        """,
        "O.tag = 2",
    ),
    "a text that is a path with more": (
        """
        P = __file__ + "/out"
        def f(x):
            return len(P + "x")
        """,
        "P += '/'",
    ),
    "a method of the environment": (
        """
        import os
        os.environ["MODE_OF_A_TEST"] = "1"
        get = os.environ.get
        def f(x):
            return get("MODE_OF_A_TEST")
        """,
        "os.environ['MODE_OF_A_TEST'] = '100'",
    ),
    "a name that the project has made a built-in one": (
        """
        import builtins
        builtins.LIMIT_OF_A_TEST = 1
        def f(x):
            return LIMIT_OF_A_TEST
        """,
        "builtins.LIMIT_OF_A_TEST = 2",
    ),
    "a private attribute of a thread of the project": (
        """
        import threading
        class Job(threading.Thread):
            def __init__(self, k):
                super().__init__()
                self._k = k
            def run(self):
                return self._k
        G = Job(1)
        def f(x):
            return G.run()
        """,
        "G._k = 5",
    ),
    "what a method reads that only looks": (
        """
        class Cfg:
            def __init__(self):
                self.k = 1
            def double(self):
                return self.k * 2
            @property
            def triple(self):
                return self.k * 3
            def __getitem__(self, x):
                return self.k * x
        CFG = Cfg()
        def f(x):
            return CFG.double() + CFG.triple + CFG[4]
        """,
        "CFG.k = 100",
    ),
    "another name of a function that reads the environment": (
        """
        import os
        from os import getenv
        os.environ["MODE_OF_A_TEST"] = "1"
        def f(x):
            return int(getenv("MODE_OF_A_TEST", "3"))
        """,
        "os.environ['MODE_OF_A_TEST'] = '100'",
    ),
    "a global that a class body hides": (
        """
        LIMIT = 1
        def f(x):
            class A:
                LIMIT = LIMIT
            return x + A.LIMIT
        """,
        "LIMIT = 2",
    ),
    "a global that an inner import hides": (
        """
        def sqrt(x):
            return x + 1
        def f(x):
            def g():
                from math import sqrt
                return sqrt(x)
            return g() + sqrt(x)
        """,
        "sqrt = lambda x: x + 1000",
    ),
    "an attribute of a thread of the project": (
        """
        import threading
        class Job(threading.Thread):
            def __init__(self, k):
                super().__init__()
                self.k = k
        JOB = Job(1)
        def f(x):
            return x + JOB.k
        """,
        "JOB.k = 100",
    ),
    "an attribute of a local of the project": (
        """
        import threading
        class Config(threading.local):
            k = 1
        CONFIG = Config()
        def f(x):
            return x + CONFIG.k
        """,
        "CONFIG.k = 100",
    ),
    "what is inside of an object of slots": (
        """
        class Holder:
            __slots__ = ("items",)
        HOLDER = Holder()
        HOLDER.items = [1]
        def f(x):
            return sum(HOLDER.items)
        """,
        "HOLDER.items.append(100)",
    ),
}


def made(text):
    namespace = {"__name__": "siblings", "__file__": __file__}
    exec(textwrap.dedent(text), namespace)
    return namespace


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_between_runs_is_never_a_stale_hit(what):
    """The value after the edit is that of the plain function in the same place."""
    text, edit = EDITS[what]
    namespace, plain = made(text), made(text)
    f = persist(LocalDict(), name=what)(namespace["f"])
    assert f(1) == plain["f"](1)
    exec(edit, namespace)
    exec(edit, plain)
    assert f(1) == plain["f"](1)


RUN_ONCE = {
    "a list in an object of slots": """
        class Holder:
            __slots__ = ("items",)
        HOLDER = Holder()
        HOLDER.items = []
        def f(x):
            RUNS.append(1)
            HOLDER.items.append(x)
            return x
    """,
    "a list in a deque": """
        from collections import deque
        KEPT = deque([[1], [2]])
        def f(x):
            RUNS.append(1)
            KEPT[0].append(x)
            return x
    """,
    "a lazy attribute": """
        class Lazy:
            def __getattr__(self, name):
                if name != "model":
                    raise AttributeError(name)
                self.model = [1, 2]
                return self.model
        LAZY = Lazy()
        def f(x):
            RUNS.append(1)
            return x + LAZY.model[0] - 1
    """,
    "the longest of lists": """
        LISTS = [[1], [2]]
        def f(x):
            RUNS.append(1)
            max(LISTS).append(x)
            return x
    """,
    "an object that knows no weak references": """
        class Add:
            __slots__ = ("n",)
            def __init__(self):
                self.n = 0
            def __call__(self, x):
                RUNS.append(1)
                self.n += 1
                return x
        f = Add()
    """,
    "a function that is called like one that only looks": """
        LISTS = [1]
        def sum(values):
            values.append(1)
            return 1
        def f(x):
            RUNS.append(1)
            return sum(LISTS)
    """,
    "the only instance of a class": """
        class Only:
            @classmethod
            def get(cls):
                if not hasattr(cls, "_only"):
                    cls._only = cls()
                return cls._only
            def add(self, x):
                return x
        def f(x):
            RUNS.append(1)
            return Only.get().add(x)
    """,
    "a count in the class of an object": """
        class Counted:
            def __init__(self):
                type(self).made = getattr(type(self), "made", 0) + 1
        def f(x):
            RUNS.append(1)
            return x if Counted() else 0
    """,
    "an object that a library calls": """
        import weakref
        class Seen:
            count = 0
            def __call__(self, of):
                self.count += 1
        class Ended:
            pass
        SEEN = Seen()
        def ended():
            return weakref.ref(Ended(), SEEN)
        REFERENCES = []
        def f(x):
            RUNS.append(1)
            REFERENCES.append(weakref.finalize(Ended(), SEEN, 1))
            return x if SEEN.count else x
    """,
    "a handler that counts": """
        import logging
        class Counting(logging.Handler):
            count = 0
            def emit(self, record):
                self.count += 1
        HANDLER = Counting()
        LOGGER = logging.getLogger("siblings.counting")
        LOGGER.addHandler(HANDLER)
        LOGGER.propagate = False
        def f(x):
            RUNS.append(1)
            LOGGER.warning("running")
            return x if HANDLER.count >= 0 else 0
    """,
    "an attribute of the class of an argument": """
        class Model:
            calls = 0
            def predict(self, x):
                type(self).calls += 1
                Model.last = x
                return x
        MODEL = Model()
        def run(model, x):
            RUNS.append(1)
            return model.predict(x)
        f = lambda x: run(MODEL, x)
    """,
    "a bound method of an object that keeps": """
        class M:
            def __init__(self):
                self.memo = {}
            def go(self, x):
                self.memo[x] = x
                return x
        go = M().go
        def f(x):
            RUNS.append(1)
            return go(x)
    """,
    "a defaultdict in a dict": """
        from collections import defaultdict
        D = {"a": defaultdict(int)}
        def f(x):
            RUNS.append(1)
            return D["a"][x] + 1
    """,
    "a defaultdict in a tuple, and one in an object": """
        from collections import defaultdict
        T = (defaultdict(int),)
        class H:
            def __init__(self):
                self.t = defaultdict(int)
        HOLDER = H()
        def f(x):
            RUNS.append(1)
            return T[0][x] + HOLDER.t[x] + 1
    """,
    "operators that keep": """
        class W:
            def __init__(self):
                self.memo = []
            def __contains__(self, x):
                self.memo.append(x)
                return True
            def __len__(self):
                self.memo.append(1)
                return 1
        D = {"a": W()}
        def f(x):
            RUNS.append(1)
            return (x in D["a"]) * len(D["a"])
    """,
    "an iterator that is summed up": """
        IT = iter([1, 0])
        def f(x):
            RUNS.append(1)
            return sum(IT)
    """,
    "a variable of the environment that is set": """
        import os
        os.environ.pop("SET_BY_A_TEST", None)
        def f(x):
            RUNS.append(1)
            os.environ["SET_BY_A_TEST"] = "1"
            return x
    """,
    "a polynomial of numpy": """
        import numpy
        P = numpy.poly1d([1, 0])
        def f(x):
            RUNS.append(1)
            return int(P(x))
    """,
    "imports that fail": """
        def f(x):
            RUNS.append(1)
            try:
                from .helpers_of_a_test import go
            except ImportError:
                return x
    """,
    "a connection that is used outside": """
        import sqlite3
        class Client:
            def __init__(self):
                self.connection, self.calls = sqlite3.connect(":memory:"), 0
        CLIENTS = {}
        def client():
            if not CLIENTS:
                CLIENTS["one"] = Client()
            return CLIENTS["one"]
        def f(x):
            RUNS.append(1)
            client().calls += 1
            return x
    """,
}


class Runs(list):
    def __persist_token__(self):
        return "runs"


@pytest.mark.parametrize("what", RUN_ONCE)
def test_equal_calls_run_once(what):
    """State is state wherever it is kept."""
    namespace = made("")
    namespace["RUNS"] = runs = Runs()
    exec(textwrap.dedent(RUN_ONCE[what]), namespace)
    f = persist(LocalDict(), name=what)(namespace["f"])
    assert [f(1), f(1), f(1)] == [1, 1, 1]
    assert len(runs) == 1


def test_what_a_run_has_made_may_have_no_content_when_it_is_edited():
    """A use of it between runs is an edit, and no error."""
    namespace = made("")
    namespace["RUNS"] = Runs()
    exec(textwrap.dedent(RUN_ONCE["a connection that is used outside"]), namespace)
    f = persist(LocalDict(), name="used")(namespace["f"])
    assert f(1) == 1
    namespace["client"]().calls += 1
    assert [f(1), f(1)] == [1, 1]


def test_a_nested_look_hides_no_change():
    """The run that has changed a global is named, though a call inside has seen that first."""
    namespace = made("""
        KEPT = []
        def inner(x):
            if x < 0:
                KEPT.append(x)
            return len(KEPT)
        def outer(x):
            KEPT.append(x)
            return inner(1)
    """)
    store = LocalDict()
    namespace["inner"] = persist(store, name="inner")(namespace["inner"])
    outer = persist(store, name="outer")(namespace["outer"])
    with pytest.warns(RuntimeWarning, match=r"outer has changed siblings\.KEPT"):
        outer(1)


COUNTERS = """
    class Stats:
        mode = 1
        hits = 0
    def hit(x):
        Stats.hits += 1
        return x
    def miss(x):
        Stats.misses = getattr(Stats, "misses", 0) + 1
        return x * Stats.mode
    def switch(x):
        Stats.mode = x
        return x
"""


def test_functions_that_assign_other_attributes_of_one_class():
    """Each has its state there; what another one's run assigns, and this one reads, is an edit."""
    namespace, store = made(COUNTERS), LocalDict()
    hit, miss, switch = (persist(store, name=n)(namespace[n]) for n in ("hit", "miss", "switch"))
    for _ in range(2):
        assert [hit(1), miss(1), hit(1), miss(1)] == [1] * 4
    assert (namespace["Stats"].hits, namespace["Stats"].misses) == (1, 1)
    assert (switch(100), miss(1), miss(1)) == (100, 100, 100)
    assert namespace["Stats"].misses == 2
    namespace["Stats"].mode = 7
    assert (hit(1), miss(1), miss(1)) == (1, 7, 7)
    assert namespace["Stats"].misses == 3


OTHERS = """
    class Cfg:
        def __init__(self, k):
            self.k = k
        def change(self, k):
            self.k = k
    class Acc:
        pass
    from types import SimpleNamespace
    CFG, NS, ACC = Cfg(1), SimpleNamespace(k=1), Acc()
    class Base:
        k = 1
    def inner(x):
        return CFG.k * x
    def text(x):
        ACC.n = 0
        return f"{NS} {vars(CFG)}"
    def of_class(x):
        Base.n = 0
        return vars(Base)["k"]
    def outer(k):
        CFG.k = NS.k = Base.k = k
        return inner(3)
    def changing(k):
        CFG.change(k)
        return inner(3)
"""


def test_what_other_functions_change_is_seen_by_those_that_read_it():
    """Also inside of the run that changes it, and beside attributes of one's own."""
    namespace, plain, store = made(OTHERS), made(OTHERS), LocalDict()
    names = ("inner", "text", "of_class", "outer", "changing")
    namespace |= {name: persist(store, name=name)(namespace[name]) for name in names}
    calls = [(name, k) for k in (2, 5) for name in ("outer", "inner", "text", "of_class")]
    for name, k in [("text", 1), ("of_class", 1), *calls, ("changing", 7), ("inner", 1)]:
        assert namespace[name](k) == plain[name](k)


def test_an_edit_during_a_run_of_another_thread_is_an_edit():
    """Of what the function only reads."""
    namespace = made("""
        import threading
        BEGUN, GO = threading.Event(), threading.Event()
        class Cfg:
            def __init__(self, k):
                self.k = k
        CFG = Cfg(1)
        def f(x):
            if x == 1:
                BEGUN.set()
                GO.wait(60)
            return CFG.k * x
    """)
    store = LocalDict()
    f = persist(store, name="edited")(namespace["f"])
    thread = threading.Thread(target=f, args=(1,))
    thread.start()
    assert namespace["BEGUN"].wait(60)
    namespace["CFG"].k = 2
    namespace["GO"].set()
    thread.join()
    assert f(10) == 20
    namespace["CFG"].k = 1
    assert f(10) == 10


def test_a_look_at_what_a_run_has_made_may_lead_back():
    """It may run code that looks at the thing itself."""
    kept, looks = {"a": 1}, []

    def look():
        looks.append(1)
        known.settle()
        return (kept["a"],)

    known = Tracked("kept", kept, Kind(lambda: ("a", kept["a"]), dict, named), "kept")
    known.made = {"a": [(look, (1,))]}
    known.settle()
    assert looks == [1]
    kept["a"] = 2
    known.settle()
    assert (known.last, known.edits, looks) == (("a", 2), 2, [1, 1])


def test_an_instance_that_its_class_keeps():
    """The class leads to the instance, whose content leads to the class."""
    namespace = made("""
        class Settings:
            kept = None
            def __new__(cls):
                if cls.kept is None:
                    cls.kept = super().__new__(cls)
                    cls.kept.asked = 0
                return cls.kept
        def f(x):
            Settings().asked += 1
            return x
        def g(settings, x):
            settings.asked += 1
            return x
    """)
    store, settings = LocalDict(), namespace["Settings"]
    f, g = (persist(store, name=name)(namespace[name]) for name in ("f", "g"))
    assert [f(1), f(2), f(1)] == [1, 2, 1]
    assert settings.kept.asked == 2
    assert [g(settings(), 1), g(settings(), 2)] == [1, 2]
    before = digest(settings.kept)
    settings.kept.asked = 100
    assert digest(settings.kept) != before
    assert [f(1), f(2), g(settings(), 1)] == [1, 2, 1]


def test_state_of_what_arguments_bring_along():
    """The class of an argument, and a function as an argument: equal calls run once."""
    namespace = made("""
        class Model:
            calls = 0
            def predict(self, x):
                type(self).calls += 1
                return x
        def helper(x):
            helper.calls = getattr(helper, "calls", 0) + 1
            return x
        def f(model, function, x):
            RUNS.append(1)
            return model.predict(function(x))
    """)
    namespace["RUNS"] = runs = Runs()
    f = persist(LocalDict(), name="of arguments")(namespace["f"])
    call = (namespace["Model"](), namespace["helper"], 1)
    with pytest.warns(RuntimeWarning, match=r"changed siblings\.Model"):
        assert [f(*call), f(*call), f(*call)] == [1, 1, 1]
    assert len(runs) == 1
    namespace["Model"].calls = 100
    assert [f(*call), f(*call)] == [1, 1]
    assert len(runs) == 2


def test_a_class_that_was_used_by_a_run_is_the_same():
    """What `pickle` notes in a class while a method runs that has variables of its own."""
    namespace = made("""
        class U:
            def flat(self, limits):
                limit = limits[0]
                return (lambda: limit)()
            calls = 0
            def counted(self):
                type(self).calls += 1
    """)
    cls = namespace["U"]
    for name in ("flat", "counted"):
        setattr(cls, name, persist(LocalDict(), name=name)(vars(cls)[name]))
    before = digest(cls), digest(cls())
    one = cls()
    assert one.flat([1]) == 1
    one.counted()
    cls.more = 1  # an edit, so that the class is looked at anew
    assert digest(cls) != before[0]
    del cls.more
    assert (digest(cls), digest(one)) == before


def test_what_runs_of_several_functions_change_is_told_once():
    """By the first one, for each thing that is changed."""
    namespace = made("""
        KEPT, OTHERS = [], []
        def inner(x):
            KEPT.append(x)
            return x
        def outer(x):
            KEPT.append(x)
            OTHERS.append(x)
            return inner(x)
    """)
    store = LocalDict()
    namespace["inner"] = persist(store, name="inner")(namespace["inner"])
    outer = persist(store, name="outer")(namespace["outer"])
    with pytest.warns(RuntimeWarning) as told:
        assert [outer(x) for x in (1, 2, 3)] == [1, 2, 3]
    assert sum(str(each.message).count("changed siblings.KEPT") for each in told) == 1
    assert sum("siblings.OTHERS" in str(each.message) for each in told) == 1


def test_threads_that_change_what_is_read_raise_nothing():
    """Whatever changes while a key is made, every call returns its value."""
    namespace = made("""
        KEPT = {}
        def f(x):
            KEPT[x] = x
            return x
    """)
    f, kept = persist(LocalDict(), name="stormy")(namespace["f"]), namespace["KEPT"]
    f(-1)
    is_over, errors = threading.Event(), []

    def change():
        at = 0
        while not is_over.is_set():
            at += 1
            kept["m", at % 50] = at
            kept.pop(("m", (at - 7) % 50), None)

    def call(n):
        try:
            assert [f(n * 1000 + i) for i in range(40)] == [n * 1000 + i for i in range(40)]
        except Exception as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        storm = threading.Thread(target=change)
        callers = [threading.Thread(target=call, args=(n,)) for n in range(4)]
        for thread in (storm, *callers):
            thread.start()
        for thread in callers:
            thread.join()
        is_over.set()
        storm.join()
    finally:
        sys.setswitchinterval(before)
    assert errors == []


FAMILY = """
    from functools import lru_cache, partialmethod, singledispatchmethod, update_wrapper, wraps
    from persidict_dask import persist
    def deco(function):
        @wraps(function)
        def wrapper(self, *args):
            return function(self, *args) + self.bonus()
        return wrapper
    class lazy:
        def __init__(self, function):
            self.function = function
        def __get__(self, instance, owner):
            return self.function(instance)
    class Model:
        def bonus(self):
            return VALUE
        @lazy
        def described(self):
            return self.bonus()
        def added(self, x):
            return self.bonus() + x
        shifted = partialmethod(added, 0)
        @singledispatchmethod
        def chosen(self, x):
            return self.bonus()
        @persist(STORE, name=NAME)
        BODY
"""
BODIES = {
    "a decorator": "@deco\n        def run(self, x):\n            return x",
    "a descriptor": "def run(self, x):\n            return x + self.described",
    "a partial method": "def run(self, x):\n            return x + self.shifted()",
    "a dispatching method": "def run(self, x):\n            return x + self.chosen(x)",
}


@pytest.mark.parametrize("what", BODIES)
def test_n7_what_is_reached_through_other_layers_counts(what):
    """An edit of what they call is never a stale hit."""
    store, found = LocalDict(), []
    for value in ("1", "100"):
        text = textwrap.dedent(FAMILY).replace("BODY", BODIES[what].replace("\n    ", "\n"))
        text = text.replace("VALUE", value)
        namespace = {"__name__": "family", "STORE": store, "NAME": what}
        exec(text, namespace)
        found.append(namespace["Model"]().run(1))
    assert found == [2, 101]


def test_methods_of_classes_that_were_edited_are_sent_with_what_they_are_now(tmp_path):
    """A worker makes the key of the code that it runs, and the store holds nothing wrong."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import subprocess, sys, cloudpickle
        from persidict_dask import persist
        class M:
            @persist({str(tmp_path / "store")!r})
            def run(self, x):
                return x + self.h()
            def h(self):
                return 1
        LOAD = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb'))())"
        def worker(n):
            with open({str(tmp_path / "sent")!r}, "wb") as file:
                file.write(cloudpickle.dumps(lambda: M().run(n)))
            command = [sys.executable, "-c", LOAD, {str(tmp_path / "sent")!r}]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            return int(done.stdout)
        old = M.h
        M().run(1)
        M.h = lambda self: 100
        print(worker(7), worker(1))
        M.h = old
        print(M().run(7))
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["107", "101", "8"]
    assert cloudpickle.__version__
