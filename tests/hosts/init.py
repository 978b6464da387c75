"""The first process of a host: it forks others, and signals them, for as long as the test lives.

`python -m tests.hosts.init NAME SHARED HERE`, with a socket for standard input. The shared folder
has the path HERE on this host. Requests and answers are JSON, one a packet.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import Any

from tests.hosts import prompt


def main(name: str, shared: str, here: str) -> None:
    socket.sethostname(name)
    subprocess.run(["mount", "--bind", shared, here], check=True)
    control = socket.socket(fileno=os.dup(0))
    control.send(b'"ready"')
    while True:
        packet, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 1)
        if not packet:  # the test is over, and all on this host end with its first process
            return
        request, *arguments = json.loads(packet)
        control.send(json.dumps(REQUESTS[request](*descriptors, *arguments)).encode())


def start(descriptor: int, folder: str, prepare: str) -> int:
    """Fork a process at a prompt; return its number on this host."""
    pid = os.fork()
    if pid == 0:
        prompt.main(socket.socket(fileno=descriptor), folder, prepare)
    os.close(descriptor)
    return pid


def skip(number: int) -> None:
    """Use up numbers of processes."""
    for _ in range(number):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def stop(pid: int) -> None:
    """Stop a process; return when it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    has_stopped(pid)


def has_stopped(pid: int) -> None:
    """Return when a process has stopped, or has ended."""
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """Kill a process; return when it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


REQUESTS: dict[str, Any] = {
    each.__name__: each for each in (start, skip, stop, go_on, kill, has_stopped)
}

if __name__ == "__main__":
    main(*sys.argv[1:])
