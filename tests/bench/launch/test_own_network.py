"""Servers and programs of a run in a network of its own, and what is recorded where there can be none."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.cli import doctor
from bench.launch import network as launch_network
from bench.launch.databases import postgres
from bench.launch.local import Processes
from bench.launch.network import Wanted
from bench.launch.server import ServerError
from bench.machine import loopback, network
from bench.machine.processes import spawn
from tests.databases import programs
from tests.patience import LONG_S

CPU = sorted(os.sched_getaffinity(0))[-1]
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1] + '/whoami').read().decode())"


@pytest.fixture
def root():
    if os.geteuid() != 0:
        pytest.skip("network namespaces and steering need root")


@pytest.fixture
def unprivileged(monkeypatch):
    def refused(_cpus):
        raise network.NoNamespaceError("that needs root: run as root (sudo)")

    monkeypatch.setattr(network, "_make", refused)


def test_servers_and_programs_meet_where_this_process_is_not(root, tmp_path, current, catalogue):
    wanted = Wanted((CPU,))
    launcher = Processes().open({"current": current}, tmp_path, print, network=wanted)
    with launcher:
        facts = {"namespace": True, "steered_to": [CPU], "note": None, "sysctls": loopback.sysctls()}
        assert launcher.network == facts
        server = launcher.start(catalogue.get("sanic"), 1, tmp_path / "m", [0])
        theirs = Path(f"/proc/{server.facts['pid']}/ns/net").readlink()
        assert theirs != Path("/proc/self/ns/net").readlink()
        program = launcher.start_program(["-c", ASK, server.url], [0], stdout=subprocess.PIPE)
        said, _ = program.communicate(timeout=LONG_S)
        assert b'"sanic"' in said
        done = launcher.once("current", ["-c", ASK, server.url])
        assert done.returncode == 0 and '"sanic"' in done.stdout
        assert subprocess.run(["python3", "-c", ASK, server.url], capture_output=True).returncode != 0
    assert launcher.namespace is None
    with launcher.open({}, tmp_path, print):
        assert launcher.network is None and launcher.namespace is None


READ = "print(open('/proc/sys/net/ipv4/tcp_migrate_req').read())"


def test_its_sysctls_are_set_for_a_server_and_put_back_for_the_next(root, tmp_path, current):
    before = loopback.sysctls()
    if loopback.MIGRATE not in before:
        pytest.skip("this kernel has no tcp_migrate_req")
    launcher = Processes().open({"current": current}, tmp_path, print, network=Wanted((CPU,)))
    with launcher:
        told = []
        other = 1 - before[loopback.MIGRATE]
        for sysctls in ({loopback.MIGRATE: other}, {loopback.MIGRATE: other}, {}, {}):
            launcher.set_sysctls(sysctls)
            told.append(int(launcher.once("current", ["-c", READ]).stdout))
        assert told == [other, other, before[loopback.MIGRATE], before[loopback.MIGRATE]]
        with pytest.raises(ServerError, match=r"net\.ipv4\.no_such cannot be set: No such file"):
            launcher.set_sysctls({"net.ipv4.no_such": 1})
    assert loopback.sysctls() == before


def test_elsewhere_they_cannot_be_set(unprivileged, tmp_path):
    with Processes().open({}, tmp_path, print, network=Wanted((CPU,))) as launcher:
        launcher.set_sysctls({})
        with pytest.raises(ServerError, match="tcp_migrate_req is set in a network of the run's own"):
            launcher.set_sysctls({loopback.MIGRATE: 1})


def test_a_server_that_fails_there_says_so(root, tmp_path, current, entries):
    launcher = Processes().open({"current": current}, tmp_path, print, network=Wanted((CPU,)))
    with launcher, pytest.raises(ServerError, match="nobody did not start"):
        launcher.start(entries("nobody")["nobody"], 1, tmp_path / "m", [0])


def test_the_private_database_is_there_too(root, tmp_path):
    with (
        network.namespace([CPU]) as made,
        postgres.private(programs(), tmp_path, [CPU], made.path) as server,
    ):
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        connect = [sys.executable, "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}))"]
        assert spawn(connect, [CPU], network=made.path).wait() == 0
        assert spawn(connect, [CPU]).wait() == 1


def test_where_there_can_be_none_the_run_goes_on_and_says_why(unprivileged, tmp_path, monkeypatch):
    device = tmp_path / "rps_cpus"
    device.write_text("0")
    monkeypatch.setattr(loopback, "STEERING", device)
    with Processes().open({}, tmp_path, print, network=Wanted((CPU,))) as launcher:
        facts = launcher.network
        assert launcher.namespace is None and not facts["namespace"] and facts["steered_to"] is None
        assert "needs root: run as root" in facts["note"] and f"sudo tee {device}" in facts["note"]


@pytest.mark.parametrize(
    ("value", "cpus", "steered"), [("2", (1,), [1]), ("3", (1,), None), ("0", (1,), None)]
)
def test_a_device_that_somebody_has_steered_is_recorded_as_it_is(tmp_path, monkeypatch, value, cpus, steered):
    device = tmp_path / "rps_cpus"
    device.write_text(value)
    monkeypatch.setattr(loopback, "STEERING", device)
    with ExitStack() as stack:
        joined = launch_network.enter(Wanted(cpus, own=False, because="as asked"), stack)
    assert joined.facts["steered_to"] == steered and (joined.facts["note"] is None) == bool(steered)


def test_the_doctor_says_whether_a_run_is_steered(root):
    check = doctor._network()
    assert check.state == "ok" and "a run has one of its own, steered to CPUs" in check.found


def test_the_doctor_says_how_to_allow_it(unprivileged, tmp_path, monkeypatch):
    monkeypatch.setattr(loopback, "STEERING", tmp_path / "none")
    check = doctor._network()
    assert check.state == "warn" and "not steered" in check.found and "run as root" in check.advice


def test_a_network_of_ones_own_is_left_as_it_is_if_asked(root):
    with ExitStack() as stack:
        joined = launch_network.enter(Wanted((CPU,), steered=False), stack)
        note = "it is not steered, as asked"
        facts = {"namespace": True, "steered_to": None, "note": note, "sysctls": loopback.sysctls()}
        assert joined.facts == facts
        assert joined.path is not None
