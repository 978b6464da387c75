"""A process of a host: it does what it is told, line by line, and answers."""

from __future__ import annotations

import json
import os
import socket
import traceback
from typing import Any

import persidict
import persidict._file_lock as file_lock
import persidict_dask
import persidict_dask._claims as claims
import persidict_dask.coordination as coordination
import persidict_dask.retries._breaker_view as breaker_view
import persidict_dask.retries._lanes as lanes
from tests.hosts import stops

SILENCE = 0.3
"""Seconds after which one of another host is believed dead, wherever it is no argument."""


def main(channel: socket.socket, folder: str, prepare: str) -> None:
    """Execute `prepare`, then evaluate each line that comes; never returns."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the socket of the first process
    file_lock.LEASE = claims.TTL = lanes.TTL = breaker_view._TTL = SILENCE
    stops.announce.append(lambda call: channel.sendall(b'{"stops": "%b"}\n' % call.encode()))
    world = {**vars(persidict), **vars(persidict_dask), **vars(coordination), **vars(stops)}
    world |= {"folder": folder, "store_url": f"{folder}/store", "file_lock": file_lock, "os": os}
    with channel, channel.makefile("r") as lines:
        tell(channel, lambda: exec(prepare, world))
        for line in lines:
            tell(channel, lambda line=line: eval(line, world))
    os._exit(0)


def tell(channel: socket.socket, act: Any) -> None:
    try:
        answer = {"returned": act()}
    except Exception as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        answer = {"raised": kinds, "text": traceback.format_exc()}
    channel.sendall(json.dumps(answer).encode() + b"\n")
