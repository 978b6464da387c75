"""Hosts on one machine: namespaces with a shared folder, which can be stopped and killed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.hosts.namespaces import enter

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 100.0  # seconds until a test that waits in vain fails


class Raised(Exception):
    """What a process has raised."""

    def __init__(self, kinds: list[str], text: str) -> None:
        super().__init__(text)
        self.kinds = kinds


class Process:
    """A process of a host, at a prompt: call it with an expression."""

    def __init__(self, host: Host, folder: str, prepare: str) -> None:
        self.host, self.is_living = host, True
        self._channel, other = socket.socketpair()
        self._channel.settimeout(PATIENCE)
        self._answers = self._channel.makefile("r")
        self._early: list[Any] = []
        with other:
            self.pid: int = host.ask(["start", folder, prepare], other)
        self.answer()

    def __call__(self, expression: str) -> Any:
        """Evaluate it there; return the result, or raise `Raised`."""
        self.tell(expression)
        return self.answer()

    def tell(self, expression: str) -> None:
        """Do not wait for the answer."""
        self._channel.sendall(expression.encode() + b"\n")

    def answer(self) -> Any:
        """Return the next answer."""
        told = self._early.pop() if self._early else self._heard()
        if "raised" in told:
            raise Raised(told["raised"], told["text"])
        return told["returned"]

    def _heard(self) -> Any:
        line = self._answers.readline()
        assert line, self.host.errors()
        return json.loads(line)

    def stop(self) -> None:
        """Stop it, wherever it is."""
        self.host.ask(["stop", self.pid])

    def stopped(self) -> str:
        """Wait until it has stopped itself; the call before which it has, none if it answers."""
        told = self._heard()
        if "stops" not in told:
            self._early = [told]
            return ""
        self.host.ask(["has_stopped", self.pid])
        return str(told["stops"])

    def go_on(self) -> None:
        """Let it go on after a stop."""
        self.host.ask(["go_on", self.pid])

    def kill(self) -> None:
        """Kill it, wherever it is; return when it is gone."""
        self.host.ask(["kill", self.pid])
        self.close()

    def close(self) -> None:
        """Let go of one that is gone."""
        self.is_living = False
        self._answers.close()
        self._channel.close()


class Host:
    """A host with a name, a clock and processes of its own, and a folder that all hosts share.

    Args:
        name: what the host believes that it is called.
        shared: the folder, as the test sees it.
        here: an empty folder that becomes the shared one, for this host alone.
        clock: seconds by which its monotonic clocks are ahead of those of the test.
        as_user: whether it needs no right but that to make user namespaces.
    """

    def __init__(self, name: str, shared: Path, here: Path, clock: int, *, as_user: bool) -> None:
        self.name, self.here, self.clock = name, here, clock
        self._log = here.with_name(f"{here.name}.errors")
        self._control, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._control.settimeout(PATIENCE)
        command = [*enter(clock, as_user=as_user), sys.executable, "-m", "tests.hosts.init"]
        with other, open(self._log, "ab") as log:
            self._outside = subprocess.Popen(
                [*command, name, str(shared), str(here)], cwd=ROOT, stdin=other, stderr=log
            )
        self._processes: list[Process] = []
        self.is_alive, self._is_ready = True, False
        self.folder = ""

    def python(self, prepare: str = "") -> Process:
        """Start a process that has executed `prepare`."""
        if not self._is_ready:
            self._is_ready = self._heard() == "ready"
        process = Process(self, str(self.here / self.folder), prepare)
        self._processes.append(process)
        return process

    def ask(self, request: list[Any], *sockets: socket.socket) -> Any:
        """Ask the first process of the host."""
        packet = json.dumps(request).encode()
        socket.send_fds(self._control, [packet], [each.fileno() for each in sockets])
        return self._heard()

    def _heard(self) -> Any:
        packet = self._control.recv(1 << 16)
        assert packet, self.errors()
        return json.loads(packet)

    def stop(self) -> None:
        """Stop all that runs on it."""
        for process in self._running():
            process.stop()

    def go_on(self) -> None:
        """Let all go on after a stop."""
        for process in self._running():
            process.go_on()

    def clear(self) -> None:
        """Kill all that runs on it."""
        for process in self._running():
            process.kill()

    def kill(self) -> None:
        """Kill the host with all that runs on it; return when nothing does any more."""
        self._outside.kill()
        self._outside.wait()
        self.is_alive = False
        with self._control:
            while self._control.recv(1 << 16):
                pass
        for process in self._running():
            process.close()

    def _running(self) -> list[Process]:
        self._processes = [process for process in self._processes if process.is_living]
        return self._processes

    def errors(self) -> str:
        """Return what was complained about on this host."""
        return self._log.read_text() or "it has ended"
