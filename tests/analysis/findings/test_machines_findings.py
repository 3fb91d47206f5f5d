"""Runs whose load came from other machines: their clocks, those that were lost, whose CPUs count."""

import json

import pytest

from analysis.cells import counters
from analysis.findings import machines, wire
from analysis.study import study
from bench.model.matching import unlike
from tests.fixtures.make_rotation import Rotating

STEADY = {"offset_ms": 0.2, "round_trip_ms": {"least": 0.3, "usual": 0.5, "most": 3.0}}
MACHINE = {
    "name": "a",
    "hostname": "there",
    "system": "Linux 6.1",
    "python": "3.13.0",
    "cpus": [0, 1, 2, 3],
    "processes": [1, 2],
    "lost": False,
}


def clock(offset_ms, least=0.3):
    return {"offset_ms": offset_ms, "round_trip_ms": {**STEADY["round_trip_ms"], "least": least}}


@pytest.fixture
def elsewhere(run):
    """Makes a run whose load came from another machine: `elsewhere(before, after, lost=False)`."""

    def make(before=STEADY, after=STEADY, *, lost=False, retransmitted=0):
        folder = run()
        path = folder / "run.json"
        reading = {"generator": "a", "window": {"start": 1, "end": 2}, "before": before, "after": after}
        told = {"machines": [{**MACHINE, "lost": lost}], "clocks": [reading]}
        network = {"namespace": False, "steered_to": None, "note": "generators of other machines"}
        document = json.loads(path.read_text())
        path.write_text(json.dumps({**document, "generators": told, "network": network}))
        for cell in folder.glob("*/*/*/*/cell.json"):
            record = json.loads(cell.read_text())
            if record["generator"] is None:
                continue
            of_cell = {"name": "a", "cpus": [0, 1, 2, 3], "processes": [1, 2], "requests": 5, "failures": 0}
            here = {"sent": 1000, "retransmitted": retransmitted}
            record["generator"] |= {"cpus": [], "processes": 2, "machines": [of_cell], "segments": here}
            cell.write_text(json.dumps(record))
        return study(folder)

    return make


def test_clocks_that_agree_are_no_finding_nor_is_a_loopback_device_that_has_no_load(elsewhere):
    made = elsewhere()
    assert made.found(machines.CLOCKS.name) == made.found(machines.LOST.name) == made.found("unsteered") == []


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (clock(-7.5), clock(-7.4), "a is 7.5 ms behind"),
        (clock(1.0), clock(3.5), "a moved by 2.5 ms during a load"),
        (clock(0.0, least=12.0), clock(0.0, least=12.0), "a is only known to ±6.0 ms"),
        (None, None, "a did not answer"),
    ],
)
def test_clocks_that_are_apart_are_told(elsewhere, before, after, words):
    (finding,) = elsewhere(before, after).found(machines.CLOCKS.name)
    assert words in finding.message and "not latencies" in finding.spoils


def test_slices_of_generators_whose_clocks_were_lost_count_for_nothing(run):
    folder = run(rotation=Rotating(), repeats=2)
    path = folder / "run.json"
    document = json.loads(path.read_text())
    windows = {}
    for each in sorted(folder.glob("*/*/*/*/cell.json")):
        windows[str(each.parent.relative_to(folder))] = json.loads(each.read_text())["window"]
    lost = next(iter(windows.values()))
    reading = {"generator": "a", "window": lost, "before": clock(0.0), "after": clock(2.5)}
    document["generators"] = {"machines": [MACHINE], "clocks": [reading]}
    path.write_text(json.dumps(document))
    told = study(folder)
    of_lost = told.results.finished["path"].map(windows.get).map(lambda window: window == lost)
    assert of_lost.any() and not of_lost.all()
    for figure in ("throughput", "cpu_us"):
        assert list(told.summary[figure].isna()) == list(of_lost)
    assert told.summary["p99_us"].notna().all()


def test_a_move_that_the_round_trips_explain_is_none(elsewhere):
    assert elsewhere(clock(0.0, least=4.0), clock(1.9, least=4.0)).found(machines.CLOCKS.name) == []


def test_the_way_of_each_generator_to_the_servers_is_noted(elsewhere):
    folder = elsewhere().results.directory
    path = folder / "run.json"
    document = json.loads(path.read_text())
    times = {"min": 90.0, "median": 120.0, "max": 300.0}
    way = {"host": "a", "address": "192.0.2.1", "mtu": 1400, "connect_us": times}
    document["generators"]["machines"][0]["wire"] = way
    path.write_text(json.dumps(document))
    (note,) = study(folder).found(wire.WIRE.name)
    assert note.message == (
        "the load comes from other machines: to open a connection takes 120 µs (90 to 300, packets have up "
        "to 1,400 bytes) from a"
    )


def test_that_the_way_of_one_that_was_started_by_hand_is_not_known_is_noted(elsewhere):
    (note,) = elsewhere().found(wire.WIRE.name)
    assert note.message == (
        "the load comes from other machines: from a, started by hand, it is not known what a connection to "
        "servers takes and carries; a message of the run takes 0.300 to 3.00 ms there and back"
    )


def test_a_lost_generator_is_named(elsewhere):
    (finding,) = elsewhere(lost=True).found(machines.LOST.name)
    assert finding.message == "a generator was lost during the run: a"


@pytest.mark.parametrize(("retransmitted", "count"), [(1, 0), (20, 1)])
def test_packets_that_were_lost_are_told(elsewhere, retransmitted, count):
    found = elsewhere(retransmitted=retransmitted).found(machines.RETRANSMITTED.name)
    assert [finding.message.startswith("up to 2.0% of what TCP sent") for finding in found] == [True] * count


def test_what_the_kernel_takes_for_the_network_is_told(elsewhere, monkeypatch):
    monkeypatch.setattr(wire, "SOFTIRQ_SHARE", 1.0)
    made = elsewhere()
    assert made.found(wire.SOFTIRQ.name) == []
    share = counters.softirq(made.results)
    assert share.notna().any() and (share.dropna() >= 0).all()
    monkeypatch.setattr(wire, "SOFTIRQ_SHARE", -1.0)
    found = study(made.results.directory).found(wire.SOFTIRQ.name)
    assert found and all("CPU time per request" in finding.spoils for finding in found)


def test_its_cpus_are_none_of_this_machine(elsewhere, run):
    made = elsewhere()
    finished = made.results.finished
    assert set(finished["generator_usable"]) == {2}  # two processes, on four CPUs
    here = study(run()).summary["generator_busy"]
    assert made.summary["generator_busy"].notna().all()
    assert made.summary["others"].notna().any() and len(here) == len(made.summary)


def test_runs_over_a_network_are_not_compared_with_others(elsewhere, run):
    one, other = study(run()).results.run, elsewhere().results.run
    assert "load from this machine and, over a network, from others" in list(unlike(one, other))
    assert "load from this machine and, over a network, from others" in list(unlike(one, other, setup=False))
