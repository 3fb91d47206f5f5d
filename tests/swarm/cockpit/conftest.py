from __future__ import annotations

import pytest

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


@pytest.fixture
def scenario(tmp_path):
    """Writes a scenario file: `scenario("Name")`; the users of "Leaving" take `LEAVING_S` to end."""

    def write(name="Index"):
        path = tmp_path / f"{name.lower()}_scenario.py"
        path.write_text(SCENARIO.format(name=name) + (LEAVING if name == "Leaving" else ""))
        return path

    return write


@pytest.fixture
def open_cockpit(scenario):
    from tests.swarm.cockpit.process import Cockpit

    opened = []

    def make(*names, **changes):
        opened.append(Cockpit([scenario(name) for name in names or ("Index",)], **changes))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "cell"
    made.mkdir()
    return made
