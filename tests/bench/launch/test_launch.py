import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from bench.launch import local as launch_processes
from bench.launch import serving
from bench.launch.local import Processes
from bench.launch.server import Options, ServerError
from bench.launch.stacks import Environment
from bench.model.errors import UserError
from bench.model.files import ROOT
from targets.catalogue.recycling import Recycling
from tests.bench.commands import gone
from tests.fixtures.never_ready import NEVER_READY
from tests.patience import LONG_S


@pytest.fixture
def sanic(catalogue):
    return catalogue.get("sanic-single")


@pytest.fixture
def one(light):
    return light.get("one")


@pytest.fixture
def broken(tmp_path):
    """An environment whose interpreter does what a shell script says instead of targets.serve."""

    def make(script):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        return {"current": Environment(python, "3", {})}

    return make


def test_a_server_is_ready_pinned_and_gone_afterwards(tmp_path, lightly, one):
    with lightly() as launcher:
        server = launcher.start(one, 1, tmp_path / "m", [0])
        assert server.facts["configuration"] == "one" and server.failure() is None
        tree = [psutil.Process(server.process.child.pid), psutil.Process(server.facts["pid"])]
        assert [process.cpu_affinity() for process in tree] == [[0], [0]]
    assert gone(tree)


def test_the_next_server_starts_while_the_last_one_stops(tmp_path, lightly, one):
    with lightly() as launcher:
        first = launcher.start(one, 1, tmp_path / "1", [0])
        launcher.stop(first)
        second = launcher.start(one, 1, tmp_path / "2", [0])
        assert second.url != first.url
        launcher.settle()
        assert first.process.poll() == 0 and second.failure() is None


def test_serve_is_told_how_to_run_a_server(tmp_path, current, catalogue):
    options = Options(Recycling(1000, 10), True, 0.05, 0.1, 7.0)
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        server = launcher.start(catalogue.get("uvicorn"), 1, tmp_path / "m", [0], options)
        assert (server.facts["max_requests"], server.facts["max_requests_jitter"]) == (1000, 10)
        assert (server.directory / "requests.csv").exists() and server.options == options
        serve = psutil.Process(server.process.child.pid).cmdline()
        told = {"--sample-interval": "0.05", "--memory-interval": "0.1", "--grace-period": "7"}
        assert {option: serve[serve.index(option) + 1] for option in told} == told


def test_ordinary_servers_are_run_as_ever(tmp_path, lightly, one):
    with lightly() as launcher:
        server = launcher.start(one, 1, tmp_path / "m", [0])
        serve = psutil.Process(server.process.child.pid).cmdline()
        assert serve[serve.index("--sample-interval") + 1] == "0.2"
        assert not {"--max-requests", "--memory-interval", "--grace-period", "--log-requests"} & set(serve)
        assert not (server.directory / "requests.csv").exists()


def test_a_server_that_may_take_its_time_to_end_is_given_it(tmp_path, current, sanic):
    """What a probe told to end may take longer than what is only in the way of the next server."""
    with Processes().open({"current": current}, tmp_path, print, stop_timeout_s=0.0) as launcher:
        server = launcher.start(sanic, 1, tmp_path / "m", [0], Options(grace_period_s=30.0))
        launcher.stop(server)
        launcher.settle()
        assert server.asked_to_end and server.ending().exit_status == 0


def test_how_a_server_ended(tmp_path, lightly, one):
    with lightly() as launcher:
        server = launcher.start(one, 1, tmp_path / "m", [0])
        assert server.running and server.ending() is None and not server.asked_to_end
        before = time.time()
        os.kill(server.facts["pid"], signal.SIGKILL)
        server.process.child.wait(LONG_S)
        ending = server.ending()
        assert ending.exit_status == -9 and before <= ending.time <= time.time()
        assert not server.running and not server.asked_to_end


def test_a_serve_that_was_killed_tells_no_ending(tmp_path, lightly, one):
    with lightly() as launcher:
        server = launcher.start(one, 1, tmp_path / "m", [0])
        server.process.child.kill()
        server.process.child.wait(LONG_S)
        assert server.ending() is None and "SIGKILL" in server.failure()


def test_a_server_that_ends_by_itself_says_why(tmp_path, lightly, one):
    with lightly() as launcher:
        server = launcher.start(one, 1, tmp_path / "m", [0])
        os.kill(server.facts["pid"], signal.SIGKILL)
        server.process.child.wait(LONG_S)
        (server.directory / "server.log").write_text("it was\n\n\x1b[1A\n\x1b[31mthe butler\x1b[0m\n")
        assert server.failure() == "the server ended by itself (SIGKILL)\n  it was\n  the butler"


def test_a_port_in_use_is_an_error_when_given_and_avoided_when_not(tmp_path, lightly, one, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            lightly(port=port) as launcher,
            pytest.raises(UserError, match=f"port {port} is in use"),
        ):
            launcher.start(one, 1, tmp_path / "given", [0])
        free = launch_processes.free_port
        ports = iter([port, free()])
        monkeypatch.setattr(launch_processes, "free_port", lambda: next(ports))
        with lightly() as launcher:
            server = launcher.start(one, 1, tmp_path / "chosen", [0])
            assert not server.url.endswith(f":{port}")


def test_a_server_that_does_not_start_shows_its_last_lines(tmp_path, broken, sanic):
    environments = broken("echo 'ModuleNotFoundError: No module named sanicc' >&2; exit 3")
    with Processes().open(environments, tmp_path, print) as launcher, pytest.raises(ServerError) as caught:
        launcher.start(sanic, 1, tmp_path / "m", [0])
    reason = "sanic-single did not start (exit status 3)\n  ModuleNotFoundError: No module named sanicc"
    assert str(caught.value) == reason


def test_a_server_that_takes_too_long_is_told_with_what_gives_it_more(tmp_path, current, sanic):
    (tmp_path / "slow.py").write_text(NEVER_READY)
    with Processes().open({"current": current}, tmp_path, print, startup_timeout_s=2.0) as launcher:
        launcher.app_options = ["--app", "slow:app", "--app-folder", str(tmp_path)]
        with pytest.raises(ServerError) as caught:
            launcher.start(sanic, 1, tmp_path / "m", [0])
    first = str(caught.value).splitlines()[0]
    assert "was not ready after 2 s" in first
    assert first.endswith("give more with --startup-timeout (STARTUP_TIMEOUT=)")


def test_a_serve_that_never_gets_ready_is_killed_with_all_below_it(tmp_path, broken, sanic, monkeypatch):
    environments = broken(f"trap '' TERM; sleep 600 & echo $! > {tmp_path}/pid; wait; wait")
    monkeypatch.setattr(serving, "_STARTUP_SLACK_S", 1.0)
    launcher = Processes().open(environments, tmp_path, print, startup_timeout_s=1.0)
    with launcher, pytest.raises(ServerError, match="SIGKILL"):
        launcher.start(sanic, 1, tmp_path / "m", [0])
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or gone([psutil.Process(pid)])


def test_nothing_outlives_a_suite_that_is_killed(tmp_path):
    program = f"""
import sys, time
from pathlib import Path
from bench.launch import stacks
from bench.launch.local import Processes
from targets.catalogue.configurations import load
catalogue = load()
environment = stacks.ensure(catalogue.stacks["current"], print)
folder = Path({str(tmp_path)!r})
with Processes().open({{"current": environment}}, folder, print) as launcher:
    server = launcher.start(catalogue.get("sanic"), 1, folder / "m", [0])
    print("serving", flush=True)
    time.sleep(600)
"""
    suite = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while suite.stdout.readline() != "serving\n":
        assert suite.poll() is None
    tree = psutil.Process(suite.pid).children(recursive=True)
    assert len(tree) >= 3
    suite.kill()
    suite.communicate()
    assert gone(tree)


def test_a_tethered_program_does_not_start_without_its_parent():
    tether = ROOT / "bench" / "machine" / "tether.py"
    command = [sys.executable, str(tether), "15", "-", "-", str(os.getppid()), "0", "echo", "started"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S)
    assert done.returncode == 1 and done.stdout == ""
    assert "is gone" in done.stderr
    command[5] = str(os.getpid())
    assert subprocess.run(command, capture_output=True, text=True, timeout=LONG_S).stdout == "started\n"
