"""`bench claims` on synthetic runs: what is printed, and the exit status."""

import re

import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from tests.fixtures.make_replay import replay
from tests.fixtures.make_run import Spec, make_run


@pytest.fixture
def claims(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.machine.host.facts", lambda: {"machine_id": "0"})
    arguments = ["claims", "--results", str(tmp_path)]
    return lambda: CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_without_a_run_it_says_what_measures_them(claims):
    result = claims()
    assert result.exit_code == 2 and result.output.count("\n") == 1
    assert all(word in result.output for word in ("make bench", "make recycle", "make replay"))


def test_each_claim_has_its_answer_and_what_is_missing_is_status_1(claims, tmp_path):
    make_run(tmp_path / "quick", Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (64,)}))
    replay(tmp_path / "again")
    result = claims()
    assert result.exit_code == 1, result.output
    lines = [line.strip() for line in result.output.splitlines()]
    place = lines.index("Sanic's server directly is the fastest.")
    assert lines[place + 1].startswith("holds: index, 1 worker: sanic ") and lines[place + 2] == "quick"
    assert any(line.startswith("not measured: There is no run of recycling") for line in lines)
    assert lines[place + 3].startswith("said in https://")
    counted = r"Of \d+ claims: 1 true today, 1 true in part, 1 not true, \d+ not measured\."
    assert any(re.fullmatch(counted, line) for line in lines)
