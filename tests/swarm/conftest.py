"""Fixtures: scripted servers, swarms that are ended, and a null server in a process of its own."""

from __future__ import annotations

import swarm  # isort: skip  # first: Locust's gevent must patch ssl before all else

import subprocess
import sys
from pathlib import Path

import pytest

from tests.swarm.harness import Swarm, live_once
from tests.swarm.scripted import Scripted


@pytest.fixture
def serve():
    """Starts scripted servers: `serve({"/path": answer})`."""
    servers = []

    def start(routes, **options) -> Scripted:
        servers.append(Scripted(routes, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def swarms():
    """The swarms of a test: whatever is put in is ended."""
    made: list[Swarm] = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def make_swarm(swarms):
    """Makes a swarm of user classes: `make_swarm(User, host=...)`."""

    def make(*classes, **options) -> Swarm:
        swarms.append(Swarm(*classes, **options))
        return swarms[-1]

    return make


@pytest.fixture
def live(swarms):
    """Lets one user go through a generator once: `live(host, steps, **attributes)`."""
    return lambda host, steps, **attributes: live_once(swarms, host, steps, **attributes)


@pytest.fixture
def ask(live):
    """Asks one thing: `ask(server, "GET", "/path", **options)`; returns the response."""

    def asked(server, method, path, **options):
        def steps(user):
            yield user.request(method, path, **options)

        return live(server.url, steps).only

    return asked


@pytest.fixture
def null_server():
    """The URL of a null server in its own process, as fast as a server can be."""
    process = subprocess.Popen(
        [sys.executable, Path(swarm.__file__).with_name("nullserver.py")], stdout=subprocess.PIPE, text=True
    )
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()
    process.stdout.close()
