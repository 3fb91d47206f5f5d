"""Servers for the tests: always through `python -m targets.serve`, always ended by pid."""

import csv
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from targets.catalogue.configurations import load
from tests.patience import LONG_S, wait_until
from tests.ports import free_port

PROJECT = Path(__file__).resolve().parents[2]
APPS = f"{PROJECT}:{Path(__file__).parent / 'apps'}"
"""The PYTHONPATH of a server of the tests' own apps."""
CATALOGUE = load()


def stack_python(stack):
    """The interpreter of a stack's environment; the test fails if the environment is missing."""
    python = PROJECT / ".venvs" / stack / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{python} is missing: create the environments with `make setup`", pytrace=False)
    return python


def workers_of(name):
    """As many workers as a configuration may have, up to two."""
    return 1 if CATALOGUE.get(name).max_workers == 1 else 2


def alive(pid):
    """Whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Serve:
    """A running `targets.serve` and its folder."""

    def __init__(self, folder, name, *options, port=None, environment=None, prepare=None):
        self.name = name
        self.metrics = folder / "metrics"
        self.port = port or free_port()
        self.command = [
            str(stack_python(CATALOGUE.get(name).stack)), "-m", "targets.serve", name,
            "--port", str(self.port), "--metrics", str(self.metrics), *options,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            self.command,
            cwd=folder,  # the app must be found from anywhere
            env={**os.environ, "PYTHONPATH": str(PROJECT), **(environment or {})},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=prepare,
        )

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, self.process.communicate()[1]
            return (self.metrics / "server.json").exists()

        wait_until(ready, f"{self.name} gets ready")
        return self

    @property
    def server(self):
        return json.loads((self.metrics / "server.json").read_text())

    def rows(self, file):
        """The rows of a CSV file as dicts; whatever is there must be whole lines."""
        text = (self.metrics / file).read_text()
        assert text.endswith("\n")
        return list(csv.DictReader(text.splitlines()))

    def events(self, event, role=None):
        rows = self.rows("workers.csv")
        return [row for row in rows if row["event"] == event and role in (None, row["role"])]

    def pids(self):
        return {int(row["pid"]) for row in self.events("born")}

    def end(self, number=signal.SIGTERM):
        """Send a signal to serve; returns its exit status and what it wrote on stderr."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        stderr = self.process.communicate(timeout=LONG_S)[1]
        return self.process.returncode, stderr

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)

    def request(self, method, path, body=None):
        """Status, headers and body of a request on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path, body, {"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get_json(self, path):
        return json.loads(self.request("GET", path)[2])


@contextmanager
def serving(folder, name, *options, environment=None, **more):
    """A `Serve` that is killed with all its processes when the test is over, with what these leave."""
    # A short path: Sanic's manager has a socket there. What is killed may still be ending.
    with tempfile.TemporaryDirectory(prefix="ww-", ignore_cleanup_errors=True) as temporary:
        surrounded = {"TMPDIR": temporary, **(environment or {})}
        serve = Serve(folder, name, *options, environment=surrounded, **more)
        try:
            yield serve
        finally:
            if serve.process.poll() is None:
                serve.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    serve.process.communicate(timeout=LONG_S)
            serve.process.kill()
            serve.process.communicate()


@pytest.fixture
def serve(tmp_path):
    """Start servers: `serve(name, *options)`, not yet ready; they are ended after the test."""
    with_all = []

    def start(name, *options, **more):
        folder = tmp_path / str(len(with_all))
        folder.mkdir()
        context = serving(folder, name, *options, **more)
        with_all.append(context)
        return context.__enter__()

    yield start
    for context in with_all:
        context.__exit__(*sys.exc_info())
