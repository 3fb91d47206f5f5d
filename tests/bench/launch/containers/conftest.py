"""A stand-in for Docker on PATH, and a launcher that uses it."""

import pytest

from bench.launch.containers import compose, engine
from tests.bench.launch.containers.stand_in import Docker, resident, variables


@pytest.fixture(scope="module")  # tests of other files are to find no process
def stand_in():
    """The port of the process that does the commands of the stand-in."""
    with resident() as (_, port):
        yield port


@pytest.fixture
def docker(tmp_path, monkeypatch, stand_in):
    for name, value in variables(tmp_path, stand_in).items():
        monkeypatch.setenv(name, value)
    seen = Docker(tmp_path / "docker")
    yield seen
    seen.end()


@pytest.fixture
def said():
    """What was said to the user."""
    return []


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def make_launcher(docker, run_folder, said):
    """Makes launchers of containers, which are still to be entered."""

    def make(environments=None, **options):
        return compose.Compose(engine.find()).open(environments or {}, run_folder, said.append, **options)

    return make
