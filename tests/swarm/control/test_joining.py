"""What generators of other machines and a master say to each other first, and what each recorded."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from types import SimpleNamespace

import gevent
import numpy as np
import pytest

from swarm import generator as generators
from swarm.control.elsewhere.joining import (
    PORT,
    CannotJoinError,
    Generator,
    Hello,
    Process,
    Welcome,
    address_of,
    clock_here,
    why_too_many,
    why_unlike,
)
from swarm.control.process import PROJECT
from swarm.control.segments import ports, why_no_ports
from swarm.http.connection import AUTHORITY
from swarm.recording.apart import Apart
from swarm.recording.batch import LATENESS, SERVICE, Batch, rest_row
from swarm.recording.histogram import Histogram
from tests.patience import LONG_S

OWN = PROJECT / "locustfiles"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", ("10.0.0.1", PORT)),
        ("master.example:77", ("master.example", 77)),
        ("fe80::1", ("fe80::1", PORT)),
        ("[fe80::1]:77", ("fe80::1", 77)),
    ],
)
def test_addresses_of_a_master(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", ":77", "host:port"])
def test_what_is_no_address_is_named(text):
    with pytest.raises(CannotJoinError, match="not of the form HOST or HOST:PORT"):
        address_of(text)


def test_the_suites_own_scenarios_are_found_below_the_project():
    files = [str(OWN / "index.py"), str(OWN / "sleep.py")]
    welcome = Welcome.unpacked(Welcome.to(files, ["--tenant", "a"]).packed())
    assert not welcome.own and welcome.options == ["--tenant", "a"]
    assert welcome.own_names(None) == {file: file for file in files}


def test_scenarios_of_ones_own_are_found_in_a_copy_of_their_folder(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    for folder in (there, here):
        (folder / "deep").mkdir(parents=True)
        (folder / "one.py").write_text("one")
        (folder / "deep" / "two.py").write_text("two")
    files = [str(there / "one.py"), str(there / "deep" / "two.py")]
    welcome = Welcome.to(files, [])
    assert welcome.own
    found = welcome.own_names(here)
    assert found == {files[0]: str(here / "one.py"), files[1]: str(here / "deep" / "two.py")}

    with pytest.raises(
        CannotJoinError, match=r"one\.py, deep/two\.py.*copy their folder here.*--locustfiles"
    ):
        welcome.own_names(None)
    (here / "one.py").write_text("another")
    with pytest.raises(CannotJoinError, match=r"one\.py is not the same as the master's"):
        welcome.own_names(here)
    (here / "one.py").unlink()
    with pytest.raises(CannotJoinError, match=r"needs one\.py, and there is none"):
        welcome.own_names(here)


def test_the_authority_of_servers_that_speak_tls_comes_along(tmp_path, monkeypatch):
    pem = tmp_path / "authority.pem"
    pem.write_text("a certificate")
    monkeypatch.setenv(AUTHORITY, str(pem))
    welcome = Welcome.unpacked(Welcome.to([str(OWN / "index.py")], []).packed())
    monkeypatch.delenv(AUTHORITY)
    welcome.trust()
    assert Path(os.environ[AUTHORITY]).read_text() == "a certificate"
    assert Path(os.environ[AUTHORITY]).is_relative_to(f"/proc/{os.getpid()}/fd"), "nothing is left of it"
    monkeypatch.delenv(AUTHORITY)
    Welcome.to([str(OWN / "index.py")], []).trust()
    assert AUTHORITY not in os.environ


def test_who_speaks_otherwise_is_told_why():
    hello = vars(Hello.here("token", "a", 0, 1))
    assert why_unlike(hello) is None
    assert "another version" in why_unlike({**hello, "protocol": 0})
    assert "Locust 1.0" in why_unlike({**hello, "locust": "1.0"})


def generator(name, processes, **limits):
    hello = dataclasses.replace(Hello.here(name, name, 0, processes), **limits)
    return Generator(
        name, hello, 0.0, {number: Process(f"{name}{number}", number) for number in range(processes)}
    )


def test_more_users_than_a_machine_can_have_connections_are_told_in_a_line():
    there = [generator("one", 1, open_files=1000), generator("two", 2, open_files=None, ports=1500)]
    assert why_too_many(there, 1500, 1500) is None
    assert why_too_many(there, 3000, 1500).startswith(
        "one: a process of the load generator has 1,000 of the 3,000 users there, and may have 1,000 open "
    )
    assert why_too_many(there[1:], 3000, 1500) is None, "on two servers"
    why = why_too_many(there[1:], 3000, 3000)
    assert why.startswith(
        "two: 3,000 connections to one server need as many local ports, of which there are 1,500:"
    )
    assert "\n" not in why and why_no_ports(ports(), ports()) is None


def test_a_master_is_silent_only_to_who_listens(monkeypatch):
    monkeypatch.setattr(generators, "MASTER_SILENT_S", 0.2)
    monkeypatch.setattr(generators, "LISTEN_EVERY_S", 0.05)
    runner = SimpleNamespace(last_heartbeat_timestamp=time.time(), handle_message=lambda _: gevent.sleep(0.6))
    ended = generators.End()
    generators._watch_master(runner, ended)
    runner.handle_message(SimpleNamespace(type="stop"))
    assert not ended.ready()
    assert ended.get(timeout=LONG_S) == generators.GONE


def test_processes_of_one_machine_have_one_clock():
    assert clock_here() == clock_here() == Hello.here("t", "a", 0, 1).clock


def test_what_each_recorded_is_counted_apart_within_the_window():
    apart = Apart()
    for process, second, latencies in (
        ("a", 5, [100, 200]),
        ("b", 5, [300]),
        ("a", 6, [1] * 40),
        ("b", 9, [7]),
    ):
        batch = Batch()
        histogram = Histogram.of(np.array(latencies) * 1000)
        batch.add_histogram(second, "GET", "/", SERVICE, histogram)
        batch.add_histogram(second, "GET", "/", LATENESS, histogram)
        batch.failures.append(rest_row(second, "GET", "/", "refused", 3))
        apart.add(process, batch)
    a, b = (apart.figures([name], 5, 7) for name in "ab")
    assert (a["requests"], a["failures"], b["requests"], b["failures"]) == (42, 6, 1, 3)
    assert a["lateness_us"]["p50"] == 1.0 and a["lateness_us"]["max"] == pytest.approx(200, rel=1e-3)
    both = apart.figures(["a", "b"], 5, 7)
    assert both["requests"] == 43
    assert both["lateness_us"]["max"] == pytest.approx(300, rel=1e-3)
    assert apart.figures(["c"], 5, 7) == {"requests": 0, "failures": 0, "lateness_us": None}
    apart.clear()
    assert apart.figures(["a"], 5, 7)["requests"] == 0
