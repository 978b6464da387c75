"""A user's interrupts, at any moment: what they leave is gone with the next operation."""

import pytest

STORM = """
import os, random, signal, sys
from persidict import FileDirDict

d = FileDirDict(base_dir=sys.argv[1], durability="relaxed", exact=sys.argv[2] == "exact")
d["k0"] = 0
met, descriptors = 0, len(os.listdir("/proc/self/fd"))

def interrupt(*_):
    global met
    met += 1
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
while met < 1000:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 1e-3))
        while True:
            d[f"k{met % 3}"] = met
            d.setdefault(f"n{met}", met)
            d.discard(f"n{met}")
    except KeyboardInterrupt:
        pass
if sys.argv[3] == "write":
    d["k0"] = 1
else:
    len(d)
left = [name for name in os.listdir(d.base_dir) if name.startswith(".__tmp__")]
print(len(left), len(os.listdir("/proc/self/fd")) - descriptors)
"""


@pytest.mark.parametrize(("exact", "then"), [("exact", "write"), ("plain", "list")])
def test_no_interrupt_leaves_a_temporary_file_for_long(python, tmp_path, exact, then):
    left, descriptors = python(STORM, tmp_path / "d", exact, then).split()
    assert (left, descriptors) == ("0", "0")
