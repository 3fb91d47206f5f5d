"""Launchers of light servers: most of what a launcher does is the same with any."""

import pytest

from bench.launch.local import Processes
from targets.catalogue.configurations import load
from tests import databases
from tests.bench.commands import LIGHT


@pytest.fixture(scope="module", autouse=True)
def _no_client_stays():
    """End the client of databases with the tests of a file: others look at what this process has started."""
    yield
    databases.dismiss_client()


@pytest.fixture(scope="session")
def light():
    """The catalogue of light servers."""
    return load(LIGHT)


@pytest.fixture
def lightly(tmp_path, current):
    """Opens a launcher of light servers; `options` are those of `Processes`."""

    def opened(**options):
        return Processes(**options).open({"current": current}, tmp_path, print, catalogue=LIGHT)

    return opened
