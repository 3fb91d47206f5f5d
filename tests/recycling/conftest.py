"""Servers of these tests' catalogues, run by `targets.serve`, and a client that sends nothing twice."""

import csv
import http.client
import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from targets.catalogue.configurations import load
from tests.patience import LONG_S, wait_until
from tests.ports import free_port
from tests.recycling.recycler import read_books
from tests.targets.conftest import PROJECT, stack_python

HERE = Path(__file__).parent


class Served:
    """A server under `targets.serve`, ready, with its log of requests."""

    def __init__(self, folder, catalogue, name, *options):
        self.metrics = folder / "metrics"
        self.port = free_port()
        stack = load(HERE / catalogue).get(name).stack
        self.process = subprocess.Popen(
            [
                stack_python(stack), "-m", "targets.serve", name, "--catalogue", HERE / catalogue,
                "--log-requests", "--port", str(self.port), "--metrics", self.metrics, *map(str, options),
            ],
            cwd=PROJECT, env=os.environ, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(self.ready, f"{name} gets ready")

    def ready(self):
        assert self.process.poll() is None, self.process.communicate()[1]
        return (self.metrics / "server.json").exists()

    def visit(self, count):
        """What became of requests 1 to `count`: statuses, or names of exceptions."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)
        outcomes = []
        for number in range(1, count + 1):
            try:
                connection.request("GET", "/index", headers={"X-Request-Id": f"0-{number}"})
                with connection.getresponse() as response:
                    response.read()
                outcomes.append(response.status)
            except (http.client.HTTPException, OSError) as error:
                outcomes.append(type(error).__name__)
                connection.close()
        connection.close()
        return outcomes

    def whoami(self):
        """The pid that answers `/whoami` on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)
        connection.request("GET", "/whoami", headers={"Connection": "close"})
        try:
            return json.loads(connection.getresponse().read())["pid"]
        finally:
            connection.close()

    def rows(self, file):
        return list(csv.DictReader((self.metrics / file).read_text().splitlines()))

    def events(self, event):
        """Pids of the workers that were born, got ready or died, in order."""
        return [
            int(row["pid"])
            for row in self.rows("workers.csv")
            if (row["event"], row["role"]) == (event, "worker")
        ]

    def handled(self, event="finished"):
        """Of each pid the numbers of the requests that it logged as `started` or `finished`."""
        numbers = {}
        for row in self.rows("requests.csv"):
            if row["event"] == event:
                numbers.setdefault(int(row["pid"]), []).append(int(row["id"].removeprefix("0-")))
        return numbers

    def books(self, kind):
        entries = read_books((self.metrics / "server.log").read_text())
        return [entry for entry in entries if entry["book"] == kind]

    def end(self):
        """Ask it to stop; its exit status."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=LONG_S)
        return self.process.returncode


@pytest.fixture
def served(tmp_path):
    """Serves: `served("configurations.toml", "honest", "--workers", 2)`; once in each test."""
    servers = []

    def start(catalogue, name, *options):
        servers.append(Served(tmp_path, catalogue, name, *options))
        return servers[-1]

    yield start
    for server in servers:
        server.end()
