"""How long tests wait for what must happen: upper bounds, which cost time only where something fails.

A test that waits says for what, and nothing of how long: a machine may be slow, and do other things as well.
Only a test of a time limit has one of its own.
"""

import time

LONG_S = 240.0
"""Far more than anything takes that a test starts. pytest's own limit (pyproject.toml) is beyond it."""
CONTAINERS_S = 4 * LONG_S
"""The same where images are built and containers started, beside other things."""
# Between two looks at what is waited for.
_LEAST_S, _MOST_S = 0.01, 0.1


def wait_until(condition, what, timeout_s=LONG_S, again_s=None):
    """Wait for an event; returns what `condition` then says. `what` is what did not happen if it fails.

    It is looked for every `again_s` seconds; without that, pauses grow with the time that was waited, to a
    tenth of a second, for looking takes a CPU that others may need.
    """
    begun = time.monotonic()
    while not (said := condition()):
        waited_s = time.monotonic() - begun
        assert waited_s < timeout_s, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(min(max(_LEAST_S, waited_s / 20), _MOST_S) if again_s is None else again_s)
    return said
