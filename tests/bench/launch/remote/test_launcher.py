"""Servers that an agent runs, over a stand-in for ssh: the "other machine" is this one, at its loopback."""

import csv
import os
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.experiment import networks
from bench.launch import workers as worker_events
from bench.launch.nullserver import NullServer
from bench.launch.proxy import as_it_comes, installed
from bench.launch.remote import link, reach
from bench.launch.remote.launcher import Remote
from bench.launch.remote.ssh import RemoteError
from bench.launch.remote.there import wire
from bench.launch.selection import choose_launcher
from bench.launch.server import Options, ServerError
from bench.model.errors import UsageError
from targets.catalogue.recycling import Recycling
from tests.bench.commands import gone
from tests.patience import wait_until

RECYCLED = Options(Recycling(1000, 10), True, 0.05, 0.1)


@pytest.fixture
def remote(machine, catalogue, tmp_path):
    """A launcher whose servers are there, entered."""
    environments = {"current": machine.environment(catalogue.stacks["current"])}
    with Remote(machine).open(environments, tmp_path, print) as launcher:
        yield launcher


def below(server):
    """The pids of a server's processes, which are of this machine."""
    return worker_events.living(server.directory)


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_server_there_is_metered_killed_and_gone(remote, catalogue, tmp_path):
    before = time.time()
    server = remote.start(catalogue.get("gunicorn-uvicorn"), 2, tmp_path / "m", [0], RECYCLED)
    assert server.url.startswith("http://127.0.0.1:20") and server.facts["max_requests"] == 1000
    assert server.running and server.failure() is None and before < server.facts["started"] < time.time()
    processes = [psutil.Process(pid) for pid in below(server)]
    assert len(processes) >= 3 and all(process.cpu_affinity() == [0] for process in processes)
    server.fetch()
    first = len(rows(server.directory / "processes.csv"))
    sampled = lambda: server.fetch() or len(rows(server.directory / "processes.csv"))  # noqa: E731
    wait_until(lambda: sampled() > first, "it is sampled")
    oldest = worker_events.oldest(worker_events.read(server.directory))
    moment = server.kill(oldest)
    assert before < moment < time.time()
    replaced = lambda: worker_events.replaced(worker_events.read(server.directory), 2, moment)  # noqa: E731
    wait_until(lambda: replaced() == 1, "the worker is replaced, and that is known here")
    with pytest.raises(ProcessLookupError):
        server.kill(oldest)
    processes = [psutil.Process(pid) for pid in below(server)]
    remote.stop(server)
    remote.settle()
    assert server.asked_to_end and server.ending().exit_status == 0 and gone(processes)
    assert rows(server.directory / "workers.csv")[-1]["event"] == "died"
    assert (server.directory / "requests.csv").read_text().startswith("time,")
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.skipif(installed("nginx") is None, reason="nginx is not installed")
def test_a_proxy_here_leads_to_servers_there_and_to_their_second_copies(remote, catalogue, tmp_path):
    remote.proxy_address = "127.0.0.2"
    remote.certify(tmp_path / "tls")
    nginx = as_it_comes("nginx", [max(os.sched_getaffinity(0))], 8, remote.find_proxy)
    options = Options(deploys=True, swapped=True, proxy=replace(nginx, tls=True))
    server = remote.start(catalogue.get("sanic-single"), 1, tmp_path / "m", [0], options)
    assert server.facts["url"].startswith("http://127.0.0.1:20") and server.front.failure() is None
    assert server.url.startswith("https://127.0.0.2:")
    server.deploy()
    wait_until(lambda: server.standby is not None, "the second copy answers, and that is known here")
    assert server.standby.startswith("http://127.0.0.1:20") and server.standby != server.facts["url"]
    server.front.lead_to(server.standby)
    proxy = psutil.Process(server.front.program.child.pid)
    remote.stop(server)
    remote.settle()
    assert gone([proxy])


def test_what_does_not_start_says_why(remote, entries, catalogue, tmp_path):
    with pytest.raises(ServerError, match="nobody did not start \\(exit status 2\\): "):
        remote.start(entries("nobody")["nobody"], 1, tmp_path / "m", [0])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # A port that somebody has is left out.
        remote._ports = iter([taken.getsockname()[1], 20999])
        assert remote.start(catalogue.get("sanic-single"), 1, tmp_path / "n", [0]).url.endswith(":20999")


def test_programs_run_there_with_variables_that_nobody_sees(remote):
    remote.variables["SECRET"] = "hush"
    done = remote.once("current", ["-c", "import os, sys; print(os.environ['SECRET']); sys.exit(7)"])
    assert (done.returncode, done.stdout) == (7, "hush\n")
    with pytest.raises(subprocess.TimeoutExpired):
        remote.once("current", ["-c", "import time; print('begun', flush=True); time.sleep(600)"], 0.5)


def test_the_null_server_is_where_servers_are(remote, catalogue, tmp_path):
    real = remote.start(catalogue.get("sanic-single"), 1, tmp_path / "m", [0])
    with NullServer(remote, real.url, 0, tmp_path / "null.log") as null:
        address = ("127.0.0.1", int(null.url.rpartition(":")[2]))
        with socket.create_connection(address) as client:
            client.sendall(b"GET /whoami HTTP/1.1\r\nhost: here\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert null.last_asked() is not None and null.cpu_s() >= 0 and null.failure() is None

    def refuses():
        try:
            socket.create_connection(address).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refuses, "it is gone")


def test_servers_there_speak_tls_and_their_clocks_are_read_at_moments(remote, catalogue, tmp_path):
    tls = next(each for each in catalogue.configurations.values() if each.tls and each.stack == "current")
    remote.certify(tmp_path / "tls")
    server = remote.start(tls, 1, tmp_path / "m", [0])
    assert server.url.startswith("https://127.0.0.1:20")
    now = time.time()
    moments = [now - 1.0, now + 0.3, now + 0.4]
    found = remote.read_clocks({"one": server}, moments)
    readings = wait_until(found, "all is read")
    assert len(readings) == 2 and found() is None
    (first, before), (last, after) = readings
    assert moments[1] - 0.01 < first < last and 0 < before["one"] <= after["one"]


def test_a_network_that_lets_nobody_through_is_told(machine, monkeypatch):
    def refused(*_):
        raise TimeoutError("timed out")

    monkeypatch.setattr(wire.socket, "create_connection", refused)
    with (
        reach.there(machine.link, "127.0.0.1", iter([20500])) as listening,
        pytest.raises(RemoteError, match=r"^there: what listens at 127.0.0.1:20500 there is not reached"),
    ):
        reach.measure(listening)
    with (
        pytest.raises(RemoteError, match=r"^there: nothing can listen at 192.0.2.9 there: "),
        reach.there(machine.link, "192.0.2.9", iter([20500])),
    ):
        pass


def test_a_run_records_what_is_between(remote):
    between = remote.network["wire"]
    assert (between["host"], between["address"]) == ("there", "127.0.0.1") and between["mtu"] >= 1280
    times = between["connect_us"]
    assert 0 < times["min"] <= times["median"] <= times["max"]
    assert min(between["raw"].values()) > 0
    assert abs(between["clock"]["ahead_ms"]) <= between["clock"]["uncertain_ms"] < 1000
    assert networks.shown(remote.network).startswith("to there (127.0.0.1), a connection takes ")
    read = remote.read_clock()
    assert abs(read["offset_ms"]) <= read["round_trip_ms"]["least"] / 2 <= read["round_trip_ms"]["most"]
    assert remote.server_host["cpus"] == remote.server_cpus == len(os.sched_getaffinity(0))


def test_all_of_that_machine_is_the_servers(remote, machine, monkeypatch):
    monkeypatch.setitem(machine.facts, "usable", [0, 1, 2, 3])
    monkeypatch.setitem(machine.facts, "quota", None)
    monkeypatch.setitem(machine.facts, "cores", ["0,2", "1,3", "0,2", "1,3"])
    said = []
    split = remote.split(3, said.append)
    assert split.server == (0, 1, 2) and remote._own_cpus == (3,)
    # It is the machine of the generator.
    assert not split.trusted
    assert said == ["note: there is this machine: its servers run on the generator's CPUs"]
    monkeypatch.setitem(machine.facts, "boot", "another")
    split = remote.split(8, said.append)
    assert split.server == (0, 1, 2, 3) == remote._own_cpus and split.trusted and split.note is None
    monkeypatch.setitem(machine.facts, "quota", 2.5)
    assert remote.split(8, said.append).server == (0, 1)


def test_another_launcher_does_not_go_with_it():
    with pytest.raises(UsageError, match="leave out --launcher compose"):
        choose_launcher("compose", server="there")
    with pytest.raises(UsageError, match="--server user@host"):
        choose_launcher("ssh")


# -- What ends without having been asked to; each leaves nothing


def test_an_agent_takes_its_servers_with_it_killed_or_left_alone(remote, machine, catalogue, tmp_path):
    server = remote.start(catalogue.get("sanic"), 1, tmp_path / "m", [0])
    processes = [psutil.Process(pid) for pid in below(server)]
    serve = processes[0].parent()
    left = [Path(machine.link.hello["scratch"]), Path(serve.environ()["TMPDIR"])]
    serve.parent().kill()
    assert gone([serve, *processes]) and all(folder.exists() for folder in left)
    wait_until(lambda: not server.running, "the loss is noticed")
    assert server.failure().startswith("the server ended by itself (there: the connection was lost")
    assert remote.read_clock() is None
    assert server.ending() is None and not server.asked_to_end
    server.fetch()
    again = remote.start(catalogue.get("sanic-single"), 1, tmp_path / "n", [0])
    assert again.running and again.failure() is None
    assert not any(folder.exists() for folder in left), "the next agent removes it"
    processes = [psutil.Process(pid) for pid in below(again)]
    machine.close()  # its input ends, as it does when this process is killed
    assert gone(processes)


def test_an_agent_that_is_frozen_is_killed_when_nobody_needs_it_any_more(
    remote, machine, catalogue, tmp_path, monkeypatch
):
    server = remote.start(catalogue.get("sanic-single"), 1, tmp_path / "m", [0])
    processes = [psutil.Process(pid) for pid in below(server)]
    agent = processes[0].parent().parent()
    assert agent.pid == machine.link.hello["pid"]
    scratch = Path(machine.link.hello["scratch"])
    agent.suspend()
    with monkeypatch.context() as hasty:
        hasty.setattr(link, "_CLOSE_S", 0.5)
        machine.close()
    assert gone([agent, *processes]) and scratch.exists()
    assert machine.link.lost is None and not scratch.exists(), "the next agent removes it"
