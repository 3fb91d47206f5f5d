"""Every service of docker-compose.yml as a person starts it."""

import http.client
import json
import socket
import subprocess
import time

import pytest

from tests.compose.real.checkout import PORTS
from tests.compose.real.engine import containers, docker, inspect, things_of
from tests.patience import CONTAINERS_S, wait_until

NAMES = list(PORTS)
UI_PORT = 8089
MAX_REQUESTS = 20
# What the first process may do, which is the service's own, and a file where none may be.
LITTLE = 'print(open("/proc/1/status").read()); open("/whichworker/new", "w")'


def get(port, path):
    """Status and body of a request on a connection of its own; `None` if there is no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()
    except (http.client.HTTPException, OSError):
        return None
    finally:
        connection.close()


@pytest.fixture(scope="module", autouse=True)
def project(checkout):
    """What these tests bring up goes down together, and then nothing is left."""
    yield
    checkout.compose("--profile", "targets", "--profile", "ui", "down", "--volumes")
    assert not any(things_of(checkout).values())


@pytest.fixture(scope="module")
def up(checkout, project):
    """The containers of all configurations by name, started by their names."""
    checkout.compose("up", "--detach", *NAMES)
    label, ours = "com.docker.compose", f"com.docker.compose.project={checkout.project}"
    found = {name: containers(ours, f"{label}.service={name}") for name in NAMES}
    return {name: container for name, (container,) in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_service_serves(up, name):
    wait_until(lambda: get(PORTS[name], "/whoami"), f"{name} answers", CONTAINERS_S)
    status, body = get(PORTS[name], "/whoami")
    assert (status, json.loads(body)["configuration"]) == (200, name)
    wait_until(
        lambda: inspect(up[name])["State"]["Health"]["Status"] == "healthy",
        f"{name} is healthy",
        CONTAINERS_S,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_service_may_do_little(up, name):
    # By root, whom the file system itself has to refuse.
    look = ["docker", "exec", "--user=0", up[name], "/opt/stack/bin/python", "-ISc", LITTLE]
    said = subprocess.run(look, capture_output=True, text=True)
    status = dict(line.split(":\t", 1) for line in said.stdout.splitlines() if ":\t" in line)
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert (status["CapBnd"], status["NoNewPrivs"]) == ("0" * 16, "1")
    assert "Read-only file system" in said.stderr


def test_services_end_when_they_are_asked_to(checkout, up):
    checkout.compose("stop", *NAMES)
    # Of one that is killed at the end of its grace period it is 137.
    assert {name: inspect(up[name])["State"]["ExitCode"] for name in NAMES} == dict.fromkeys(NAMES, 0)


def test_workers_are_recycled(checkout):
    name, container = "gunicorn-uvicorn", "whichworker-test-recycling"
    options = ("--detach", "--service-ports", "--name", container)
    checkout.compose("run", *options, name, name, "--max-requests", str(MAX_REQUESTS))
    try:
        wait_until(lambda: get(PORTS[name], "/whoami"), f"{name} answers", CONTAINERS_S)
        answers = []
        for _ in range(5 * MAX_REQUESTS):
            answers.append(get(PORTS[name], "/whoami"))
            time.sleep(0.02)  # Uvicorn counts requests at every one, but looks at the count every 100 ms
    finally:
        docker("rm", "--force", container)
    answered = [answer for answer in answers if answer is not None]
    assert {status for status, _ in answered} == {200}
    pids = {json.loads(body)["pid"] for _, body in answered}
    assert len(pids) >= 3
    # A connection that is made at the very moment at which a worker stops may be lost.
    assert len(answers) - len(answered) < len(pids)


def test_a_port_in_use_is_named(checkout):
    name = NAMES[0]
    with socket.create_server(("127.0.0.1", PORTS[name])):
        said = checkout.compose("up", "--detach", name, status=1)
    assert str(PORTS[name]) in said
    assert "already in use" in said or "already allocated" in said


def test_the_web_interface_comes_up(checkout):
    checkout.compose("--profile", "ui", "up", "--detach")
    wait_until(lambda: get(UI_PORT, "/"), "Locust answers", CONTAINERS_S)
    status, page = get(UI_PORT, "/")
    assert status == 200
    assert b"<title>Locust" in page
