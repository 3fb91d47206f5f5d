"""Pairs of workers whose replacement is known, connections that close, and one worker killed."""

import pytest

from tests.recycling.conftest import HERE
from tests.recycling.measured import measured

N = 50


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The plan, measured once."""
    folder = tmp_path_factory.mktemp("pairs")
    return measured(folder, HERE / "pairs.toml")


def test_every_cell_is_finished(run):
    assert run.status == 0, run.output


@pytest.mark.parametrize(("name", "served"), [("honest", N), ("lossy", N - 1)])
def test_each_of_two_workers_serves_its_n(run, name, served):
    row = run.cell(name).row
    assert row["verdict"] == "recycles", row["reason"]
    assert (row["served_low"], row["served_high"]) == (served, served)
    low, high = run.cell(name).replaced_by_the_books()
    assert low <= row["replaced"] <= high
    assert not row["keep_alive"]


@pytest.mark.parametrize("name", ["honest", "lossy"])
def test_losses_are_those_of_the_books_one_by_one(run, name):
    cell = run.cell(name)
    assert cell.lost() == cell.lost_by_the_books()
    assert bool(cell.lost()) == (name == "lossy")


def test_nothing_is_recycled_where_nothing_can_be(run):
    cells = run.study.results.cells
    assert set(cells[cells["configuration"] == "deserted"]["treatment"]) == {"control", "kill"}
    assert run.cell("deserted", "control").row["verdict"] == "steady"


@pytest.mark.parametrize(
    ("name", "verdict"), [("honest", "recovers"), ("deserted", "degraded"), ("collapses", "ends")]
)
def test_what_becomes_of_a_server_whose_worker_is_killed(run, name, verdict):
    cell = run.cell(name, "kill")
    assert cell.row["verdict"] == verdict, cell.row["reason"]
    lives = cell.frame("lives").set_index("pid")
    assert lives.loc[cell.facts["probe_pid"], "exit_status"] in (-9, None) or verdict == "ends"
    assert (cell.row["recovery_s"] >= 0) == (name == "honest")


def test_a_server_that_collapsed_is_refused_and_the_others_are_not(run):
    assert run.cell("collapses", "kill").row["lost"] > 0
    assert run.cell("collapses", "kill").facts["server_ended"] > 0
