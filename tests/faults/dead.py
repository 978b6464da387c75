"""A process that has existed and is gone."""

import functools
import subprocess
import sys


@functools.cache
def dead_token():
    """Return the token of a process that was there a moment ago."""
    code = "from persidict.owners import new_token; print(new_token())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
