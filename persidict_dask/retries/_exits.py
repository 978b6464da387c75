"""How workers have ended, as their nannies saw it: told to the stores where letters are read."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from persidict import ITEM_NOT_AVAILABLE, NonEmptySafeStrTuple
from persidict_dask._names import safe_name
from persidict_dask._stores import StoreRef
from persidict_dask.coordination._places import Place

_EXITS = "exits"
_KEPT = 86400.0
"""Seconds after which nobody asks any more how a worker has ended."""

_TIDIED = 3600.0
"""Seconds between two looks for what is older."""

_tidy_next: dict[Any, float] = {}
"""When a place is looked through again."""


def nanny_plugin(refs: Iterable[StoreRef]) -> Any:
    """Return a plugin that writes down how a worker ends, unless it ends well."""
    from distributed import NannyPlugin

    places = [Place(ref) for ref in refs]

    class Exits(NannyPlugin):
        """Listens to a nanny: it has no hook for the end of its worker."""

        def __init__(self) -> None:
            self._heard: dict[str, Any] = {}

        def setup(self, nanny: Any) -> None:
            told = self._heard[nanny.id] = nanny._on_worker_exit_sync

            def heard(code: int) -> Any:
                if code:
                    ended = nanny.worker_address, code
                    threading.Thread(target=_write, args=(places, *ended), daemon=True).start()
                return told(code)

            _listen(nanny, heard)

        def teardown(self, nanny: Any) -> None:
            _listen(nanny, self._heard.pop(nanny.id))

    return Exits()


def _listen(nanny: Any, heard: Any) -> None:
    nanny._on_worker_exit_sync = heard
    if nanny.process is not None:
        nanny.process.on_exit = heard


def exit_of(place: Place, host: str, worker: str, since: float) -> str:
    """Say how a worker has ended after a moment, as far as its nanny has told."""
    if not worker:  # no nanny looks after other processes
        return "unknown"
    text = place.records.get(_key(host, worker), ITEM_NOT_AVAILABLE)
    told = None if text is ITEM_NOT_AVAILABLE else json.loads(str(text))
    return str(told["exit"]) if told is not None and told["at"] >= since else "unknown"


def _write(places: list[Place], worker: str, code: int) -> None:
    told = json.dumps({"exit": _named(code), "at": time.time(), "worker": worker})
    for place in places:
        with suppress(Exception):  # it is a courtesy
            place.records[_key(socket.gethostname(), worker)] = told
            _tidy(place)


def _tidy(place: Place) -> None:
    """Forget what is old; once in an hour, because all that is there is read for it."""
    now = time.monotonic()
    if now < _tidy_next.get(place.identity, 0.0):
        return
    _tidy_next[place.identity] = now + _TIDIED
    for key, text in list(place.records.get_subdict(_EXITS).items()):
        if time.time() - json.loads(text)["at"] > _KEPT:
            place.records.discard(NonEmptySafeStrTuple(_EXITS, key))


def _named(code: int) -> str:
    if code >= 0:
        return f"status {code}"
    with suppress(ValueError):
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"signal {-code}"


def _key(host: str, worker: str) -> NonEmptySafeStrTuple:
    return NonEmptySafeStrTuple(_EXITS, safe_name(f"{host} {worker}"))
