"""Every configuration: started, metered and ended, on the server itself."""

import http.client
import json
import os
import re
import signal
import socket
from pathlib import Path

import psutil
import pytest
from pyroute2 import DiagSocket

from tests.interpreters import without_interpreter
from tests.patience import wait_until
from tests.shared import held

from .conftest import APPS, CATALOGUE, alive, serving, workers_of

ALL = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            without_interpreter(CATALOGUE.stacks[configuration.stack]) is not None,
            reason=without_interpreter(CATALOGUE.stacks[configuration.stack]) or "",
        ),
    )
    for name, configuration in CATALOGUE.declared.items()
]
TCP_LISTEN = 10  # <net/tcp_states.h>
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])
COUNTING = ("flag", "app", "respawn")
# Hypercorn ends as a whole with a worker that is killed, which has a test of its own.
MANAGED = [
    param
    for param in ALL
    if CATALOGUE.get(param.values[0]).max_workers is None and param.values[0] != "hypercorn"
]
# Those of MANAGED are the first of both lists, by which pytest knows that their tests share a server.
METERED = [*MANAGED, *(param for param in ALL if param not in MANAGED)]
# One of each program, whose manager is killed; the others are asked to end. So are these in test_unix.py.
KILLED = ("sanic", "uvicorn", "gunicorn-uvicorn", "granian", "hypercorn")
# Of these tests/recycling/test_real.py sees each request.
TRACED = ("sanic", "uvicorn", "gunicorn-uvicorn")
RECYCLING = [
    param
    for param in ALL
    if CATALOGUE.get(param.values[0]).recycle in COUNTING and param.values[0] not in TRACED
]


@pytest.fixture(scope="module")
def metered(request, tmp_path_factory):
    """A server of each configuration, looked at often, with as many workers as it may have up to two.

    The tests that share it come in this order: a worker of it is killed, and then it ends.
    """
    # Settings in the environment must not change what a configuration states.
    foreign = {
        "GUNICORN_CMD_ARGS": "--nonsense",
        "GRANIAN_HTTP1_KEEP_ALIVE": "false",
        "SANIC_USE_UVLOOP": "false",
        "UVICORN_LIMIT_CONCURRENCY": "1",
    }
    options = ("--workers", str(workers_of(request.param)), "--sample-interval", "0.05")
    with serving(tmp_path_factory.mktemp("metered"), request.param, *options, environment=foreign) as served:
        yield served.wait_ready()


@pytest.mark.parametrize("metered", METERED, indirect=True, scope="module")
def test_a_configuration_is_served_and_metered(metered):
    served, name = metered, metered.name
    configuration = CATALOGUE.get(name)
    workers = workers_of(name)
    server = served.server
    assert server["configuration"] == name
    assert server["url"] == f"http://127.0.0.1:{served.port}"
    assert server["workers"] == workers
    assert server["max_requests"] is None
    assert server["environment"] == configuration.environment
    assert 0 < server["ready_s"] < 30
    assert alive(server["pid"])
    assert served.metrics.joinpath("server.log").exists()

    ready = pids_of(served.events("ready", "worker"))
    assert len(ready) == workers
    assert len(served.events("born", "worker")) == workers
    whoami = served.get_json("/whoami")
    assert whoami["pid"] in ready
    expected = {**server["whoami"], "pid": whoami["pid"]}
    assert whoami == expected
    assert whoami["loop"] == configuration.loop and whoami["parser"] in configuration.parsers
    assert whoami["versions"]["sanic"] == ("21.12.2" if configuration.stack == "sanic-21.12" else "25.12.1")
    assert backlog(served.port) == configuration.backlog

    # One connection outlives 1000 requests, and the work is charged to the worker that did it.
    connection = served.connect()
    connection.request("GET", "/whoami")
    worker = int(http_json(connection)["pid"])
    before = cpu_seconds(served, worker)
    for _ in range(1010):
        connection.request("GET", "/index")
        response = connection.getresponse()
        assert response.read() == b"Hello, world!"
        assert response.getheader("connection", "").lower() != "close"
    connection.request("GET", "/cpu?units=20000")
    http_json(connection)
    wait_until(lambda: cpu_seconds(served, worker) > before + 0.1, "the worker's CPU time is metered")
    connection.close()
    assert "/index" not in served.metrics.joinpath("server.log").read_text()

    def weighed_since_ready():
        ready_at = server["started"] + server["ready_s"]
        return [row for row in of(served, worker) if row["rss_bytes"] and float(row["time"]) > ready_at]

    wait_until(weighed_since_ready, "the worker is weighed")
    weighed = weighed_since_ready()
    assert 10e6 < int(weighed[0]["rss_bytes"]) < 500e6
    assert 0 < int(weighed[0]["pss_bytes"]) <= int(weighed[0]["rss_bytes"])
    assert len(weighed) < len(of(served, worker)) / 2, "memory is read once a second only"
    roles = {row["role"] for row in served.rows("processes.csv")}
    assert roles <= {"manager", "worker", "helper", "meter"}
    assert {"worker", "meter"} <= roles
    assert ("manager" in roles) == (server["pid"] not in ready)


@pytest.mark.skipif(KERNEL < (6, 15), reason="older kernels tell nobody but the manager")
@pytest.mark.parametrize("metered", MANAGED, indirect=True, scope="module")
def test_how_a_worker_of_the_manager_ended_is_noted(metered):
    worker = metered.server["whoami"]["pid"]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker in pids_of(metered.events("died", "worker")), "its death is noted")
    assert [row["exit_status"] for row in metered.events("died") if row["pid"] == str(worker)] == ["-9"]
    # These start another, which ends with the others only when it has started. Sanic and Granian start none.
    if metered.name.startswith(("uvicorn", "gunicorn")):
        wait_until(lambda: len(metered.events("ready", "worker")) == 3, "its successor is ready")


@pytest.mark.parametrize("metered", METERED, indirect=True, scope="module")
def test_it_ends_when_it_is_asked_to_or_dies(metered):
    shared = held(pid for pid in metered.pids() if alive(pid))
    assert bool(shared) == (metered.name == "hypercorn"), "its workers learn of the end by a semaphore"
    if metered.name in KILLED:
        os.kill(metered.server["pid"], signal.SIGKILL)
        status, stderr = metered.wait()
        assert status == 5
        assert f"{metered.name} ended by itself with status -9" in stderr
        assert "Traceback" not in stderr
        died = {row["pid"]: row["exit_status"] for row in metered.events("died")}
        assert died[str(metered.server["pid"])] == "-9"
    else:
        assert metered.end() == (0, "")
    pids = metered.pids()
    assert not [pid for pid in pids if alive(pid)]
    assert pids_of(metered.events("died")) == pids
    assert not [path for path in shared if path.exists()]


def test_memory_is_read_as_often_as_asked_for(serve):
    options = ("--sample-interval", "0.05", "--memory-interval", "0.01")
    served = serve("sanic-single", *options).wait_ready()
    worker = served.server["whoami"]["pid"]
    wait_until(lambda: len(of(served, worker)) >= 10, "it is metered")
    assert all(int(row["rss_bytes"]) > 0 for row in of(served, worker))


@pytest.mark.parametrize("name", ["gunicorn-uvicorn", "gunicorn-uvicorn-preload"])
def test_preloading_imports_the_app_once_before_the_workers_are_forked(serve, tmp_path, name):
    importers = tmp_path / "importers"
    environment = {"PYTHONPATH": APPS, "IMPORTED_BY": str(importers)}
    served = serve(name, "--workers", "2", "--app", "noted_import:app", environment=environment).wait_ready()
    ready = pids_of(served.events("ready", "worker"))
    assert len(ready) == 2
    noted = {int(pid) for pid in importers.read_text().splitlines()}
    assert noted == ({served.server["pid"]} if name.endswith("-preload") else ready)


def test_the_kernel_ends_the_server_if_the_warden_is_gone_too(serve):
    served = serve("sanic-single").wait_ready()
    (root,) = served.pids()
    (warden,) = (p for p in psutil.Process(served.process.pid).children() if p.pid != root)
    warden.kill()
    wait_until(lambda: not alive(warden.pid), "the warden is gone")
    served.end(signal.SIGKILL)
    wait_until(lambda: not alive(root), "the server ends with serve")


def test_nothing_is_left_in_memory_if_serve_is_killed(serve):
    served = serve("hypercorn", "--sample-interval", "0.05").wait_ready()
    pids = served.pids()
    shared = held(pids)
    assert shared
    served.end(signal.SIGKILL)
    wait_until(lambda: not [pid for pid in pids if alive(pid)], "the server ends with serve")
    wait_until(lambda: not [path for path in shared if path.exists()], "its semaphores are removed")


@pytest.mark.parametrize("name", RECYCLING)
def test_workers_are_recycled(serve, name):
    served = serve(name, "--max-requests", "40").wait_ready()
    assert served.server["max_requests"] == 40
    first = served.server["whoami"]["pid"]
    # A worker that is replaced at once is a broken one.
    assert {served.get_json("/whoami")["pid"] for _ in range(20)} == {first}
    seen = set()

    def another():
        try:
            seen.add(served.get_json("/whoami")["pid"])
        except (OSError, http.client.HTTPException):
            return False  # what a restart loses is for the suite to measure
        return seen - {first}

    wait_until(another, "another worker answers")
    wait_until(lambda: not alive(first), "the first worker ends")
    wait_until(lambda: first in pids_of(served.events("died", "worker")), "its death is noted")
    wait_until(lambda: seen <= pids_of(served.events("ready", "worker")), "its successor is noted")
    assert served.end() == (0, "")


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, signal.SIGINT) for name in ("sanic-single", "gunicorn-asgi", "granian", "hypercorn")),
        ("gunicorn-asgi", signal.SIGHUP),
    ],
)
def test_other_signals_end_it_as_well(serve, name, number):
    """SIGHUP comes when a terminal is closed, and is passed on as SIGTERM: it would make gunicorn reload."""
    served = serve(name, "--grace-period", "60").wait_ready()
    pids = served.pids()
    assert served.end(number) == (0, "")
    assert not [pid for pid in pids if alive(pid)]
    assert "-9" not in [row["exit_status"] for row in served.events("died")]


def test_a_server_that_ignores_the_signal_is_killed(serve):
    served = serve("uvicorn", "--workers", "2", "--grace-period", "0.2").wait_ready()
    pids = served.pids()
    os.kill(served.server["pid"], signal.SIGSTOP)
    assert served.end() == (0, "")
    assert not [pid for pid in pids if alive(pid)]


def test_a_second_signal_kills(serve):
    served = serve("uvicorn", "--grace-period", "60").wait_ready()
    os.kill(served.server["pid"], signal.SIGSTOP)
    served.process.send_signal(signal.SIGINT)
    wait_until(lambda: no_signal_waits(served.process.pid), "SIGINT is taken")
    assert served.end(signal.SIGINT) == (0, "")
    assert not [pid for pid in served.pids() if alive(pid)]


def test_processes_abandoned_by_the_server_are_ended_too(serve, tmp_path):
    """A worker whose manager was killed belongs to serve, which finds and ends it."""
    served = serve("granian", "--workers", "2", "--sample-interval", "60").wait_ready()
    pids = served.pids()
    assert len(pids) == 3
    served.process.send_signal(signal.SIGSTOP)
    os.kill(served.server["pid"], signal.SIGKILL)
    served.process.send_signal(signal.SIGCONT)
    assert served.wait()[0] == 5
    assert not [pid for pid in pids if alive(pid)]


def http_json(connection):
    return json.loads(connection.getresponse().read())


def pids_of(rows):
    return {int(row["pid"]) for row in rows}


def of(served, pid):
    return [row for row in served.rows("processes.csv") if row["pid"] == str(pid)]


def cpu_seconds(served, pid):
    samples = [float(row["cpu_s"]) for row in of(served, pid)]
    assert samples == sorted(samples)
    return samples[-1]


def backlog(port):
    """How many connections may wait to be accepted on a port, as the kernel tells (psutil does not know)."""
    with DiagSocket() as kernel:
        kernel.bind()
        sockets = kernel.get_sock_stats(family=socket.AF_INET)
        (size,) = {
            each["idiag_wqueue"]
            for each in sockets
            if each["idiag_sport"] == port and each["idiag_state"] == TCP_LISTEN
        }
    return size


def no_signal_waits(pid):
    """Whether a process has taken all signals that were sent to it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^ShdPnd:\t(\w+)$", status, re.MULTILINE)[1], 16) == 0
