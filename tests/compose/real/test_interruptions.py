"""What remains, and what is told, when a run or a server ends before its time."""

import json
import os
import signal

import pytest

from tests.compose.real.checkout import cells, under_way
from tests.compose.real.engine import TAG, containers, docker
from tests.patience import CONTAINERS_S, wait_until

STRANGERS_CHECKOUT = "whichworker.checkout=of-somebody-else"


def second_cell_runs(process, results):
    """Waits until a cell is finished and another is measured."""

    def so_far():
        assert process.poll() is None, process.stdout.read()
        return cells(results) and under_way(results)

    wait_until(so_far, "the second cell begins", CONTAINERS_S)


def servers(checkout):
    """The containers of servers that the checkout's bench runs now."""
    return containers(
        f"whichworker.checkout={checkout.hash}", "com.docker.compose.service=bench-current", running=True
    )


@pytest.fixture
def stranger(built):
    """A container of another checkout whose bench lives no more: none of ours to remove."""
    labels = (f"--label={STRANGERS_CHECKOUT}", "--label=whichworker.bench=gone-1-1")
    container = docker(
        "run",
        "--detach",
        "--network=none",
        *labels,
        f"whichworker-suite:{TAG}",
        "-c",
        "import signal; signal.pause()",
    )
    yield container
    docker("rm", "--force", container)


def test_ctrl_c_leaves_nothing_but_finished_cells(checkout, results, nothing_left):
    options = ("--plan", checkout.plan("long-cells"), "--proxy", "nginx")
    with checkout.benching(results, *options) as process:
        second_cell_runs(process, results)
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=CONTAINERS_S)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert [cell["status"] for cell in cells(results)] == ["finished"]
    assert not under_way(results)


def test_the_next_run_removes_what_a_killed_one_left(checkout, results, stranger, nothing_left):
    plan = ("--plan", checkout.plan("long-cells"), "--proxy", "haproxy")
    with checkout.benching(results, *plan) as process:
        second_cell_runs(process, results)
        kept = {path: path.read_text() for path in results.rglob("cell.json")}
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # Not those that have ended: the clients of Compose outlive the run, and remove theirs meanwhile.
    left = containers(f"whichworker.checkout={checkout.hash}", running=True)
    assert left, "a killed run was expected to leave something to remove"
    checkout.run_bench(results, *plan)  # goes on with the same run
    assert not containers() & left
    assert stranger in containers(STRANGERS_CHECKOUT, running=True)
    (run,) = results.glob("*/run.json")
    assert json.loads(run.read_text())["status"] == "finished"
    assert {cell["status"] for cell in cells(results)} == {"finished"}
    assert kept and all(path.read_text() == text for path, text in kept.items())


def test_a_server_that_somebody_kills_fails_its_cell_alone(checkout, results, nothing_left):
    # Long enough for the first cell to be met; it ends when its server does.
    with checkout.benching(results, "--plan", checkout.plan("long-cells"), "--duration", "10") as process:
        wait_until(lambda: under_way(results), "the first cell begins", CONTAINERS_S)
        (server,) = servers(checkout)
        docker("kill", server)
        said, _ = process.communicate(timeout=CONTAINERS_S)
    assert process.returncode == 1, said
    failed, finished = sorted(cells(results), key=lambda cell: cell["status"])
    assert (failed["status"], finished["status"]) == ("failed", "finished")
    assert "SIGKILL" in failed["reason"]


def test_a_server_that_needs_more_memory_than_it_may_have_is_told_apart(checkout, results, nothing_left):
    said = checkout.run_bench(results, "--plan", checkout.plan("leak"), status=1, WHICHWORKER_MEMORY="150m")
    (cell,) = cells(results)
    assert cell["status"] == "failed"
    assert "out of memory" in cell["reason"]
    assert "150m" in cell["reason"]
    assert "out of memory" in said
