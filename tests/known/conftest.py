"""Known servers as processes of their own, and a blocking client that does nothing clever."""

import http.client
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import LONG_S

SERVER = Path(__file__).parents[2] / "bench" / "studies" / "self_check" / "known" / "server.py"


class Known:
    """A running known server."""

    def __init__(self, *options, environment=None):
        self.process = subprocess.Popen(
            [sys.executable, SERVER, *map(str, options)], stdout=subprocess.PIPE, text=True, env=environment
        )
        self.port = int(self.line().removeprefix("port "))

    def line(self):
        return self.process.stdout.readline().strip()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def known():
    """Starts known servers: `known("--service-ms", 5)`."""
    servers = []

    def start(*options, **more):
        servers.append(Known(*options, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
