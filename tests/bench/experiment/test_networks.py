"""Which network a run gets, and that it does not go on in another."""

import pytest

from bench.experiment import networks
from bench.experiment.networks import Asked
from bench.launch.databases.database import Given
from bench.machine import cpus
from bench.model.errors import UsageError, UserError
from bench.model.plans.deployed import Deployed
from bench.model.plans.own_app import OwnApp

SPLIT = cpus.split([0, 1], None, 1, {})
OWN = {"namespace": True, "steered_to": [1], "note": None}
HOST = {"namespace": False, "steered_to": None, "note": "because"}


@pytest.fixture
def wanted(make_plan):
    def ask(launcher="processes", source=None, **keys):
        asked = {key: keys.pop(key) for key in ("network", "steer_host", "port") if key in keys}
        plan = make_plan("sanic").model_copy(update=keys)
        return networks.wanted(plan, launcher, SPLIT, source, Asked(**asked))

    return ask


def test_a_run_has_a_network_of_its_own_unless_it_needs_something_outside(wanted):
    app = OwnApp(app="a:b", folder=".")
    assert wanted().own and wanted().cpus == (1,) and wanted(launcher="compose").own
    for keys in (
        {"own_app": app},
        {"source": Given("postgresql://x")},
        {"port": 8000},
        {"network": "host"},
    ):
        found = wanted(**keys)
        assert not found.own and found.because and not found.steer_host
    assert wanted(own_app=app, network="own").own
    assert wanted(source=Given("postgresql://x"), network="own").own


def test_the_hosts_device_is_steered_only_if_asked(wanted):
    for keys in ({}, {"own_app": OwnApp(app="a:b", folder=".")}):
        found = wanted(steer_host=True, **keys)
        assert found.steer_host and not found.own


def test_a_server_that_runs_already_has_no_network_of_ours(wanted):
    assert wanted(launcher="external", external=Deployed(url="http://127.0.0.1:1")) is None


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"network": "mine"}, "network"),
        ({"network": "own", "port": 8000}, "--port is of this machine's own network"),
        ({"network": "own", "steer_host": True}, "--steer-host-loopback"),
        ({"launcher": "compose", "steer_host": True}, "for local processes, the launcher is compose"),
        ({"launcher": "compose", "network": "host"}, "--network"),
    ],
)
def test_what_contradicts_itself_is_said(wanted, keys, words):
    with pytest.raises(UsageError, match=words):
        wanted(**keys)


def test_it_is_recorded_and_said():
    record, said = {"network": None}, []
    networks.note(HOST, record, said.append)
    assert record["network"] == HOST
    assert said == ["network: this machine's, not steered (because)"]
    networks.note(HOST | {"note": "in other words"}, record, said.append)
    assert record["network"]["note"] == "in other words"


def test_a_run_does_not_go_on_in_another_network():
    with pytest.raises(
        UserError, match=r"begun in another network: one of the run's own, steered to CPUs \[1\]"
    ):
        networks.note(HOST, {"network": dict(OWN)}, print)


def test_what_has_no_network_records_none():
    record = {"network": None}
    networks.note(None, record, print)
    assert record["network"] is None
    assert networks.clocks(None) == [] and networks.with_clocks(None, []) is None


def test_clocks_are_kept_with_the_way_to_another_machine():
    read, later = ({"window": {"start": at, "end": at + 1}, "before": None, "after": None} for at in (1, 5))
    there = HOST | {"wire": {"address": "192.0.2.2"}}
    first = networks.with_clocks(there, [read])
    assert networks.clocks(there) == [] and networks.clocks(first) == [read]
    both = networks.with_clocks(there, [*networks.clocks(first), later])
    assert networks.clocks(both) == [read, later] and both | {"wire": there["wire"]} == there
    assert networks.with_clocks(HOST, [read]) == HOST and networks.clocks(HOST) == []
