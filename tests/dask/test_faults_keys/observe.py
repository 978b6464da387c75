"""Import the modules of a folder, call what they offer, and print what happened."""

import importlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def observed(module):
    from persidict_dask import persist
    from persidict_dask._persisted import PersistedFunction

    target, args = module.target, getattr(module, "args", (1,))
    if isinstance(target, PersistedFunction):
        f, target = target, target.__wrapped__
    else:
        try:
            f = persist(module.CACHE, name=module.__name__)(target)
        except TypeError as error:
            names = getattr(target, "__name__", repr(target)), type(target).__name__
            return {"refused": str(error), "names": names}
    first, again = f(*args), f(*args)
    return {
        "key": list(f.key_of(*args)),
        "values": [plain_form(value) for value in (first, again)],
        "plain": plain_form(target(*args)),
        "hits": f.stats().hits,
        "misses": f.stats().misses,
    }


def plain_form(value):
    return value.tolist() if hasattr(value, "tolist") else str(value)


def report():
    sys.path.append(str(HERE / "site-packages"))
    found = {}
    for path in sorted(HERE.glob("pair_*.py")):
        name = path.stem.partition("_")[2]
        try:
            found[name] = observed(importlib.import_module(path.stem))
        except Exception as error:
            found[name] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(found))


report()
