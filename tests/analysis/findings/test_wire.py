"""Runs whose servers were on another machine: what is told of it, and what they are compared with."""

import json
import shutil

import pandas as pd
import pytest

from analysis.cells import sittings
from analysis.compare import UnlikeError, compare
from analysis.findings import wire
from analysis.reading import results
from analysis.report.facts import facts
from analysis.study import study
from bench.experiment import networks
from bench.model import matching

OTHER = {"hostname": "there", "machine_id": "2", "cpu": "Big CPU", "cpus": 16, "memory_bytes": None}
CLOCK = {"ahead_ms": 120.0, "uncertain_ms": 0.1, "moved_ms": 0.2, "round_trip_us": 300.0}
CONNECT = {"min": 90.0, "median": 100.0, "max": 1000.0}


def read(offset_ms=0.0, least=0.2):
    return {"offset_ms": offset_ms, "round_trip_ms": {"least": least, "usual": 0.5, "most": 9.0}}


def around(window, before, after):
    return {"window": window, "before": before, "after": after}


@pytest.fixture
def over_wire(run):
    """A run with its servers on another machine, whose clock is such."""

    def make(folder=None, clocks=(), **clock):
        folder = folder or run()
        path = folder / "run.json"
        document = json.loads(path.read_text())
        between = {"host": "me@there", "address": "192.0.2.2", "mtu": 1500, "connect_us": CONNECT}
        document["server_host"] = {**document["host"], **OTHER}
        document["launcher"] = "ssh"
        document["network"] = {
            "namespace": False,
            "steered_to": None,
            "note": None,
            "sysctls": {},
            "wire": {**between, "clock": {**CLOCK, **clock}, "clocks": list(clocks)},
        }
        path.write_text(json.dumps(document))
        for host in folder.glob("*/*/*/*/host.csv"):
            shutil.copy(host, host.with_name("server_host.csv"))
        return folder

    return make


def kinds(folder):
    return {finding.kind: finding for finding in study(folder).findings}


def test_that_latencies_hold_the_network_is_noted(over_wire):
    found = kinds(over_wire())
    noted = found[wire.WIRE.name]
    assert noted.severity == "note" and noted.message.endswith(
        "me@there: to open a connection takes 100 µs (90 to 1,000, packets have up to 1,500 bytes)"
    )
    assert wire.CLOCKS.name not in found and "unsteered" not in found


@pytest.mark.parametrize("clock", [{"uncertain_ms": 6.0}, {"moved_ms": 5.5}])
def test_a_clock_that_is_not_known_well_is_told(over_wire, clock):
    folder = over_wire(**clock)
    finding = kinds(folder)[wire.CLOCKS.name]
    assert finding.severity == "warning" and "CPU time per request" in finding.spoils
    told = study(folder)
    assert told.summary["cpu_us"].isna().all() and told.summary["throughput"].notna().all()
    assert told.verdict.tables and all(
        row.ratio is None for table in told.verdict.tables for row in table.rows
    )


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (read(), read(1.5), "moved by 1.5 ms during a load"),
        (read(least=11.0), read(least=11.0), "is only known to ±5.5 ms"),
        (None, None, "did not answer"),
    ],
)
def test_a_clock_that_is_lost_in_one_load_costs_that_one_its_cpu_time(run, over_wire, before, after, words):
    folder = run()
    windows = {}
    for path in sorted(folder.glob("*/*/*/*/cell.json")):
        record = json.loads(path.read_text())
        if record["window"] is not None:
            windows[str(path.parent.relative_to(folder))] = record["window"]
    (bad, lost), *others = windows.items()
    kept = [around(each, read(40.0), read(40.1)) for _, each in others if each != lost]
    # What it moved by over all loads is no matter, nor how far it is off: times are corrected by that.
    told = study(over_wire(folder, [around(lost, before, after), *kept], moved_ms=50.0))
    of_lost = told.results.finished["path"].map(windows.get).map(lambda window: window == lost)
    assert of_lost.any() and not of_lost.all() and set(told.results.finished["path"][of_lost]) >= {bad}
    assert list(told.summary["cpu_us"].isna()) == list(of_lost)
    (finding,) = told.found(wire.CLOCKS.name)
    assert f"the clock of the servers' machine {words}" in finding.message


def test_the_cpus_of_both_machines_are_looked_at_each_by_its_own_times(run, over_wire):
    """They may have the same numbers: server and generator are on CPUs 0 and 1 in either case."""
    folder = run(steal=0.2)
    before = study(folder).summary
    after = study(over_wire(folder)).summary
    for figure in ("steal", "others", "busy", "cpu_us", "throughput"):
        pd.testing.assert_series_equal(after[figure], before[figure])
    for host in folder.glob("*/*/*/*/server_host.csv"):
        host.write_text("".join(line for line in host.open() if line.split(",")[1] != "1"))
    assert study(folder).summary["steal"].equals(after["steal"])
    for host in folder.glob("*/*/*/*/host.csv"):
        host.write_text("".join(line for line in host.open() if line.split(",")[1] != "1"))
    assert study(folder).summary["steal"].isna().all()


def test_what_the_network_takes_of_the_servers_machine_is_told(over_wire):
    folder = over_wire()

    def with_share(share):
        for path in folder.glob("*/*/*/*/server_host.csv"):
            host = pd.read_csv(path)
            passed = host["time"] - host["time"].min()
            path.write_text(host.assign(irq_s=0.0, softirq_s=share * passed).to_csv(index=False))
        return kinds(folder).get(wire.SOFTIRQ.name)

    assert with_share(0.02) is None
    assert "up to 10% of the servers' CPUs" in with_share(0.1).message


@pytest.mark.parametrize(("in_bytes", "told"), [(70_000_000, None), (90_000_000, "90% of what it can")])
def test_a_network_that_carries_what_it_can_is_told(over_wire, in_bytes, told):
    folder = over_wire()
    path = folder / "run.json"
    document = json.loads(path.read_text())
    document["network"]["wire"]["raw"] = {"from_bytes_per_s": 5e7, "to_bytes_per_s": 1e9}
    path.write_text(json.dumps(document))
    for cell in folder.glob("*/*/*/*/cell.json"):
        record = json.loads(cell.read_text())
        if record["generator"] is not None:
            carried = {"in_bytes": in_bytes, "out_bytes": 1, "seconds": 2.0}
            record["generator"]["segments"] = {"sent": 1, "retransmitted": 0, **carried}
            cell.write_text(json.dumps(record))
    found = kinds(folder).get(wire.LIMIT.name)
    assert (found is None) if told is None else (told in found.message and found.configurations)


def test_packets_that_the_servers_machine_sent_again_are_told(over_wire):
    folder = over_wire()
    for path in folder.glob("*/*/*/*/cell.json"):
        record = json.loads(path.read_text())
        if record["server"] is not None:
            record["server"]["segments"] = {"sent": 1000, "retransmitted": 30}
            path.write_text(json.dumps(record))
    assert kinds(folder)["retransmitted"].message.startswith("up to 3.0% of what TCP sent was sent again")


def test_both_machines_and_the_way_are_named(over_wire):
    loaded = results.load(over_wire())
    told = facts(loaded.run, loaded.cells)
    assert told["Servers on"].startswith("there: Big CPU, 16 CPUs") and "there" not in told["Machine"]
    assert told["Network"].startswith("To servers on another machine, me@there (192.0.2.2)")
    assert sittings.network(loaded.run).endswith("100 µs.")


def test_runs_over_a_network_and_over_loopback_are_compared_only_if_told(run, over_wire, tmp_path):
    here = run()
    there = over_wire(shutil.copytree(here, tmp_path / "there"))
    with pytest.raises(UnlikeError, match="servers on this machine and, over a network, on another"):
        compare(here, there)
    one, other = (results.load(folder).run for folder in (here, there))
    assert list(matching.unlike(one, other, setup=False))
    again = over_wire(shutil.copytree(here, tmp_path / "again"))
    assert compare(there, again).unlike == ()


def test_a_run_goes_on_with_the_same_machine_only():
    network = {"namespace": False, "steered_to": None}
    there = network | {"wire": {"address": "192.0.2.2", "host": "there", "connect_us": CONNECT}}
    moved = network | {"wire": {**there["wire"], "address": "192.0.2.3"}}
    assert matching.same_network(there, there) and not matching.same_network(there, network)
    assert not matching.same_network(there, moved)
    assert "100 µs" in networks.shown(there)
