"""How long tests wait for what must happen: upper bounds, which cost time only where something fails.

A test that waits says for what, and nothing of how long: a machine may be slow, and do other things as well.
Only a test of a time limit has one of its own.
"""

import time

LONG_S = 240.0
"""Far more than anything takes that a test starts. pytest's own limit (pyproject.toml) is beyond it."""
CONTAINERS_S = 4 * LONG_S
"""The same where images are built and containers started, beside other things."""


def wait_until(condition, what, timeout_s=LONG_S, again_s=0.01):
    """Wait for an event; returns what `condition` then says. `what` is what did not happen if it fails."""
    deadline = time.monotonic() + timeout_s
    while not (said := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(again_s)
    return said
