"""Operations on one item, what they may do one after the other, and another one in their middle."""

import itertools
import os

from persidict import ETAG_IS_THE_SAME, FileDirDict, OutcomeUnknownError

CALLS = ["symlink", "readlink", "stat", "replace", "unlink", "utime", "open", "link", "close"]
BEGINNING = 10


class State:
    """What a simple model knows of the item: its value, `None` if absent, and its version."""

    def __init__(self):
        self.value, self.version = BEGINNING, 0

    def put(self, value):
        self.value, self.version = value, self.version + 1


def plus(current):
    return current + 100 if isinstance(current, int) else 100


def model_add(state):
    state.put(plus(state.value))
    return state.value


def model_set(state):
    state.put(1)


def model_discard(state):
    found = state.value is not None
    if found:
        state.put(None)
    return found


def model_pop(state):
    value = state.value
    model_discard(state)
    return value


def model_default(state):
    if state.value is None:
        state.put(5)
    return state.value


def model_swap(state):
    if state.version == 0:
        state.put(7)
        return True
    return False


def model_discard_if(state):
    return model_discard(state) if state.version == 0 else False


def swap(d, etag):
    return d.set_item_if(
        "a", value=7, condition=ETAG_IS_THE_SAME, expected_etag=etag
    ).condition_was_satisfied


def discard_if(d, etag):
    return d.discard_item_if(
        "a", condition=ETAG_IS_THE_SAME, expected_etag=etag
    ).condition_was_satisfied


OPERATIONS = {
    "add": (lambda d, _: d.transform_item("a", transformer=plus).new_value, model_add),
    "set": (lambda d, _: d.__setitem__("a", 1), model_set),
    "discard": (lambda d, _: d.discard("a"), model_discard),
    "pop": (lambda d, _: d.pop("a", None), model_pop),
    "setdefault": (lambda d, _: d.setdefault("a", 5), model_default),
    "swap": (swap, model_swap),
    "discard_if": (discard_if, model_discard_if),
}
INNER = ["add", "set", "discard", "swap"]


def orders(outer, inner):
    """What the two operations may return and leave, one after the other."""
    for first, second in [(outer, inner), (inner, outer)]:
        state, results = State(), {}
        for name in (first, second):
            results[name] = OPERATIONS[name[0]][1](state)
        yield results[outer], results[inner], state.value


class Interruption:
    """Runs something in the middle of an operation: after one call of the system."""

    def __init__(self, monkeypatch, moment, act):
        self.seen, self.moment, self.act, self.result = 0, moment, act, None
        self.is_done = False
        for name in CALLS:
            monkeypatch.setattr(os, name, self.around(getattr(os, name)))

    def around(self, call):
        def called(*args, **kwargs):
            try:
                return call(*args, **kwargs)
            finally:
                self.look()

        return called

    def look(self):
        if not self.is_done:
            self.seen += 1
            if self.seen == self.moment:
                self.is_done = True
                self.result = self.act()


def folder_dict(folder):
    return FileDirDict(base_dir=folder, durability="relaxed", lock_timeout=1)


def sweep(tmp_path, monkeypatch, outer, interrupt):
    """Yield each moment of an operation with what it did when interrupted there.

    That is its result (or the error of a lock that was lost), the result of the other operation,
    and what is left of the item.
    """
    for moment in itertools.count(1):
        folder = tmp_path / str(moment)
        d = folder_dict(folder)
        d["a"] = BEGINNING
        etag = d.etag("a")
        with monkeypatch.context() as patch:
            interruption = Interruption(patch, moment, lambda: interrupt(d, etag))  # noqa: B023
            try:
                result = OPERATIONS[outer][0](d, etag)
            except OutcomeUnknownError as error:
                result = error
        if not interruption.is_done:
            break
        yield moment, result, interruption.result, d.get("a")
        assert os.listdir(folder) in ([], ["a_btax.pkl"])
    assert moment > 3
