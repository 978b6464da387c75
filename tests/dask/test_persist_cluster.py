"""Persisted functions as Dask sees them: tasks, tokens, pickles, and who opens a store when."""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
import uuid

import cloudpickle
import dask
import numpy as np
import pytest
from dask.base import tokenize
from distributed import Client
from distributed.protocol import deserialize, serialize

from persidict import FileDirDict, LocalDict, MutableDictCached
from persidict_dask import StoreRef, UnstableKeyError, open_store, persist

STEPS = """
from counting import ran
from persidict_dask import persist

BALLAST = b"x" * 1_000_000

@persist("{cache}")
def double(x, ballast=BALLAST):
    ran("double")
    return 2 * x

@persist("{cache}", name="checked", validate=lambda value: value > 0, version="1")
def checked(x):
    ran("checked")
    return x

@persist("{cache}")
def fails(x):
    ran("fails")
    raise LookupError("no", x)

@persist("{cache}")
def unstorable(x):
    return (i for i in range(x))

def plain(x):
    ran("plain")
    return [x]

def put(ref, key, value):
    ref.open()[key] = value
    return ref.open() is ref.open()

class Model:
    def __init__(self, weight):
        self.weight = weight

    @persist("{cache}")
    def predict(self, x, bias=0):
        ran("predict")
        return self.weight * x + bias
"""


@pytest.fixture(scope="module")
def steps(shared_project):
    """A module that workers can import."""
    shared_project.write("steps.py", STEPS)
    import steps

    return steps


@pytest.fixture
def executed(shared_project, steps):
    """Ask what was executed; before a test, nothing is stored or logged."""
    for function in (steps.double, steps.checked, steps.Model.predict):
        function.forget_all()
    shared_project.executed()
    return shared_project.executed


# --- ways to run ---------------------------------------------------------------------------------

WAYS = {
    "submit": lambda client, f, xs: client.gather([client.submit(f, x) for x in xs]),
    "impure submit": lambda client, f, xs: client.gather(
        [client.submit(f, x, pure=False) for x in xs]
    ),
    "map": lambda client, f, xs: client.gather(client.map(f, xs)),
    "batched map": lambda client, f, xs: client.gather(client.map(f, xs, batch_size=2)),
    "delayed": lambda client, f, xs: list(dask.compute(*[dask.delayed(f)(x) for x in xs])),
    "delayed arguments": lambda client, f, xs: list(
        dask.compute(*[dask.delayed(f)(dask.delayed(int)(x)) for x in xs])
    ),
    "futures as arguments": lambda client, f, xs: client.gather(
        [client.submit(f, future) for future in client.scatter(xs)]
    ),
    "executor": lambda client, f, xs: list(client.get_executor().map(f, xs)),
    "synchronous": lambda client, f, xs: list(
        dask.compute(*[dask.delayed(f)(x) for x in xs], scheduler="synchronous")
    ),
    "threads": lambda client, f, xs: list(
        dask.compute(*[dask.delayed(f)(x) for x in xs], scheduler="threads")
    ),
    "processes": lambda client, f, xs: list(
        dask.compute(*[dask.delayed(f)(x) for x in xs], scheduler="processes", num_workers=1)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_dask_computes_once_and_finds_afterwards(client, steps, executed, way):
    assert WAYS[way](client, steps.double, [1, 2, 3]) == [2, 4, 6]
    assert executed() == ["double"] * 3
    assert WAYS[way](client, steps.double, [3, 2, 1]) == [6, 4, 2]
    assert [steps.double(x) for x in (1, 2, 3)] == [2, 4, 6]
    assert executed() == []


def test_what_the_driver_computed_is_found_by_workers(client, steps, executed):
    for x in (1, 2):
        steps.double(x)
    executed()
    assert client.gather(client.map(steps.double, [1, 2], pure=False)) == [2, 4]
    assert executed() == []


def test_bound_methods_are_tasks(client, steps, executed):
    models = [steps.Model(2), steps.Model(2), steps.Model(3)]
    assert client.submit(models[0].predict, 5, bias=1).result() == 11
    futures = [client.submit(m.predict, 5, bias=1, pure=False) for m in models]
    assert client.gather(futures) == [11, 11, 16]
    assert dask.delayed(models[0].predict)(5, 1).compute() == 11
    assert executed() == ["predict", "predict"]
    assert models[2].predict.is_cached(5, bias=1)


def asked(question, function, *args):
    return getattr(function, question)(*args)


KINDS = {
    "importable": lambda steps, cache: steps.double,
    "plain importable": lambda steps, cache: persist(cache)(steps.plain),
    "bound": lambda steps, cache: steps.Model(2).predict,
    "of a session": lambda steps, cache: session_function(cache, "x + 1"),
    "closure": lambda steps, cache: closure(cache, 3, lambda x: {x, 2}),
    "named": lambda steps, cache: persist(cache, name="a name", version="3")(steps.plain),
    "ignoring": lambda steps, cache: persist(cache, ignore="x")(steps.plain),
    "dict": lambda steps, cache: persist(FileDirDict(base_dir=cache))(steps.plain),
}


def session_function(cache, expression):
    """A function as `__main__` and notebook cells have them."""
    namespace = {"__name__": "__main__", "persist": persist, "GIVEN": {"b", "a"}}
    exec(f"def f(x, given=None):\n    return GIVEN and {expression}", namespace)
    namespace["f"] = persist(cache)(namespace["f"])
    return namespace["f"]


def closure(cache, factor, function):
    namespace = {"__name__": "__main__"}
    code = "def make(factor, function):\n    def inside(x):\n        return factor, function(x)\n"
    exec(code + "    return inside", namespace)
    return persist(cache)(namespace["make"](factor, function))


@pytest.mark.parametrize("kind", KINDS)
def test_driver_and_workers_agree_on_keys(client, shared_project, steps, kind):
    function = KINDS[kind](steps, str(shared_project.cache))
    keys = client.gather([
        client.submit(asked, "key_of", function, 5, workers=[worker], pure=False)
        for worker in client.scheduler_info()["workers"]
    ])  # fmt: skip
    assert keys == [function.key_of(5)] * 2
    assert not function.is_cached(5)
    value = client.submit(function, 5).result()
    assert function.is_cached(5)
    assert function(5) == value
    assert function.forget(5)


def test_questions_are_tasks_too(client, steps, executed):
    """What a function answers about a call, it answers on a worker."""
    assert client.submit(steps.double.is_cached, 4).result() is False
    assert client.submit(steps.double.refresh, 4).result() == 8
    assert client.submit(steps.double.is_cached, 4, pure=False).result() is True
    assert steps.double(4) == 8
    assert client.submit(steps.double.forget, 4).result() is True
    assert executed() == ["double"]


def test_exceptions_of_workers_arrive_unchanged(client, steps, executed):
    with pytest.raises(LookupError) as caught:
        client.submit(steps.fails, 7).result()
    assert caught.value.args == ("no", 7)
    with pytest.raises(TypeError, match="unstorable"):
        client.submit(steps.unstorable, 3).result()
    with pytest.raises(UnstableKeyError, match=r"x\[0\]"):
        client.submit(lambda f: f([object()]), steps.double).result()
    assert executed() == ["fails"]


def test_functions_travel_with_their_settings(client, shared_project, steps, executed):
    """Name, ignored arguments, validation and being disabled hold on workers."""
    cache = str(shared_project.cache)
    checked = persist(cache, name="held", validate=lambda v: v == [1], ignore="x")(steps.plain)
    disabled = persist(cache, name="disabled", enabled=False)(steps.plain)
    store = FileDirDict(base_dir=cache)
    store[checked.key_of(0)] = "not valid"
    assert client.submit(checked, 1, pure=False).result() == [1]
    assert client.submit(checked, 2, pure=False).result() == [1]
    assert client.submit(disabled, 3, pure=False).result() == [3]
    assert client.submit(disabled, 3, pure=False).result() == [3]
    assert executed() == ["plain"] * 3
    assert not disabled.is_cached(3)
    checked.forget_all()


@pytest.mark.parametrize("settings", [{"enabled": False}, {"version": "1"}])
def test_code_without_stable_content_travels_if_it_is_in_no_key(client, tmp_path, settings):
    namespace = {"__name__": "__main__", "LOCK": object()}
    exec("def f(x):\n    return LOCK and x", namespace)
    f = persist(tmp_path, name="f", **settings)(namespace["f"])
    assert client.submit(f, 3, pure=False).result() == 3
    assert dask.delayed(f)(3).compute() == 3


def test_a_validator_without_stable_content_travels(client, tmp_path):
    """It belongs to no key."""
    namespace = {"__name__": "__main__", "LOCK": object()}
    exec("def valid(x):\n    return LOCK is not None\ndef f(x):\n    return x", namespace)
    f = persist(tmp_path, validate=namespace["valid"])(namespace["f"])
    assert client.submit(f, 3, pure=False).result() == 3
    assert f.is_cached(3)


def test_provenance_of_a_worker_names_it(client, steps, executed):
    client.submit(steps.double, 1, pure=False).result()
    assert steps.double.provenance(1)["worker"] in client.scheduler_info()["workers"]
    steps.double(2)
    assert steps.double.provenance(2)["worker"] is None


# --- names and tokens ----------------------------------------------------------------------------


def test_equal_functions_have_equal_tokens_and_others_have_not(tmp_path):
    def made(expression, place="a", name=None):
        return session_function_named(tmp_path / place, expression, name)

    first = tokenize(made("x + 1"))
    assert first == tokenize(made("x + 1"))
    others = [made("x + 2"), made("x + 1", "b"), made("x + 1", name="f2")]
    assert len({first, *map(tokenize, others)}) == 4


def session_function_named(cache, expression, name):
    namespace = {"__name__": "__main__"}
    exec(f"def f(x):\n    return {expression}", namespace)
    return persist(cache, name=name)(namespace["f"])


class Weights:
    """An instance whose `repr` says less than its content."""

    def __init__(self, weights):
        self.weights = weights

    def __repr__(self):
        return "Weights"

    @persist("memory:")
    def total(self):
        return self.weights.sum()

    @persist("memory:", enabled=False)
    def plain(self):
        return self.weights.sum()


@pytest.mark.parametrize("method", ["total", "plain"])
def test_bound_methods_have_tokens_of_the_content_of_their_instance(method):
    """Dask takes tasks of equal tokens for one task: what `repr` leaves out counts too."""
    some, other = np.zeros(5000), np.zeros(5000)
    other[2500] = 1
    instances = [Weights(some), Weights(some.copy()), Weights(other)]
    tokens = [tokenize(getattr(instance, method)) for instance in instances]
    assert tokens[0] == tokens[1] != tokens[2]


def test_disabled_functions_have_tokens_of_their_code(tmp_path):
    def made(expression):
        namespace = {"__name__": "__main__"}
        exec(f"def f(x):\n    return {expression}", namespace)
        return persist(tmp_path, enabled=False)(namespace["f"])

    functions = [made("x + 1"), made("x + 1"), made("x + 2")]
    tokens = [tokenize(function) for function in functions]
    assert tokens[0] == tokens[1] != tokens[2]


def test_task_names_begin_with_the_name_of_the_function(client, steps):
    assert client.submit(steps.double, 1).key.startswith("double-")
    assert dask.delayed(steps.double)(1).key.startswith("double-")


def test_equal_calls_are_one_task(client, steps):
    """`submit` and pure `delayed` find equal calls by name."""
    assert client.submit(steps.double, 21).key == client.submit(steps.double, 21).key
    pure = [dask.delayed(steps.double, pure=True)(21).key for _ in range(2)]
    assert pure[0] == pure[1] != dask.delayed(steps.double, pure=True)(22).key


TOKENS = """
import dask
from dask.base import tokenize
import steps
from persidict_dask import persist, StoreRef, open_store
from persidict import FileDirDict, WriteOnceDict, MutableDictCached

@persist("{cache}")
def f(x, options={"a", "b", "c"}):
    return [x, "d", "e"]

folder = "{cache}/more"
parts = {part: open_store(folder + part) for part in ("main_dict", "data_cache", "etag_cache")}
stores = [open_store(folder), open_store(folder, write_once=True, serialization_format="json"),
          open_store(folder + "/s", base_class_for_values=int), MutableDictCached(**parts)]
print([tokenize(each) for each in (f, steps.double, steps.Model(2).predict)])
print(dask.delayed(f, pure=True)(1).key, dask.delayed(steps.double, pure=True)(1).key)
print([tokenize(StoreRef.of(store)) for store in stores])
print(len({hash(StoreRef.of(store)) for store in stores}))
"""


def test_tokens_are_the_same_in_every_process(project):
    """Of functions, of tasks and of references to stores, whatever the hash seed."""
    project.write("steps.py", STEPS)
    project.write("script.py", TOKENS)
    first, second = project.run("script.py"), project.run("script.py")
    assert first == second
    assert len(set(json.loads(first.splitlines()[2].replace("'", '"')))) == 4


# --- pickles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["double", "checked", "Model.predict"])
@pytest.mark.parametrize("pickler", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_importable_functions_pickle_by_name(steps, name, pickler):
    """Neither code nor a default of a megabyte travels, and what comes out is the same object."""
    function = functools.reduce(getattr, name.split("."), steps)
    data = pickler.dumps(function)
    assert len(data) < 1000
    assert pickle.loads(data) is function


def test_a_pickled_closure_costs_little_more_than_the_plain_one(tmp_path):
    plain = closure(tmp_path, b"y" * 100_000, len)
    assert len(cloudpickle.dumps(plain)) < len(cloudpickle.dumps(plain.__wrapped__)) + 2000


def test_a_function_of_a_session_is_made_once_per_process(tmp_path):
    """However often it arrives; another code is another function."""
    data = cloudpickle.dumps(session_function(tmp_path, "x + 1"))
    other = cloudpickle.dumps(session_function(tmp_path, "x + 2"))
    first = pickle.loads(data)
    assert pickle.loads(data) is first
    assert pickle.loads(other) is not first
    assert (first(1), pickle.loads(other)(1)) == (2, 3)


def test_pickled_functions_keep_names_signature_and_documentation(tmp_path):
    namespace = {"__name__": "__main__"}
    exec('def f(x, y=2):\n    """Add."""\n    return f and x + y', namespace)
    function = namespace["f"] = persist(tmp_path)(namespace["f"])
    copy = pickle.loads(cloudpickle.dumps(function))
    assert (copy.__name__, copy.__qualname__, copy.__module__) == ("f", "f", "__main__")
    assert copy.__doc__ == "Add."
    assert copy(1) == 3
    assert copy.__wrapped__.__kwdefaults__ is None
    assert copy.__wrapped__.__defaults__ == (2,)


OPENS_NOTHING = """
import pathlib, pickle, sys
import persidict
made = []
for cls in (persidict.FileDirDict, persidict.LocalDict):
    plain = cls.__init__
    def recorded(self, *args, _plain=plain, **kwargs):
        made.append(type(self).__name__)
        _plain(self, *args, **kwargs)
    cls.__init__ = recorded
data = pathlib.Path(sys.argv[1]).read_bytes()
functions = pickle.loads(data)
print(made, pathlib.Path(sys.argv[2]).exists(), len(functions))
"""


def test_unpickling_opens_no_store_and_makes_no_folder(project):
    """The scheduler unpickles too: functions by name and by value, methods, references."""
    project.write("steps.py", STEPS)
    project.write("load.py", OPENS_NOTHING)
    project.write(
        "dump.py",
        """
        import pathlib, sys
        import cloudpickle, dask
        import steps
        from persidict import WriteOnceDict
        from persidict_dask import StoreRef, open_store, persist

        @persist("{cache}")
        def of_the_script(x, y=1):
            return of_the_script

        wrapped = open_store("{cache}/wrapped", write_once=True)
        everything = [steps.double, steps.checked, steps.Model(2).predict, of_the_script,
                      persist("{cache}")(steps.plain), StoreRef.of(wrapped),
                      persist(wrapped)(steps.plain), dask.delayed(steps.double)(1).dask]
        pathlib.Path(sys.argv[1]).write_bytes(cloudpickle.dumps(everything))
        """,
    )
    data = project.folder / "pickled"
    project.run("dump.py", data)
    shutil.rmtree(project.cache)
    assert project.run("load.py", data, project.cache) == "[] False 8"


def test_importing_a_module_that_names_its_store_by_url_opens_nothing(project):
    project.write("steps.py", STEPS)
    project.write("script.py", "import steps, os; print(os.path.exists('{cache}'), steps.double)")
    assert project.run("script.py").startswith("False <persisted steps.double")


def test_only_workers_open_the_store(client, shared_project, steps, executed, monkeypatch):
    """The scheduler and the driver of a submitted task open nothing."""
    cache = shared_project.folder / uuid.uuid4().hex
    functions = [persist(cache)(steps.plain), session_function(cache, "x")]
    opened = []
    monkeypatch.setattr(FileDirDict, "__init__", lambda *a, **k: opened.append(k))
    futures = [client.submit(f, 1) for f in functions]
    delayed = [dask.delayed(f)(2) for f in functions]
    assert client.gather(futures) == [[1], 1]
    assert dask.compute(*delayed) == ([2], 2)
    assert opened == []
    assert cache.exists()


def test_distributed_takes_functions_as_arguments(steps, tmp_path):
    function = session_function(tmp_path, "x + 1")
    for each in (steps.double, function):
        copy = deserialize(*serialize(each))
        assert copy.key_of(3) == each.key_of(3)


def test_references_to_stores_are_arguments_of_tasks(client, steps, tmp_path):
    """Workers open what the driver named, each once, and see each other's items."""
    parts = ("main_dict", "data_cache", "etag_cache")
    store = MutableDictCached(**{part: open_store(tmp_path / part) for part in parts})
    put = client.map(steps.put, [StoreRef.of(store)] * 6, list("abcdef"), range(6))
    assert all(client.gather(put))
    assert {key[0]: store[key] for key in store} == dict(zip("abcdef", range(6), strict=True))


# --- stores in memory ----------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["memory:", "a LocalDict"])
def test_a_store_in_memory_works_where_tasks_are_threads(place):
    f = session_function("memory:" if place == "memory:" else LocalDict(), "x + 1")
    for _ in range(2):
        assert dask.compute(dask.delayed(f)(1), scheduler="threads") == (2,)
    assert (f.stats().misses >= 1, f.is_cached(1)) == (True, True)


def test_a_store_in_memory_works_on_a_cluster_of_threads():
    f = session_function("memory:", "x + 1")
    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        assert client.submit(f, 1).result() == 2
        assert dask.delayed(f)(2).compute() == 3
    assert f.is_cached(1)
    assert f.is_cached(2)


@pytest.mark.parametrize("place", ["memory:", "a LocalDict"])
def test_a_store_in_memory_is_refused_in_other_processes(client, steps, executed, place):
    """The error says why and what to use; the function is not run."""
    f = persist("memory:" if place == "memory:" else LocalDict())(steps.plain)
    with pytest.raises(RuntimeError, match=r"process.*folder"):
        client.submit(f, 1).result()
    assert executed() == []


def test_the_interpreters_of_workers_are_others(client):
    """The tests above mean something: workers are other processes with another hash seed."""
    assert len({*client.run(os.getpid).values(), os.getpid()}) == 3
    assert hash("text") not in client.run(hash, "text").values()


def test_a_method_of_a_session_keeps_its_store_in_memory(project):
    """Its class is unpickled by value into the process that it came from."""
    project.write(
        "script.py",
        """
        from distributed import Client
        from persidict_dask import persist
        class Model:
            @persist("memory:")
            def total(self):
                return 1
        if __name__ == "__main__":
            with Client(processes=False, n_workers=1, dashboard_address=None) as client:
                print(client.submit(Model().total).result(), Model().total())
        """,
    )
    assert project.run("script.py") == "1 1"
