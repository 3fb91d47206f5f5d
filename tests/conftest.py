"""For every room."""

import os
import signal
from pathlib import Path

from hypothesis import HealthCheck, settings

_HERE = Path(__file__).parent

# pytest-xdist tells its workers how wide a terminal is, which would be the width of every console tested.
os.environ.pop("COLUMNS", None)
# Whether a Docker engine answers here must not decide what is tested: tests of containers ask for them.
os.environ["WHICHWORKER_LAUNCHER"] = "processes"

# Who starts pytest in the background of a script has it ignore SIGINT, and so would whatever tests start and
# interrupt. A handler, even one that does nothing, is left behind by exec.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, lambda _number, _frame: None)

# The same examples each time, however busy the machine is: what fails fails for who has changed it.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# The rooms whose files take longest, in the order of the files' lengths; and the longest files of all.
_LONG = ("recycling", "swarm", "bench", "targets")
_LONGEST = ("test_session.py", "test_command_line.py", "test_loads.py")


def pytest_collection_modifyitems(items):
    """Have long files begin first: the short ones at the end leave no process without work for long."""

    def place(item):
        room = item.path.relative_to(_HERE).parts[0]
        name = item.path.name
        return (
            _LONG.index(room) if room in _LONG else len(_LONG),
            _LONGEST.index(name) if name in _LONGEST else len(_LONGEST),
        )

    items.sort(key=place)
