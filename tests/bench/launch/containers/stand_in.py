"""The stand-in for Docker (tests/bench/fake_docker): how it comes onto PATH, and what a test sees of it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

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
            with contextlib.suppress(ProcessLookupError):
                os.kill(facts["pid"], signal.SIGKILL)


@contextlib.contextmanager
def resident():
    """The process that does the commands of the stand-in, and its port."""
    command = [sys.executable, "-S", STAND_IN / "resident.py"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
    ) as process:
        yield process, process.stdout.readline().strip()


def variables(folder, port):
    """What a command has in its environment that finds the stand-in, whose state is in a folder."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("docker", "docker-compose"):
        shutil.copy(STAND_IN / "client.sh", programs / name)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "FAKE_DOCKER": str(folder / "docker"), "FAKE_DOCKER_PORT": port}
