"""Real S3 servers on 127.0.0.1, as child processes that die with the process that started them."""

import contextlib
import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PROGRAMS = Path(__file__).parents[2] / ".servers" / "bin"
KEY = "test"
# SeaweedFS also listens at each of its ports + 10000. From this range both stay below the ports
# that systems give to outgoing connections, and no port is another one's + 10000.
PORTS = range(10_000, 20_000)
SECOND_PORT = 10_000
STARTS = 5
READY_WITHIN = 60.0
POLL = 0.05
LOG_TAIL = 4000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_session = boto3.session.Session()
_session_lock = threading.Lock()  # clients are safe for threads, making one is not


@dataclass(frozen=True)
class Server:
    """A running server; `dataclasses.replace(server, url=...)` is the same behind a proxy."""

    name: str
    url: str
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes]

    def client(self, **config: Any) -> Any:
        """Return a new client of this server, with a botocore configuration."""
        with _session_lock:
            return _session.client(
                "s3",
                endpoint_url=self.url,
                region_name="us-east-1",
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                config=Config(**config),
            )

    def stop(self) -> None:
        """Kill the server, as a power cut would, and wait for its end."""
        self.process.kill()
        self.process.wait()


def ministack(folder: Path, *, keep: bool = False, port: int | None = None) -> Server:
    """Start MiniStack; with `keep` it finds its objects again at the next start in the folder."""
    command = [str(PROGRAMS / "python"), "-m", "ministack"]
    env = {"BIND_HOST": "127.0.0.1", "SERVICES": "s3", "IOT_MTLS_ENABLED": "0"}
    env["HOME"] = str(folder)
    if keep:
        env |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(folder / "data")}
        env |= {"PERSIST_STATE": "1", "STATE_DIR": str(folder / "state")}

    def launch(port: int) -> subprocess.Popen[bytes]:
        return _spawn(command, folder / "ministack.log", env | {"GATEWAY_PORT": str(port)})

    return _start("ministack", folder, launch, _lists_buckets, ports=[port] if port else None)


def rclone(folder: Path) -> Server:
    """Start rclone, which serves the folder: its folders are the buckets."""
    command = [str(PROGRAMS / "rclone"), "serve", "s3", "--auth-key", f"{KEY},{KEY}", str(folder)]

    def launch(port: int) -> subprocess.Popen[bytes]:
        return _spawn([*command, "--addr", f"127.0.0.1:{port}"], folder / "rclone.log")

    return _start("rclone", folder, launch, _lists_buckets)


def seaweedfs(folder: Path) -> Server:
    """Start SeaweedFS with one volume server, a filer and its S3 gateway."""
    identities = folder / "s3.json"
    identities.write_text(json.dumps(_identities()), encoding="utf-8")
    options = [f"-dir={folder}", f"-s3.config={identities}"]

    def launch(*ports: int) -> subprocess.Popen[bytes]:
        return _spawn([*_weed(*ports), *options], folder / "seaweedfs.log")

    return _start("seaweedfs", folder, launch, _keeps_objects, count=4)


def _identities() -> dict[str, Any]:
    """Return the one user that SeaweedFS is to know."""
    keys = [{"accessKey": KEY, "secretKey": KEY}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return {"identities": [{"name": KEY, "credentials": keys, "actions": actions}]}


def _weed(s3: int, filer: int, volume: int, master: int) -> list[str]:
    """Return the command for a SeaweedFS at these ports, without what tests have no use for."""
    where = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    parts = [f"-master.port={master}", f"-volume.port={volume}"]
    parts += ["-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}"]
    sizes = ["-master.volumeSizeLimitMB=1024", "-volume.max=0"]
    off = ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false"]
    return [str(PROGRAMS / "weed"), "-logtostderr=true", "server", *where, *parts, *sizes, *off]


def _lists_buckets(client: Any) -> None:
    client.list_buckets()


def _keeps_objects(client: Any) -> None:
    """Write and read an object, because SeaweedFS answers before its volumes are there."""
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):  # from the last try
        client.create_bucket(Bucket="ready")
    client.put_object(Bucket="ready", Key="key", Body=b"value")
    client.get_object(Bucket="ready", Key="key")["Body"].read()
    client.delete_object(Bucket="ready", Key="key")
    client.delete_bucket(Bucket="ready")


class _ExitedError(RuntimeError):
    """The process ended before it was ready, perhaps because another one took its port."""


def _start(
    name: str,
    folder: Path,
    launch: Callable[..., subprocess.Popen[bytes]],
    use: Callable[[Any], None],
    *,
    count: int = 1,
    ports: Sequence[int] | None = None,
) -> Server:
    """Start a server at given ports, or at free ones and then once more at others if it exits."""
    log = folder / f"{name}.log"
    if ports and not all(map(_is_free, ports)):  # the one that is there would pass for the new one
        raise RuntimeError(f"{name} cannot start: another process is at port {ports}")
    for _ in range(1 if ports else STARTS):
        chosen = ports or _free_ports(count)
        url = f"http://127.0.0.1:{chosen[0]}"
        server = Server(name, url, KEY, KEY, launch(*chosen))
        try:
            return _ready(server, use)
        except _ExitedError:
            continue
        except TimeoutError as error:
            raise RuntimeError(f"{name} is not ready: {error}\n{_tail(log)}") from error
    raise RuntimeError(f"{name} exited at its start:\n{_tail(log)}")


def _ready(server: Server, use: Callable[[Any], None]) -> Server:
    """Return the server when it can be used; stop it if that never comes."""
    client = server.client(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1})
    try:
        _await(server.process, partial(use, client))
    except BaseException:
        server.stop()
        raise
    finally:
        client.close()
    return server


def _await(process: subprocess.Popen[bytes], use: Callable[[], None]) -> None:
    """Try to use the server again and again, until that works."""
    deadline = time.monotonic() + READY_WITHIN
    while _runs(process):
        try:
            return use()
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError(error) from error
    raise _ExitedError


def _runs(process: subprocess.Popen[bytes]) -> bool:
    """Pause before the next try, for less long if the process ends."""
    try:
        process.wait(POLL)
    except subprocess.TimeoutExpired:
        return True
    return False


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]


def _free_ports(count: int) -> list[int]:
    """Return ports that are free, and so are those SeaweedFS would use with them."""
    # not random.sample: a test that sets the seed would get the ports of its neighbours
    shuffled = random.SystemRandom().sample(PORTS, len(PORTS))
    free = (port for port in shuffled if _is_free(port) and _is_free(port + SECOND_PORT))
    return [next(free) for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # as servers do; connections of a killed server, still on their way out, do not count
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _spawn(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that writes to a log file and dies with this one."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(_die_with, _libc, os.getpid()) if _libc else None,
        )


def _die_with(libc: ctypes.CDLL, parent: int) -> None:
    """Ask Linux to kill this process at the end of the thread that started it."""
    # That end comes for a killed process too. It is the thread's, not the process's: start servers
    # in a thread that lives as long as they shall, which the main thread of pytest does.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it was asked for
        os._exit(1)
