import gc
from pathlib import Path

import pytest

from analysis.study import Study, study
from tests.fixtures.make_run import Spec, make_run

RECORDED = Path(__file__).parents[1] / "fixtures" / "recorded"
SMALL = Spec(configurations=("sanic", "uvicorn", "gunicorn-uvicorn-worker", "gunicorn-sanic"))


# What is imported stays. To look at all of it again for every few frames takes a sixth of the time.
gc.freeze()
gc.set_threshold(50_000)


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A run of three configurations, two scenarios and three repeats. Do not change it."""
    return make_run(tmp_path_factory.mktemp("results") / "20261122-080000-quick", SMALL)


@pytest.fixture(scope="session")
def analysed(small) -> Study:
    return study(small)


@pytest.fixture
def run(tmp_path):
    """Make a run of one's own: `run(steal=0.1)`."""

    def make(**changes) -> Path:
        fields = {"configurations": ("sanic", "uvicorn"), "scenarios": {"index": (64,)}} | changes
        return make_run(tmp_path / "results" / "run", Spec(**fields))

    return make


def pytest_generate_tests(metafunc):
    """`run_folder`: the synthetic run and every run somebody recorded."""
    if "run_folder" in metafunc.fixturenames:
        recorded = sorted(path.parent for path in RECORDED.glob("*/run.json"))
        assert recorded, f"no recorded run in {RECORDED}"
        folders = [None, *recorded]
        names = ["synthetic", *(path.name for path in recorded)]
        metafunc.parametrize("run_folder", folders, ids=names, indirect=True)


@pytest.fixture
def run_folder(request, small) -> Path:
    return request.param or small
