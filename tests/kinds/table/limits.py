"""What takes long, what is not there, and what cannot be had."""

from tests.bench.launch.own.test_own_generator import NEEDS
from tests.bench.launch.test_external import TRUSTING
from tests.fixtures.never_ready import NEVER_READY
from tests.kinds.kind import Expected, Kind, refused
from tests.kinds.shop import late
from tests.swarm.processes import locustfile

_TOO_LATE = ["was not ready after 2 s", "(STARTUP_TIMEOUT=)"]
# A comment makes the environment one of these trials, which is removed after them.
_REQUIREMENTS = "mistune==3.4.0  # for tests/kinds\n"

KINDS = (
    Kind(
        7,
        "starts after what is usual",
        {"users.py": locustfile()},
        app=late(32),
        options=("--startup-timeout", "90"),
    ),
    Kind(
        7,
        "starts too late",
        {"users.py": locustfile()},
        Expected(1, _TOO_LATE, finished=0, failed=1),
        in_ui=Expected(said=_TOO_LATE, finished=0, failed=1),
        app=NEVER_READY,
        app_name="app:app",
        options=("--startup-timeout", "2"),
    ),
    Kind(
        7,
        "lacks a package",
        {"users.py": NEEDS},
        refused("ModuleNotFoundError: No module named 'whichworker_made_up'", "SCENARIO_REQUIREMENTS=FILE"),
        picks=(("Someone",),),
    ),
    Kind(
        7,
        "is given its package",
        {"users.py": locustfile("from mistune import html"), "load.txt": _REQUIREMENTS},
        options=("--locustfile-requirements", "{load}/load.txt"),
    ),
    Kind(
        7,
        "asks by https without a ceiling",
        {"users.py": TRUSTING},
        Expected(said=["no ceiling: the null server speaks no TLS"], never=["usage:"]),
        in_ui=Expected(
            said=["nothing is started, metered or recorded", "requests 0 failed"],
            never=["of 0 requests", "usage:"],
            finished=0,
        ),
        not_contained="a server that runs already has no container, and containers reach nobody else",
        app=None,
        picks=(("Swarm", "Plain", "Fast"),),
        ceilings=True,
    ),
)
