"""Dictionaries in memory: shared backends, copies, etags, pruning and threads."""

import copy
import threading
import time

import pytest

from persidict import ANY_ETAG, VALUE_NOT_RETRIEVED, LocalDict, MutationPolicyError
from tests.ids import stable


def handle(d, **kwargs):
    return LocalDict(backend=d.get_params()["backend"], **kwargs)


def test_each_dict_has_data_of_its_own():
    one, two = LocalDict(), LocalDict()
    one["a"] = 1
    assert len(two) == 0


def test_handles_on_one_backend_share_the_data():
    one = LocalDict()
    two = handle(one)
    one["a", "b"] = 1
    assert two["a", "b"] == 1
    del two["a", "b"]
    assert len(one) == 0


def test_a_copy_shares_the_data():
    d = LocalDict()
    copy.copy(d)["a"] = 1
    assert d["a"] == 1


@pytest.mark.parametrize("backend", [{}, 1, "text", LocalDict], ids=stable)
def test_a_backend_comes_from_a_dict(backend):
    with pytest.raises(TypeError):
        LocalDict(backend=backend)


def test_the_format_is_a_namespace_of_the_backend():
    d = LocalDict()
    other = handle(d, serialization_format="json")
    d["a"], other["a"], other["b", "c"] = 1, 2, 3
    assert (d["a"], len(d), other["a"], len(other)) == (1, 1, 2, 2)
    other.clear()
    assert (d["a"], len(other)) == (1, 0)


def test_handles_may_have_different_policies():
    d = LocalDict()
    frozen = handle(d, append_only=True)
    d["a"] = 1
    with pytest.raises(MutationPolicyError):
        frozen["a"] = 2
    d["a"] = 3
    assert frozen["a"] == 3


def test_values_are_copied_on_the_way_in_and_out():
    d, value = LocalDict(), {"x": [1]}
    d["a"] = value
    value["x"].append(2)
    d["a"]["x"].append(3)
    d.get_with_etag("a").new_value["x"].append(4)
    for found in d.values():
        found["x"].append(5)
    assert d["a"] == {"x": [1]}


def test_the_value_of_a_conditional_write_is_not_shared():
    d, value = LocalDict(), [1]
    d.transform_item("a", transformer=lambda _: value).new_value.append(2)
    value.append(3)
    assert d["a"] == [1]


def test_a_value_whose_etag_is_known_is_not_handed_out():
    d = LocalDict()
    d["a"] = [1]
    result = d.get_item_if("a", condition=ANY_ETAG, expected_etag=d.etag("a"))
    assert result.new_value is VALUE_NOT_RETRIEVED


class Uncopyable:
    """A value that cannot be copied."""

    def __deepcopy__(self, memo):
        raise ValueError("no copy")


def test_a_value_that_cannot_be_copied_is_refused_and_the_old_one_stays():
    d = LocalDict()
    d["a"] = 1
    etag = d.etag("a")
    with pytest.raises(ValueError, match="no copy"):
        d["a"] = Uncopyable()
    assert (d["a"], d.etag("a")) == (1, etag)


def test_the_timestamp_is_the_time_of_the_write(monkeypatch):
    d = LocalDict()
    monkeypatch.setattr(time, "time", lambda: 1234.5)
    d["a"] = 1
    monkeypatch.undo()
    assert d.timestamp("a") == d.get_subdict(()).timestamp("a") == 1234.5
    d["a"] = 2
    assert d.timestamp("a") > 1234.5


def test_etags_are_decimal_numbers_that_only_grow_over_all_handles():
    d = LocalDict()
    writers = [d, handle(d), handle(d, serialization_format="json"), d.get_subdict("sub")]
    etags = []
    for n in range(12):
        writers[n % 4][f"k{n % 3}"] = n
        etags.append(int(writers[n % 4].etag(f"k{n % 3}")))
    assert etags == sorted(set(etags))


def test_an_etag_is_never_used_again_after_a_deletion():
    d = LocalDict()
    seen = set()
    for _ in range(5):
        d["a"] = 1
        seen.add(d.etag("a"))
        del d["a"]
    d.clear()
    d["a"] = 1
    assert len(seen | {d.etag("a")}) == 6


@pytest.mark.parametrize("interval", [1, 2, 64, None])
def test_pruning_is_invisible(interval):
    d = LocalDict(prune_interval=interval)
    views = {n: d.get_subdict(("deep", f"n{n}")) for n in range(5)}
    for n in range(40):
        views[n % 5]["k"] = n
        assert d["deep", f"n{n % 5}", "k"] == n
        del d["deep", f"n{n % 5}", "k"]
        assert len(views[n % 5]) == 0
    d.clear()
    views[0]["k"] = 1
    assert list(d) == [("deep", "n0", "k")]


def test_a_pruned_node_keeps_what_other_formats_and_deeper_keys_have():
    d = LocalDict(prune_interval=1)
    other = handle(d, serialization_format="json")
    d["a", "b"], d["a", "b", "c"], other["a", "b"] = 1, 2, 3
    del d["a", "b"]
    assert (d["a", "b", "c"], other["a", "b"]) == (2, 3)
    d.clear()
    assert other["a", "b"] == 3


def test_removing_an_item_leaves_what_lies_below_it():
    d = LocalDict(prune_interval=1)
    d["a"], d["a", "b"], d["a", "b", "c"], d["x", "y"], d["x", "z", "w"] = range(5)
    del d["a", "b"], d["a"], d["x", "y"]
    assert dict(d.items()) == {("a", "b", "c"): 2, ("x", "z", "w"): 4}


def test_deleting_while_iterating_works():
    d = LocalDict()
    d.update({f"k{n}": n for n in range(20)})
    for key, value in d.items():
        del d[key]
        d["new", key[0]] = value
        if len(list(d.get_subdict("new"))) == 20:
            break
    assert len(d.get_subdict("new")) == 20


def test_iteration_is_depth_independent():
    d = LocalDict()
    keys = [("a",), ("a", "b"), ("a", "b", "c"), ("x", "y", "z", "w"), ("m",)]
    for key in keys:
        d[key] = 1
    assert sorted(key.strings for key in d) == sorted(keys)


def race(count, work):
    """Run `work(number)` in `count` threads that start together; return their results."""
    barrier, results, errors = threading.Barrier(count), [], []

    def run(number):
        barrier.wait()
        try:
            results.append(work(number))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return results


def test_one_of_many_threads_inserts():
    d = LocalDict(append_only=True)
    for round_number in range(30):
        kept = race(4, lambda n, key=f"k{round_number}": d.setdefault(key, n))
        assert len(set(kept)) == 1


def test_increments_of_many_threads_are_all_kept(pauses):
    d = LocalDict()
    d["a"] = 0

    def increment(_):
        for _ in range(50):
            d.transform_item("a", transformer=lambda v: v + 1, n_retries=None)

    race(4, increment)
    assert d["a"] == 200


def test_threads_may_write_delete_and_iterate_at_once():
    d = LocalDict(prune_interval=1)

    def work(number):
        for n in range(100):
            d[f"t{number}", f"k{n % 7}"] = n
            assert all(isinstance(v, int) for v in d.values())
            d.discard((f"t{(number + 1) % 4}", f"k{n % 7}"))

    race(4, work)
    assert len(d) == sum(1 for _ in d.items()) <= 28


def test_a_child_process_can_use_what_another_thread_had_locked(python):
    printed = python("""
import os, threading
from persidict import LocalDict

d = LocalDict()
d["a"] = 1
held, done = threading.Event(), threading.Event()

def hold():
    with d.get_params()["backend"].tree.lock:
        held.set()
        done.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(d["a"] - 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
thread.join()
""")
    assert printed == "0"
