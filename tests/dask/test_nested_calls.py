"""Persisted calls, counters and retries in the handler of a signal, in the middle of the same."""

STORM = """
import faulthandler, random, signal
import tenacity
from persidict import FileDirDict
from persidict_dask import CircuitOpenError, persist
from persidict_dask.coordination import Counter
from persidict_dask.retries import CircuitBreaker, RetryBudget, RetryPolicy

faulthandler.dump_traceback_later(90, exit=True)  # a thread that waits for itself
store = FileDirDict("store", durability="relaxed")
counter, rng, done, depth = Counter(store, "n"), random.Random(1), 0, 0
policy = RetryPolicy(
    attempts=3,
    wait=tenacity.wait_none(),
    budget=RetryBudget(store, "budget"),
    breaker=CircuitBreaker(store, "service"),
)

@persist(store)
def triple(x):
    return 3 * x

@policy
def flaky():
    if rng.random() < 0.2:
        raise OSError

def work():
    global done
    n = done % 50
    assert triple(n) == 3 * n
    counter.add(1)
    done += 1
    try:
        flaky()
    except (OSError, CircuitOpenError):
        pass

def nested(*_):
    global depth
    if depth < 2:
        depth += 1
        work()
        depth -= 1

work()
signal.signal(signal.SIGALRM, nested)
signal.setitimer(signal.ITIMER_REAL, 2e-3, 2e-3)
while done < 300:
    work()
signal.setitimer(signal.ITIMER_REAL, 0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(counter.value - done)
"""


def test_none_waits_for_its_own_thread_and_none_is_lost(python):
    assert python(STORM) == "0"
