"""Fixtures: scripted servers, swarms that are ended, and a null server in a process of its own.

Importing Locust has gevent patch the whole process, which breaks the threads of other rooms' tests, and those
of pytest-xdist. So where these tests are asked for together with others, or in several processes, their
modules run in processes of their own, a few in each, as one test. Nothing here may import Locust before a
fixture is used.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.patience import LONG_S

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
APART = 8
"""How many processes of their own there are: to start one, with Locust, takes longer than most modules."""


def pytest_pycollect_makemodule(module_path, parent):
    config = parent.config
    asked_for = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    in_several_processes = hasattr(config, "workerinput")
    if not in_several_processes and all(path.resolve().is_relative_to(HERE) for path in asked_for):
        return None
    return Apart.from_parent(parent, path=module_path)


class Apart(pytest.File):
    """Stands in for a test module."""

    def collect(self):
        yield Whole.from_parent(self, name="all in a process of its own")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Deal modules to processes in the order of tests/conftest.py: none has two of the longest."""
    wholes = [item for item in items if isinstance(item, Whole)]
    for place, whole in enumerate(wholes[APART:]):
        wholes[APART - 1 - place % APART].paths.append(whole.path)
        items.remove(whole)


class Whole(pytest.Item):
    """All tests of a module, and of those that are dealt to its process."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.paths = [self.path]
        self.add_marker(pytest.mark.timeout(8 * LONG_S))

    def runtest(self):
        # A folder of its own: in the common one, each session would remove what it takes for left by others.
        with tempfile.TemporaryDirectory(prefix="whichworker-") as folder:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            done = subprocess.run(
                [*command, f"--basetemp={folder}/t", *self.paths],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        last = done.stdout.splitlines()[-1]
        if " skipped" in last:
            pytest.skip(last)

    def repr_failure(self, excinfo):
        return str(excinfo.value)


@pytest.fixture
def serve():
    """Starts scripted servers: `serve({"/path": answer})`."""
    from tests.swarm.scripted import Scripted

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
    made = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def make_swarm(swarms):
    """Makes a swarm of user classes: `make_swarm(User, host=...)`."""
    from tests.swarm.harness import Swarm

    def make(*classes, **options) -> Swarm:
        swarms.append(Swarm(*classes, **options))
        return swarms[-1]

    return make


@pytest.fixture
def live(swarms):
    """Lets one user go through a generator once: `live(host, steps, **attributes)`."""
    from tests.swarm.harness import live_once

    return lambda host, steps, **attributes: live_once(swarms, host, steps, **attributes)


@pytest.fixture
def ask(live):
    """Asks one thing: `ask(server, "GET", "/path", **options)`; returns the response."""

    def asked(server, method, path, **options):
        def steps(user):
            yield user.request(method, path, **options)

        return live(server.url, steps).only

    return asked


@pytest.fixture(scope="module")
def null_server():
    """The URL of a null server in its own process, as fast as a server can be, for the tests of a file."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "swarm" / "nullserver.py"], stdout=subprocess.PIPE, text=True
    )
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()
    process.stdout.close()


SCENARIO = """
from locust import task
from swarm import SwarmUser

class {name}(SwarmUser):
    @task
    def work(self):
        {body}
"""


def scenario_writer(folder):
    """Writes scenario files into a folder: `write("Name", "body of its task")`.

    The users of the default pause: what is tested needs requests, and not all that a CPU can make.
    """

    def write(name="Index", body='yield self.get("/"); yield self.pause(0.005)'):
        path = folder / f"{name.lower()}_scenario.py"
        path.write_text(SCENARIO.format(name=name, body=body))
        return path

    return write


@pytest.fixture
def scenario(tmp_path):
    """Writes a scenario file of a test's own, see `scenario_writer`."""
    return scenario_writer(tmp_path)


@pytest.fixture
def open_session():
    """Starts sessions: `open_session(file, ..., processes=1)`; takes what `SessionProcess` takes."""
    from tests.swarm.processes import SessionProcess

    sessions = []

    def start_one(*scenarios, **options):
        sessions.append(SessionProcess(*scenarios, **options))
        return sessions[-1]

    yield start_one
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def share_session():
    """Sessions that tests of a file share: `share_session(files, processes=1)`, started when first asked for.

    Each is between two cells when a test gets it.
    """
    from tests.swarm.processes import SessionProcess

    sessions = {}

    def shared(files, processes=1):
        if processes not in sessions:
            sessions[processes] = SessionProcess(*files, processes=processes)
            sessions[processes].wait_for("ready")
        return sessions[processes]

    yield shared
    for session in sessions.values():
        session.close()


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Runs a program of the generator to its end in a fork (tests/swarm/forks.py), in the project's folder:
    `forked("locust.main", *arguments)`; returns exit status, standard output and standard error.
    """
    from tests.swarm.processes import start

    folder = tmp_path_factory.mktemp("forks")
    process = start("-m", "tests.swarm.forks", folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(module, *arguments):
        process.stdin.write(json.dumps({"module": module, "arguments": list(map(str, arguments))}) + "\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        return status, *((folder / name).read_text() for name in ("stdout", "stderr"))

    yield run
    process.communicate()


@pytest.fixture
def write(tmp_path):
    """Writes a locustfile: `write("name", text)`; returns its path."""

    def written(name, text):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        return path

    return written
