"""The notebook on the claims, executed beside a recorded run, and what it gathers."""

import json
import re
import shutil

import nbformat
import pandas as pd
import pytest

from analysis.claims import gather
from analysis.report.execute import NOTEBOOKS, Kernel
from bench.model.records.replay import latest as latest_replay
from tests.analysis.conftest import RECORDED
from tests.fixtures.make_recycling import Story, generation, make_recycling
from tests.fixtures.make_replay import replay
from tests.fixtures.make_run import Spec, make_run

NOTEBOOK = NOTEBOOKS / "claims.py"


@pytest.fixture
def beside(tmp_path):
    """A recorded run in a folder of results, with a replay of the same machine beside it."""
    (recorded,) = (path.parent for path in RECORDED.glob("*/run.json"))
    shutil.copytree(recorded, tmp_path / "results" / recorded.name)
    machine_id = json.loads((recorded / "run.json").read_text())["host"]["machine_id"]
    replay(tmp_path / "results" / "again", host={"machine_id": machine_id})
    return tmp_path / "results" / recorded.name


def test_it_runs_on_a_recorded_run_and_shows_every_answer(beside, tmp_path):
    with Kernel() as kernel:
        kernel.execute(beside, tmp_path, lambda _: None, [NOTEBOOK])
    executed = nbformat.read(tmp_path / "claims.ipynb", as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code[1:])
    answers = pd.read_csv(tmp_path / "claims.csv")
    assert answers["today"].tolist()[:7] == [
        *["not measured"] * 4,
        "holds in part",
        "holds in part",
        "does not hold",
    ]
    assert set(answers["today"][7:]) == {"not measured"}  # no run tried settings
    assert pd.read_csv(tmp_path / "claims_settings.csv").empty
    assert pd.read_csv(tmp_path / "claims_runs.csv")["run"].tolist() == [beside.name, "again"]


def test_it_holds_no_logic():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(def|class|for|if|while|with|lambda)\b", text, re.MULTILINE)


def test_a_run_of_each_kind_and_the_latest_replay_of_the_machine_are_gathered(tmp_path):
    make_run(tmp_path / "quick", Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (64,)}))
    make_recycling(tmp_path / "recycle", [Story("sanic", generation(11, 1.0))])
    replay(tmp_path / "a", started=2.0, replay="a")
    replay(tmp_path / "b", started=1.0, replay="b")
    replay(tmp_path / "c", started=3.0, host={"machine_id": "another"})
    replay(tmp_path / "d", started=3.0, status="interrupted")
    replay(tmp_path / "e", started=3.0, schema=2)
    found = gather(tmp_path, "0")
    assert [each.results.run.run for each in found.studies] == ["quick", "recycle"]
    assert found.replay.replay == "a"
    assert latest_replay(tmp_path, "nobody's") is None
