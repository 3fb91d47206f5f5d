"""Generators that the suite starts itself, over a stand-in for ssh: each "other machine" is this one."""

import contextlib
import os
import socket
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from bench.experiment.generator.generators import Gathering, Generators, gathering
from bench.launch.local import Processes
from bench.launch.remote import fleet as fleets
from bench.launch.remote import reach
from bench.launch.remote.fleet import Fleet
from bench.launch.remote.ssh import RemoteError
from bench.launch.remote.there import wire
from bench.machine import host
from bench.machine.cpus import split_here
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT
from bench.model.plans import plan as plans
from bench.model.plans.generators import GeneratorsTable
from bench.model.plans.narrowing import narrow
from tests.bench.commands import gone, told
from tests.patience import wait_until
from tests.ports import free_port

SMOKE = plans.load("smoke")
INDEX = [ROOT / "locustfiles" / "index.py"]
NOBODY = "127.0.0.1:1"


@pytest.fixture
def fleet(machine):
    """One generator, on the machine "there"."""
    made = Fleet({"there": machine})
    made.equip(INDEX, None, 8)
    return made


def started():
    """The generators that run now, below this process."""
    return [each for each in psutil.Process().children(recursive=True) if "swarm.generator" in each.cmdline()]


# -- What is asked for


def test_machines_are_counted_and_others_may_join_them():
    narrowed = narrow(SMOKE, {"generators": {"machines": ["me@a", "b:22"]}}).generators
    assert narrowed == GeneratorsTable(machines=["me@a", "b:22"], expected=2, lost="end")
    plan = narrow(SMOKE, {"generators": {"machines": ["a"], "expected": 3}})
    assert plan.generators.expected == 3
    assert narrow(plan, {"generators": {"machines": ["a", "b"]}}).generators.expected == 2
    assert narrow(plan, {"generators": {"lost": "go on"}}).generators.machines == ["a"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--generators", "a,a"], "each is named once"),
        (["--generators", "a,b", "--expect-generators", "1"], "2 are named already"),
        (["--generators", "a b:0"], '"b:0" is no machine to reach by ssh: write user@host'),
    ],
)
def test_what_cannot_be_is_said(arguments, words, tmp_path):
    done = told("run", "--plan", "smoke", "--results", str(tmp_path), *arguments)
    assert done.exit_code != 0 and words in done.stderr


def test_a_machine_that_is_not_reached_is_one_line_that_names_it(fake_ssh, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_SSH_SAYS", "Host key verification failed.")
    done = told("run", "--plan", "smoke", "--results", str(tmp_path), "--generators", "me@there")
    assert done.exit_code == 1
    told_of = "me@there: the host key of there is not known here: once, `ssh me@there`"
    assert done.stderr.strip().endswith(told_of)


# -- Where they meet


def test_the_master_is_where_all_have_been_reached_from(machine, monkeypatch):
    monkeypatch.setitem(machine.facts, "client", "127.0.0.1")
    port = free_port()
    plan = narrow(SMOKE, {"generators": {"machines": ["there"]}})
    monkeypatch.setattr(fleets, "Machine", lambda *_: machine)
    launcher = Processes()
    assert gathering(plan, f"127.0.0.1:{port}", launcher).where == f"127.0.0.1:{port}"
    assert Fleet({"there": machine}).address == launcher.address == "127.0.0.1"
    with socket.create_server(("127.0.0.1", port)), pytest.raises(RemoteError, match="in use; name one of"):
        gathering(plan, f"127.0.0.1:{port}", launcher)
    other = type("Machine", (), {"facts": {"client": "192.0.2.7"}})
    with pytest.raises(UsageError, match=r"127.0.0.1 by there, 192.0.2.7 by other.*ADDRESS="):
        _ = Fleet({"there": machine, "other": other}).address


def test_a_blocked_port_is_one_line_that_says_between_whom(fleet, machine):
    shut = reach.Listening("this machine", "127.0.0.1", free_port())
    with pytest.raises(RemoteError) as caught:
        fleet.check_way(shut)
    assert str(caught.value).startswith(f"there: what listens at 127.0.0.1:{shut.port} (this machine) is not")
    assert "Connection refused" in str(caught.value) and "\n" not in str(caught.value)


def test_their_way_to_the_servers_is_measured(fleet):
    with reach.here("127.0.0.1") as listening:
        found = fleet.measure(listening)["there"]
    assert (found["host"], found["address"]) == ("there", "127.0.0.1") and found["mtu"] >= 1280
    assert found["connect_us"]["min"] > 0 and min(found["raw"].values()) > 0


def test_what_listens_takes_no_more_when_it_is_closed():
    with wire.Listener("127.0.0.1") as listener:
        assert len(wire.connect("127.0.0.1", listener.port)["times_s"]) == wire.CONNECTS
    with pytest.raises(ConnectionRefusedError):
        wire.transfer("127.0.0.1", listener.port)


class Fickle(wire.Listener):
    """Takes connections, and ends each that wants bytes when it has given a few."""

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    if connection.recv(1):
                        connection.sendall(b"a few")


def test_a_transfer_that_is_cut_off_is_one_line_and_no_slow_network(fleet):
    with Fickle("127.0.0.1") as listener:
        listening = reach.Listening("this machine", "127.0.0.1", listener.port)
        with pytest.raises(ConnectionAbortedError, match="the other side ended the connection"):
            wire.transfer("127.0.0.1", listener.port)
        for measured, machine in ((reach.measure, "this machine"), (fleet.measure, "there")):
            with pytest.raises(RemoteError) as caught:
                measured(listening)
            said = f"{machine}: a transfer with 127.0.0.1:{listener.port} (this machine) was cut off ("
            assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


def test_cpus_that_are_the_servers_as_well_are_told(fleet):
    said = []
    plan = narrow(SMOKE, {"generators": {"machines": ["there"]}})
    split = replace(split_here(1), server=tuple(sorted(os.sched_getaffinity(0))), trusted=True)
    found = Gathering(plan.generators, NOBODY, fleet).beside(split, Processes(), said.append)
    assert not found.trusted and said == [f"note: {found.note}"] and found.note.endswith(": there")
    assert fleet.on("another", split.server) == [] != fleet.on(host.boot(), split.server)


# -- What is there


def test_what_is_needed_is_there_with_scenarios_of_ones_own(machine, tmp_path):
    (tmp_path / "mine.py").write_text("import beside\n")
    (tmp_path / "beside.py").write_text("")
    fleet = Fleet({"there": machine})
    fleet.equip([tmp_path / "mine.py"], None, 8)
    outfit = fleet._outfits["there"]
    assert {path.name for path in Path(outfit.home).iterdir()} == {"mine.py", "beside.py"}
    assert (Path(outfit.suite) / "swarm" / "generator.py").is_file()
    fleet.equip(INDEX, None, 8)
    outfit = fleet._outfits["there"]
    assert outfit.home is None and (Path(outfit.suite) / "locustfiles" / "index.py").is_file()


def test_packages_of_ones_own_are_another_environment(tmp_path):
    packages = tmp_path / "load.txt"
    packages.write_text("idna\n")
    assert fleets.environment_name(packages) != fleets.environment_name(None)


def test_more_connections_than_a_process_may_have_there_are_told(machine, monkeypatch):
    monkeypatch.setitem(machine.facts, "open_files", 1024)
    monkeypatch.setitem(machine.facts, "usable", [0])
    with pytest.raises(RemoteError, match=r"^there: a process may have 1024 files open there, 10\d+ are"):
        Fleet({"there": machine}).equip(INDEX, None, 10_000)


# -- What is left of it


def test_nothing_is_left_of_one_that_waited_in_vain(fleet, tmp_path):
    with fleet.at_work(NOBODY, {"SECRET": "hush"}, tmp_path, 600.0):
        waiting = wait_until(started, "it runs")
        assert fleet.why_gone("there") is None
        fleet.end(["there"])
        assert gone(waiting)
    assert (tmp_path / "generator-there.log").exists()


def test_one_that_cannot_take_part_ends_the_wait_in_its_own_words(fleet, tmp_path):
    table = GeneratorsTable(machines=["there"], expected=1)
    generators = Generators(table, "127.0.0.1:http", None, print, fleet)
    with generators.at_work(Processes().open({}, tmp_path, print), tmp_path):
        why = wait_until(lambda: fleet.why_gone("there"), "it has ended")
        assert why.startswith("there: the generator there has ended (status 1)\n")
        with pytest.raises(UserError, match=r"--master 127\.0\.0\.1:http: not of the form HOST"):
            generators.check_started()
        assert generators.lose(["there"]) == " (there: the generator there has ended (status 1))"
        generators.check_started()
    assert generators._wires["there"]["raw"]["to_bytes_per_s"] > 0
