"""From real servers to verdicts. Facts are asserted, never times; what a race decides, only as a range."""

import pandas as pd
import pytest

from tests.recycling.conftest import HERE
from tests.recycling.measured import Measured

N, JITTER = 300, 50

pytestmark = pytest.mark.timeout(420)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Sanic and Gunicorn with Uvicorn workers, two of each."""
    return Measured(tmp_path_factory.mktemp("real"), HERE / "real.toml")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Uvicorn with one worker."""
    return Measured(tmp_path_factory.mktemp("alone"), HERE / "alone.toml")


def cells_of(*runs):
    return [(run, row) for run in runs for _, row in run.recycling.cells.iterrows()]


def test_every_cell_is_finished(run, alone):
    assert (run.status, alone.status) == (0, 0), run.output + alone.output


def test_sanic_replaces_its_workers_and_loses_nothing_on_kept_connections(run):
    cell = run.cell("sanic")
    assert cell.row["verdict"] == "recycles", cell.row["reason"]
    assert cell.row["replaced"] >= 4
    assert cell.row["keep_alive"]
    assert cell.row["lost"] == 0
    assert cell.row["all_gone"] == 0


def test_gunicorn_replaces_its_workers(run):
    cell = run.cell("gunicorn-uvicorn")
    assert cell.row["verdict"] == "recycles", cell.row["reason"]
    assert cell.row["replaced"] >= 4


@pytest.mark.parametrize("name", ["sanic", "gunicorn-uvicorn"])
def test_no_worker_is_replaced_before_its_n(run, name):
    # The server counts its own question for readiness, which is not in the trace.
    assert run.cell(name).row["served_low"] >= N - 5
    assert run.cell(name).row["overshoot_median"] >= -5


def test_uvicorn_alone_is_started_again_and_refuses_meanwhile(alone):
    cell = alone.cell("uvicorn")
    assert cell.row["verdict"] == "recycles", cell.row["reason"]
    assert cell.row["replaced"] >= 3
    refused = cell.lost_while_down("refused")
    assert len(refused) > 0
    assert (refused["handled"] == "no").all()
    assert list(refused["replacement"]) == list(refused["down_for"])
    assert pd.isna(cell.facts["server_ended"])


@pytest.mark.parametrize("name", ["sanic", "gunicorn-uvicorn"])
def test_nobody_is_replaced_and_nothing_lost_in_the_control(run, name):
    row = run.cell(name, "control").row
    assert (row["verdict"], row["replaced"], row["lost"]) == ("steady", 0, 0), row["reason"]


def test_answers_and_losses_are_all_there_is(run, alone):
    for measured, row in cells_of(run, alone):
        if row["treatment"] not in ("recycled", "control"):
            continue
        cell = measured.cell(row["configuration"], row["treatment"])
        answered = cell.in_window["kind"].isna().sum()
        assert row["lost"] + answered == row["requests"] == len(cell.in_window)
        assert row["lost"] == row[["lost_not_handled", "lost_started", "lost_finished"]].sum()
        assert len(cell.frame("losses")) == row["lost"]


def test_the_handlers_of_answered_requests_ran_to_their_end(run, alone):
    for measured in (run, alone):
        results = measured.study.results
        finished = results.handled[results.handled["event"] == "finished"]
        for number in measured.recycling.cells.index:
            trace = results.trace[results.trace["cell"] == number]
            answered = set(trace.loc[trace["kind"].isna(), "id"])
            assert answered <= set(finished.loc[finished["cell"] == number, "id"])


def test_a_killed_worker_is_missed_by_sanic_and_replaced_by_gunicorn(run):
    assert run.cell("sanic", "kill").row["verdict"] == "degraded", run.cell("sanic", "kill").row["reason"]
    assert run.cell("gunicorn-uvicorn", "kill").row["verdict"] == "recovers"


@pytest.mark.parametrize("name", ["sanic", "gunicorn-uvicorn"])
def test_requests_in_flight_are_finished_on_sigterm(run, name):
    row = run.cell(name, "terminate").row
    assert row["in_flight"] > 0
    assert row["verdict"] == "finishes", row["reason"]
