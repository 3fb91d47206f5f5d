"""An engine that answers is asked for by `make test-compose`; `make test` never comes here."""

import os
import tempfile
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.compose.real import engine
from tests.compose.real.checkout import Checkout
from tests.patience import CONTAINERS_S

# Those that use the ports of docker-compose.yml cannot run beside each other; with one that uses none they
# take as long as all others.
TOGETHER = ("test_services.py", "test_runs.py", "test_own_app.py")

# For what these tests start. Not in `engine`, which others import, whose images are those of everybody.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["WHICHWORKER_TAG"] = engine.TAG


def pytest_itemcollected(item):
    item.add_marker(pytest.mark.timeout(4 * CONTAINERS_S))  # the first one builds three images


class InTwo(LoadScopeScheduling):
    """Gives each process of pytest-xdist its tests."""

    def _split_scope(self, nodeid):
        return "together" if Path(nodeid.partition("::")[0]).name in TOGETHER else "others"


def pytest_xdist_make_scheduler(config, log):
    return InTwo(config, log)


@pytest.fixture(scope="session")
def checkout():
    """A copy of this checkout, owned by a user without privileges."""
    # Not below pytest's own folder, where nobody else may look.
    with tempfile.TemporaryDirectory(prefix="whichworker-") as folder:
        Path(folder).chmod(0o755)
        yield Checkout(Path(folder) / f"checkout-{os.getpid()}")
    if "PYTEST_XDIST_WORKER" in os.environ:  # else they are the user's own
        engine.remove_images()


@pytest.fixture(scope="session")
def built(checkout):
    """What the first run of a checkout says and leaves: it builds every image."""
    results = checkout.folder / "results" / "first"
    said = checkout.run_bench(results, "--plan", checkout.plan("both-stacks"))
    return said, results


@pytest.fixture
def results(checkout, request):
    """A folder for the results of one test."""
    return checkout.folder / "results" / request.node.name


@pytest.fixture
def nothing_left(checkout):
    """Fails the test if the checkout has containers, networks or volumes afterwards."""
    yield
    left = engine.things_of(checkout)
    assert not any(left.values()), left
