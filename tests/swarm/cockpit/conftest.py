from __future__ import annotations

import pytest

from tests.patience import LONG_S

# The users pause: what is tested needs requests, and not all that a CPU can make.
SCENARIO = """
from locust import task
from swarm import SwarmUser

class {name}(SwarmUser):
    @task
    def work(self):
        yield self.get("/{name}")
        yield self.pause(0.005)
"""
LEAVING_S = 3
LEAVING = f"""
    def on_stop(self):
        yield self.pause({LEAVING_S})
"""


def scenario(folder, name):
    """Writes the scenario file of a name; the users of "Leaving" take `LEAVING_S` to end."""
    path = folder / f"{name.lower()}_scenario.py"
    path.write_text(SCENARIO.format(name=name) + (LEAVING if name == "Leaving" else ""))
    return path


@pytest.fixture
def open_cockpit(tmp_path):
    """Opens a web UI of a test's own: `open_cockpit("Index", "Sleep", warmup_s=30.0)`."""
    from tests.swarm.cockpit.process import Cockpit

    opened = []

    def make(*names, **changes):
        opened.append(Cockpit([scenario(tmp_path, name) for name in names or ("Index",)], **changes))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def shared_cockpit(tmp_path_factory):
    from tests.swarm.cockpit.process import Cockpit

    folder = tmp_path_factory.mktemp("shared")
    opened = Cockpit([scenario(folder, name) for name in ("Index", "Sleep", "Leaving")])
    yield opened
    opened.close()


@pytest.fixture
def cockpit(shared_cockpit):
    """A web UI with the scenarios Index, Sleep and Leaving, which the tests of a file share.

    Each finds it idle. What earlier tests have left are events, which are passed over until something of the
    test's own is awaited, and notices.
    """
    from tests.swarm.cockpit.process import later

    if shared_cockpit.live()["state"] != "idle":
        answer = later(shared_cockpit.post, "/stop")
        shared_cockpit.until(lambda told: told["state"] == "idle", "no load")
        answer.get(timeout=LONG_S)
    return shared_cockpit


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "cell"
    made.mkdir()
    return made
