"""For every room."""

import os
import signal
from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.left_out import pytest_runtest_makereport, pytest_terminal_summary

__all__ = ["pytest_runtest_makereport", "pytest_terminal_summary"]

_HERE = Path(__file__).parent

# pytest-xdist tells its workers how wide a terminal is, which would be the width of every console tested; one
# that can show no progress (TERM=dumb) would be the kind of each.
os.environ.pop("COLUMNS", None)
os.environ.pop("TERM", None)
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
# `make fuzz` looks for what no one has seen.
settings.register_profile("fuzz", settings.get_profile("suite"), derandomize=False, print_blob=True)
settings.load_profile("suite")

# The files that take longest, in their order, and then the rooms whose files do. Before all of them those
# that execute notebooks: where .ci/run has no control group kernels give way to nobody (sched(7), autogroup),
# and must be over when it comes to test-clocks, which has the rest of the analysis beside it.
_LONGEST = (
    *("test_report.py", "test_notebook.py"),
    *("test_wire.py", "test_real.py", "test_compose.py", "test_serve.py", "test_recycle.py", "test_cli.py"),
    *("test_known.py", "test_own_app.py", "test_run.py", "test_proxied_run.py", "test_database_runs.py"),
    *("test_database.py", "test_own_generator.py", "test_settings.py", "test_rotating_run.py", "test_own.py"),
    *("test_faults.py", "test_soak.py"),
    *("test_session.py", "test_command_line.py", "test_user_code.py", "test_session_failures.py"),
    *("test_loads.py", "test_rotation.py", "test_open_loop.py", "test_ceiling_measured.py"),
)
_LONG = ("recycling", "swarm", "bench", "targets")


def pytest_collection_modifyitems(items):
    """Have long files begin first: the short ones at the end leave no process without work for long."""

    def place(item):
        room = item.path.relative_to(_HERE).parts[0]
        name = item.path.name
        return (
            _LONGEST.index(name) if name in _LONGEST else len(_LONGEST),
            _LONG.index(room) if room in _LONG else len(_LONG),
        )

    items.sort(key=place)
