"""A stand-in for Docker on PATH (tests/bench/fake_docker), and a launcher that uses it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from bench.launch.containers import compose, engine
from bench.model.files import ROOT

STAND_IN = Path(__file__).parents[2] / "fake_docker"
# No process has such a pid: the kernel gives out at most 2^22.
NOBODY = 1 << 30


class Docker:
    """What a test sees and decides of the stand-in's state."""

    def __init__(self, state: Path):
        self.state = state
        for name in ("containers", "images", "networks"):
            (state / name).mkdir(parents=True)

    def containers(self):
        """What is known of each container, by its name."""
        found = (self.state / "containers").glob("*/facts.json")
        return {path.parent.name: json.loads(path.read_text()) for path in found}

    def named(self, service):
        """The name of the only container of a service."""
        (name,) = [name for name, facts in self.containers().items() if facts["service"] == service]
        return name

    def networks(self):
        return [path.name for path in (self.state / "networks").iterdir()]

    def leave(self, name, **labels):
        """Have a container that somebody has left, with some labels; its program has ended."""
        folder = self.state / "containers" / name
        folder.mkdir()
        (folder / "exit").write_text("137")
        (folder / "facts.json").write_text(json.dumps({"service": "left", "labels": labels, "pid": NOBODY}))

    def note(self, kind, text):
        """Have something go wrong from now on (see state.py of the stand-in)."""
        (self.state / kind).write_text(text)

    def calls(self, *words):
        """The command lines that were given and that contain some words."""
        lines = (self.state / "calls").read_text().splitlines()
        return [call for call in map(json.loads, lines) if set(words) <= set(call)]

    def end(self):
        for facts in self.containers().values():
            with suppress(ProcessLookupError):
                os.kill(facts["pid"], signal.SIGKILL)


@pytest.fixture(scope="module")  # tests of other files are to find no process
def stand_in():
    """The port of the process that does the commands of the stand-in."""
    command = [sys.executable, "-S", STAND_IN / "resident.py"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    ) as resident:
        yield resident.stdout.readline().strip()


@pytest.fixture
def docker(tmp_path, monkeypatch, stand_in):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("docker", "docker-compose"):
        shutil.copy(STAND_IN / "client.sh", programs / name)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_DOCKER", str(tmp_path / "docker"))
    monkeypatch.setenv("FAKE_DOCKER_PORT", stand_in)
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
