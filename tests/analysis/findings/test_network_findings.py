"""What the network of a run does to backlogs, and to replaced workers that listen on sockets of their own."""

import json

import pytest

from analysis.findings import network
from analysis.study import study
from bench.machine import loopback
from tests.fixtures.make_recycling import Story, generation, make_recycling

EVEN = generation(11, 1.0)


def found(folder, **sysctls):
    """The findings of `network` where the run's network had these sysctls; none are known without them."""
    path = folder / "run.json"
    run = json.loads(path.read_text())
    facts = {"namespace": True, "steered_to": [1], "note": None, "sysctls": sysctls}
    run["network"] = facts if sysctls else None
    path.write_text(json.dumps(run))
    kinds = (network.CAPPED.name, network.QUEUE_LOST.name)
    return [finding for finding in study(folder).findings if finding.kind in kinds]


def test_a_backlog_that_the_kernel_does_not_grant_is_told(run):
    folder = run()
    (finding,) = found(folder, **{network.SOMAXCONN: 128})
    assert finding.severity == "note"
    assert (
        finding.message
        == "net.core.somaxconn is 128, which caps the backlog of sanic (2,048) and uvicorn (2,048)"
    )
    assert finding.advice.endswith("sysctl -w net.core.somaxconn=2048")
    assert found(folder, **{network.SOMAXCONN: 2048}) == found(folder) == []


@pytest.mark.parametrize(("value", "times"), [(0, 1), (1, 0)])
def test_what_waits_at_a_replaced_worker_of_its_own_socket_is_reset_without_the_sysctl(
    tmp_path, value, times
):
    stories = [Story("sanic", EVEN), Story("granian", EVEN), Story("granian", EVEN, "control")]
    folder = make_recycling(tmp_path / "run", stories)
    findings = found(folder, **{network.MIGRATE: value})
    assert len(findings) == times
    for finding in findings:
        assert (
            finding.configurations == ("granian",)
            and "sysctl -w net.ipv4.tcp_migrate_req=1" in finding.advice
        )


def test_a_server_for_which_it_is_set_is_not_told(tmp_path):
    folder = make_recycling(tmp_path / "run", [Story("granian", EVEN)])
    path = folder / "run.json"
    run = json.loads(path.read_text())
    for entry in run["configurations"]:
        if entry["name"] == "granian":
            entry["sysctls"] = {network.MIGRATE: 1}
    path.write_text(json.dumps(run))
    assert found(folder, **{network.MIGRATE: 0}) == []


def test_findings_and_runs_mean_the_same_sysctls():
    assert {network.SOMAXCONN, network.MIGRATE} == set(loopback.SYSCTLS)
