"""Neither descriptors nor memory pile up, however much is done and however large the tree is."""

import gc
import os
import tracemalloc
from collections import deque

import pytest

from persidict import ETAG_IS_THE_SAME, FileDirDict

OPERATIONS = int(os.environ.get("LEAK_OPERATIONS", "1000"))
ITEMS = int(os.environ.get("LEAK_ITEMS", "12000"))
KEYS = [f"key-{n}" for n in range(20)]


@pytest.fixture
def d(tmp_path):
    return FileDirDict(base_dir=tmp_path, durability="relaxed")


def everything(d, rounds):
    for n in range(rounds):
        key = KEYS[n % len(KEYS)]
        d[key] = n
        d.get_with_etag(key)
        d.set_item_if(key, value=-n, condition=ETAG_IS_THE_SAME, expected_etag=d.etag(key))
        d.set_item_if(key, value=0, condition=ETAG_IS_THE_SAME, expected_etag="another")
        d.setdefault(key, 0)
        d.transform_item(key, transformer=lambda value: value + 1)
        if n % len(KEYS) == 0:
            assert len(dict(d.items())) <= len(KEYS)
        if n % 3 == 0:
            del d[key]
            d.setdefault(key, n)


def traced(call):
    tracemalloc.start()
    try:
        call()
        gc.collect()
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def test_operations_leave_no_descriptors_and_no_memory(d):
    everything(d, len(KEYS))  # fills the caches
    descriptors = os.listdir("/proc/self/fd")
    kept, _ = traced(lambda: everything(d, OPERATIONS))
    assert os.listdir("/proc/self/fd") == descriptors
    assert kept < 50_000
    assert len(os.listdir(d.base_dir)) == len(KEYS)


@pytest.mark.parametrize("act", ["keys", "len", "values", "keys_and_timestamps", "random_key"])
def test_iteration_needs_the_same_memory_for_any_size(d, act):
    d["sample"] = 1
    (file,) = os.scandir(d.base_dir)
    for n in range(ITEMS if act == "keys" else ITEMS // 4):
        os.link(file.path, f"{d.base_dir}/item-{n}.pkl")
    acts = {"len": lambda: len(d), "random_key": d.random_key}
    deque(zip(d.keys(), range(10), strict=False), maxlen=0)
    _, peak = traced(acts.get(act) or (lambda: deque(getattr(d, act)(), maxlen=0)))
    assert peak < 1_000_000
