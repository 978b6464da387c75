"""Workers whose code is not that of the driver: they say so, and store nothing under its keys."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import multiprocessing
import pickle
import subprocess
import sys
import time
import warnings

import cloudpickle
import dask
import pytest
from distributed import Client

from persidict import FileDirDict
from persidict_dask import persist

MODULE = """
from persidict_dask import persist

def plain(x):
    return "old", x

@persist("{cache}")
def f(x):
    return plain(x)

@persist("{cache}", version="old")
def versioned(x):
    return "old", x

@persist("{cache}")
async def awaited(x):
    return "old", x

class Model:
    @persist("{cache}")
    def predict(self, x):
        return "old", x

class Argument:
    def value(self):
        return "old"

@persist("{cache}")
def of_argument(argument):
    return argument.value(), 0
"""


@pytest.fixture
def edited(client, shared_project):
    """A module that was edited and loaded again by this process, and not by the workers."""
    name = f"edited_{time.monotonic_ns()}"
    shared_project.write(f"{name}.py", MODULE)
    importlib.invalidate_caches()
    module = importlib.import_module(name)
    client.run(lambda: importlib.import_module(name) and None)
    edit(shared_project, module)
    return module


def edit(project, module):
    project.edit(f"{module.__name__}.py", '"old"', '"newer"')
    importlib.reload(module)
    assert module.plain(1) == ("newer", 1)


def warned(call, name):
    """Make a call; return its value and the warnings that came to this process about a name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = call()
        deadline = time.monotonic() + 60
        while not (found := [str(w.message) for w in caught if name in str(w.message)]):
            assert time.monotonic() < deadline, "no warning"
            time.sleep(0.01)
    return value, found


def computed(f, x):
    value = f(x)
    return asyncio.run(value) if inspect.iscoroutine(value) else value


WAYS = {
    "submit": lambda client, f, x: f.submit(client, x).result(),
    "map": lambda client, f, x: client.gather(f.map(client, [x]))[0],
    "client.submit": lambda client, f, x: client.submit(f, x).result(),
    "client.map": lambda client, f, x: client.gather(client.map(f, [x]))[0],
    "delayed": lambda client, f, x: dask.delayed(f)(x).compute(),
}
KINDS = {
    "a function": lambda module: module.f,
    "a coroutine function": lambda module: module.awaited,
    "a version": lambda module: module.versioned,
    "a method": lambda module: module.Model().predict,
    "by another store": lambda module: persist(module.f.store)(module.plain),
    "a helper": lambda module: of_a_session(module),
}


def of_a_session(module, name=None, how="import"):
    """A function that travels with its code, and uses a module that does not."""
    namespace = {"__name__": "__main__", "used": module, "plain": module.plain}
    text = "used.plain(x)" if how == "import" else "plain(x)"
    exec(f"def g(x):\n    return {text}", namespace)
    return persist(module.f.store, name=name or f"{module.__name__}.g")(namespace["g"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_d9_a_worker_with_older_code_says_so(client, edited, way, kind):
    """What it has computed is returned; where the driver looks there is nothing."""
    f = KINDS[kind](edited)
    value, said = warned(lambda: WAYS[way](client, f, 1), f._options.name)
    assert value == ("old", 1)
    assert "other code" in said[0]
    assert f._options.name in said[0]
    assert not f.is_cached(1)
    assert computed(f, 1) == ("newer", 1)
    assert client.gather(f.submit(client, 1)) == ("newer", 1)


@pytest.mark.parametrize("way", ["submit", "map"])
def test_d9_the_class_of_an_argument(client, edited, way):
    """Only a worker that knows the key can tell."""
    argument = edited.Argument()
    value, said = warned(lambda: WAYS[way](client, edited.of_argument, argument), "of_argument")
    assert value == ("old", 0)
    assert "arguments" in said[0]
    assert not edited.of_argument.is_cached(argument)


def test_d9_a_hit_is_right_whatever_the_worker_has(client, edited):
    """It is loaded by the key of the driver."""
    edited.f(5)
    hit = edited.f.submit(client, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.submit(list, hit).result() == ["newer", 5]


def test_d9_workers_that_catch_up_are_quiet(client, edited):
    name = edited.__name__
    client.run(lambda: importlib.reload(sys.modules[name]) and None)
    f, g = edited.f, of_a_session(edited)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (f, g, edited.Model().predict):
            assert client.submit(each, 7).result() == ("newer", 7)
            assert each.is_cached(7)


def test_d9_equal_functions_over_modules_of_which_one_is_old(client, edited, shared_project):
    """A worker takes functions of equal code for one; not if what they use is not equal there."""
    g = of_a_session(edited, "same")
    warned(lambda: client.submit(g, 1).result(), "same")
    shared_project.write("edited_not.py", MODULE.replace('"old"', '"newer"'))
    again = of_a_session(importlib.import_module("edited_not"), "same")
    assert again.key_of(2) == g.key_of(2)
    assert client.submit(again, 2, pure=False).result() == ("newer", 2)


def test_d9_functions_that_hold_on_to_what_a_module_had(client, edited):
    """Once the worker has loaded the module again, the function is made anew."""
    g = of_a_session(edited, "held", "from_import")
    value, _ = warned(lambda: client.submit(g, 1).result(), "held")
    assert value == ("old", 1)
    name = edited.__name__
    client.run(lambda: importlib.reload(sys.modules[name]) and None)
    assert client.submit(g, 2).result() == ("newer", 2)
    assert g.is_cached(2)


def test_d9_what_is_sent_on_keeps_what_was_expected(edited, monkeypatch):
    """Schedulers load graphs and send their parts on."""
    data = pickle.dumps(edited.f)
    expected = edited.f._code.digits()
    monkeypatch.setattr(edited, "f", type(edited.f)(old(edited), edited.f.store, edited.f._options))
    arrived = pickle.loads(data)
    assert arrived is not edited.f
    on = pickle.dumps(arrived)
    assert len(on) < 1000
    again = pickle.loads(on)
    assert again._expected == expected
    with pytest.warns(RuntimeWarning, match="other code"):
        assert again(1) == "older"


def old(module):
    """Another function of the same name."""

    def f(x):
        return "older"

    f.__module__, f.__qualname__ = module.__name__, "f"
    return f


CLUSTER = """
import sys
sys.path.insert(0, {folder!r})
import {name}
from distributed import Client, LocalCluster

if __name__ == "__main__":
    with (
        LocalCluster(n_workers=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(sys.path.insert, 0, {folder!r})
        client.run(lambda: __import__({name!r}) and None)
        print(cluster.scheduler_address, flush=True)
        sys.stdin.readline()
"""


def test_d9_a_scheduler_with_older_code_too(shared_project):
    """It takes the graph apart, and what the worker is sent still says what the driver has."""
    name = "elsewhere"
    shared_project.write(f"{name}.py", MODULE)
    script = CLUSTER.format(folder=str(shared_project.folder), name=name)
    module = importlib.import_module(name)
    with subprocess.Popen(
        [sys.executable, shared_project.write("cluster.py", script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        address = process.stdout.readline().strip()
        edit(shared_project, module)
        with Client(address) as other:
            for way in ("submit", "client.submit"):
                value, said = warned(lambda way=way: WAYS[way](other, module.f, 1), "elsewhere.f")
                assert value == ("old", 1)
                assert "other code" in said[0]
                assert not module.f.is_cached(1)
        process.stdin.close()


def call(function, x, answers):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answers.put((function(x), [str(w.message) for w in caught]))


def test_d9_other_processes_warn_where_they_are(edited, shared_project):
    """Without Dask, too."""
    name = edited.__name__
    data = pickle.dumps(edited.f)
    shared_project.write(f"{name}.py", MODULE)  # what the new process will import
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=unpickled_call, args=(data, 1, answers))
    process.start()
    value, said = answers.get(timeout=100)
    process.join()
    assert value == ("old", 1)
    assert any("other code" in message for message in said)
    assert not edited.f.is_cached(1)


def unpickled_call(data, x, answers):
    call(pickle.loads(data), x, answers)


def test_d9_the_same_code_is_quiet(client, tmp_path):
    """Also of functions that cloudpickle changes on the way."""
    store = FileDirDict(base_dir=str(tmp_path))

    class Local:
        limit = 3

    def helper(x, *, more=Local):
        return x + more.limit

    @persist(store)
    def g(x):
        return [helper(x + each) for each in range(2)]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x, way in enumerate(WAYS):
            assert WAYS[way](client, g, x) == [x + 3, x + 4]
            assert g.is_cached(x)


SESSION = """
class Scaled:
    def __init__(self, factor):
        self.factor = factor

    @persist(store)
    def m(self, x):
        return self.factor, self.helped(x)

    def helped(self, x):
        return plain(x)

    @classmethod
    @persist(store)
    def of_class(cls, x):
        return plain(x)
"""


def class_of_a_session(plain, store):
    """A class that travels with its code, as one of a script or a notebook does."""
    namespace = {"__name__": "__main__", "persist": persist, "store": store, "plain": plain}
    exec(SESSION, namespace)
    return namespace["Scaled"]


def test_d9_a_class_that_comes_back_is_no_other_code(tmp_path):
    """Cloudpickle sets the attributes of a class anew, also in the process that has sent it."""
    cls = class_of_a_session(lambda x: 2 * x, FileDirDict(base_dir=str(tmp_path)))
    one, made = cls(4), vars(cls)["m"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keys = [one.m.key_of(3), cls.m.key_of(one, 3), cls.of_class.key_of(3)]
        for _ in range(2):
            assert cloudpickle.loads(cloudpickle.dumps(one)).m(3) == (4, 6)
            assert vars(cls)["m"] is not made
            assert one.m(3) == (4, 6)
            assert cls.of_class(3) == 6
            assert [one.m.key_of(3), cls.m.key_of(one, 3), cls.of_class.key_of(3)] == keys
            assert cloudpickle.loads(cloudpickle.dumps(one.m))(3) == (4, 6)


def test_d9_methods_of_a_session_are_quiet_wherever_they_go(client, tmp_path):
    cls = class_of_a_session(lambda x: x, FileDirDict(base_dir=str(tmp_path)))
    one = cls(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in range(3):  # each time the workers get the class again
            cloudpickle.loads(cloudpickle.dumps(one))  # as a scheduler of this process does
            assert client.submit(one.m, x).result() == (4, x)
            assert client.submit(lambda s, x: s.m(x), one, 10 + x).result() == (4, 10 + x)
            assert one.m.is_cached(x)
            assert one.m.is_cached(10 + x)
            assert one.m(x) == (4, x)


METHODS = {
    "a method": (lambda client, one: client.submit(one.m, 1).result(), lambda one: one.m),
    "a class method": (
        lambda client, one: client.submit(one.of_class, 1).result(),
        lambda one: one.of_class,
    ),
    "in a task": (
        lambda client, one: client.submit(lambda s: s.of_class(1), one).result(),
        lambda one: one.of_class,
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("comes_back", [False, True])
def test_d9_methods_of_a_session_over_a_module_that_is_old(client, edited, method, comes_back):
    """The class travels, and the module does not."""
    way, of = METHODS[method]
    one = class_of_a_session(edited.plain, edited.f.store)(4)
    if comes_back:
        cloudpickle.loads(cloudpickle.dumps(one))
    value, said = warned(lambda: way(client, one), "Scaled")
    assert value in (("old", 1), (4, ("old", 1)))
    assert "other code" in said[0]
    assert not of(one).is_cached(1)
