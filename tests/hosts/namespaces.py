"""What the kernel must allow before there can be hosts, and the command that begins one."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

ENTER = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
AS_USER = ["--user", "--map-root-user"]


def enter(clock: int, *, as_user: bool) -> list[str]:
    """Return the command that runs another in new namespaces, with a clock that is so far ahead."""
    own_clock = ["--time", "--boottime", str(clock), "--monotonic", str(clock)]
    has_clocks = os.path.exists("/proc/self/ns/time")
    return ["unshare", *AS_USER * as_user, *ENTER, *own_clock * has_clocks]


@cache
def refusal(*, as_user: bool) -> str:
    """Say in one line why there can be no hosts; nothing if there can."""
    if shutil.which("unshare") is None:
        return "there is no program `unshare`"
    done = subprocess.run(
        [*enter(1, as_user=as_user), "true"], capture_output=True, text=True, check=False
    )
    return done.stderr.strip().split("\n")[0] or "unshare failed" if done.returncode else ""
