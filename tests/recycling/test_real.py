"""From real servers to verdicts. Facts are asserted, never times; what a race decides, only as a range."""

import pandas as pd
import pytest

from tests.recycling.measured import made

N, RECYCLED = 100, ["sanic", "uvicorn", "gunicorn-uvicorn"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The smallest plan of recycling, by the command of the README."""
    folder = tmp_path_factory.mktemp("real")
    return made(folder, "recycle", "PLAN=recycle-smoke")


def test_every_cell_is_finished_and_every_configuration_has_its_row(run):
    assert run.status == 0, run.output
    cells = run.study.results.cells
    assert set(cells["status"]) == {"finished"}
    assert len(cells) == run.study.results.run.cells_planned == 18
    table = pd.read_csv(run.folder / "report" / "recycling.csv")
    assert table["configuration"].tolist() == RECYCLED
    assert (run.folder / "report" / "report.html").stat().st_size > 0
    assert "report.html" in run.output


@pytest.mark.parametrize("workers", [1, 2])
def test_sanic_replaces_its_workers_and_loses_nothing_on_kept_connections(run, workers):
    row = run.cell("sanic", workers=workers).row
    assert row["verdict"] == "recycles", row["reason"]
    assert row["keep_alive"]
    assert row["lost"] == 0
    assert workers == 1 or row["all_gone"] == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", RECYCLED)
def test_workers_are_replaced_and_none_before_its_n(run, name, workers):
    row = run.cell(name, workers=workers).row
    assert row["verdict"] == "recycles", row["reason"]
    assert row["replaced"] >= 2
    # The server counts its own question for readiness, which is not in the trace.
    assert row["served_low"] >= N - 5
    assert row["overshoot_median"] >= -5


def test_uvicorn_alone_is_started_again_and_refuses_meanwhile(run):
    cell = run.cell("uvicorn", workers=1)
    refused = cell.lost_while_down("refused")
    assert len(refused) > 0
    assert (refused["handled"] == "no").all()
    assert list(refused["replacement"]) == list(refused["down_for"])
    assert pd.isna(cell.facts["server_ended"])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", RECYCLED)
def test_nobody_is_replaced_and_nothing_lost_in_the_control(run, name, workers):
    row = run.cell(name, "control", workers).row
    assert (row["verdict"], row["replaced"], row["lost"]) == ("steady", 0, 0), row["reason"]


def test_answers_and_losses_are_all_there_is(run):
    for _, row in run.recycling.cells.iterrows():
        if row["treatment"] not in ("recycled", "control"):
            continue
        cell = run.cell(row["configuration"], row["treatment"], row["workers"])
        answered = cell.in_window["kind"].isna().sum()
        assert row["lost"] + answered == row["requests"] == len(cell.in_window)
        assert row["lost"] == row[["lost_not_handled", "lost_started", "lost_finished"]].sum()
        assert len(cell.frame("losses")) == row["lost"]


def test_the_handlers_of_answered_requests_ran_to_their_end(run):
    results = run.study.results
    finished = results.handled[results.handled["event"] == "finished"]
    for number in run.recycling.cells.index:
        trace = results.trace[results.trace["cell"] == number]
        answered = set(trace.loc[trace["kind"].isna(), "id"])
        assert answered <= set(finished.loc[finished["cell"] == number, "id"])


def test_a_killed_worker_is_missed_by_sanic_and_replaced_by_the_others(run):
    expected = {"sanic": "degraded", "gunicorn-uvicorn": "recovers", "uvicorn": "recovers"}
    rows = {name: run.cell(name, "kill").row for name in expected}
    assert {name: row["verdict"] for name, row in rows.items()} == expected, [
        row["reason"] for row in rows.values()
    ]


@pytest.mark.parametrize("name", RECYCLED)
def test_requests_in_flight_are_finished_on_sigterm(run, name):
    row = run.cell(name, "terminate").row
    assert row["in_flight"] > 0
    assert row["verdict"] == "finishes", row["reason"]
