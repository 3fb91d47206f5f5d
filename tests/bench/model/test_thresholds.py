"""`bench run` on a synthetic run: the plan's thresholds and the exit status."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from tests import notebooks
from tests.fixtures.make_run import Spec, make_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`bench run`, of which nothing is measured: the synthetic run stands in for it. No notebooks."""

    def invoke(**thresholds):
        spec = Spec(configurations=("sanic",), scenarios={"index": (8, 64)}, repeats=2, thresholds=thresholds)
        folder = make_run(tmp_path / "run", spec)
        result = SimpleNamespace(
            folder=folder, interrupted=False, outcome=SimpleNamespace(finished=4, failed=0)
        )
        monkeypatch.setattr("bench.experiment.run.run", lambda *_: result)
        with notebooks.left_out():
            return CliRunner().invoke(app, ["run"], env={"COLUMNS": "200"})

    return invoke


def test_thresholds_that_are_kept_are_status_0(run):
    result = run(all=["failures == 0"], index=["p99_ms < 50"])
    assert result.exit_code == 0, result.output
    assert "not within the thresholds" not in result.output


def test_thresholds_that_are_not_are_status_1_and_name_the_cells(run):
    result = run(all=["p99_ms < 2"])
    assert result.exit_code == 1
    told = result.output.partition("not within the thresholds of the plan:\n")[2].splitlines()
    assert [line.split(": ")[0].strip() for line in told[:2]] == [
        "sanic/index/c64-w1/r1",
        "sanic/index/c64-w1/r2",
    ]
    assert all("p99_ms is 4." in line and line.endswith("demanded: p99_ms < 2") for line in told[:2])
    assert "c8-w1" not in result.output
