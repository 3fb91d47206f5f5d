"""Runs with a database of their own or a given one, without any, and with one that dies."""

import io
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from rich.console import Console

from bench.experiment import run as experiment
from bench.experiment.run import Request
from bench.model.errors import UsageError
from bench.model.files import ROOT
from tests import plans
from tests.databases import ask, running
from tests.patience import LONG_S, wait_until

BOTH = """
[scenarios.db]
users = [1]
[scenarios.db-write]
users = [1]
"""
INDEX = "[scenarios.index]\nusers = [1]\n"


@pytest.fixture
def ceilings(monkeypatch):
    """The ceilings that a run wants; it gets none, as they would take longer than what is measured."""
    wanted = []

    def none(_rig, _reference, subjects, *_):
        wanted.extend(subjects)
        return []

    monkeypatch.setattr(experiment, "kept_or_measured", none)
    return wanted


def run_here(tmp_path, text):
    """Run a plan in this process, without a report; returns its result and what it said."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    output = io.StringIO()
    request = Request(tmp_path / "results", str(path))
    return experiment.run(request, Console(file=output, width=200)), output.getvalue()


def test_a_run_without_a_database_measures_the_rest(tmp_path, nowhere, ceilings):
    thresholds = '[thresholds]\ndb = ["failures == 0"]\n'
    result, said = run_here(tmp_path, plans.tiny("sanic-single", loads=BOTH + INDEX + thresholds))
    assert "unavailable: db, db-write: no PostgreSQL is installed here" in said
    assert (result.outcome.finished, result.outcome.failed) == (1, 0)
    record = json.loads((result.folder / "run.json").read_text())
    assert [entry["scenario"] for entry in record["unavailable"]] == ["db", "db-write"]
    assert (record["status"], record["cells_planned"], record["database"]) == ("finished", 1, None)
    assert [subject.scenario for subject in ceilings] == ["index"]
    assert [path.parts[-4] for path in result.folder.rglob("cell.json")] == ["index"]


def test_a_run_of_which_nothing_is_left_says_what_it_needs(tmp_path, nowhere):
    with pytest.raises(UsageError, match=r"nothing to measure: db, db-write: .* install PostgreSQL"):
        run_here(tmp_path, plans.tiny("sanic-single", loads=BOTH))
    assert not (tmp_path / "results").exists()


def bench(tmp_path, text, **environment):
    """A run as a process, beside which the test can do something to it."""
    path = tmp_path / "mine.toml"
    path.write_text(text)
    command = [sys.executable, "-m", "tests.bench.without_ceilings", "run", "--plan", str(path)]
    return subprocess.Popen(
        [*command, "--results", str(tmp_path / "results")],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": "", "WHICHWORKER_LAUNCHER": "processes", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def cells(folder):
    return {path.parts[-4]: json.loads(path.read_text()) for path in folder.rglob("cell.json")}


def test_a_run_with_a_private_database(tmp_path, monkeypatch, ceilings):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    result, said = run_here(tmp_path, plans.tiny("sanic-single", loads=BOTH))
    assert result.outcome.failed == 0, said
    folder = result.folder
    record = json.loads((folder / "run.json").read_text())
    assert record["database"]["where"] == "private" and record["unavailable"] == []
    assert record["database"]["version"].startswith("PostgreSQL ")
    assert record["database"]["cpus"] and record["database"]["scenarios"] == ["db", "db-write"]
    measured = cells(folder)
    assert set(measured) == {"db", "db-write"}
    for cell in measured.values():
        assert cell["status"] == "finished"
        assert cell["measured"]["failures"] == 0 and cell["measured"]["requests"] > 0
    # Neither the server nor its data, nor the way to it.
    assert list(folder.glob(".serve-*")) == []
    assert "postgresql://" not in "".join(path.read_text() for path in folder.rglob("*.json"))


def test_a_run_with_a_given_database_leaves_what_else_is_in_it(tmp_path, monkeypatch, ceilings):
    with running(tmp_path) as server:
        ask(server.url, "CREATE TABLE public.orders (mine int)")
        twice = plans.tiny("sanic-single", loads=BOTH, repeats=2)
        monkeypatch.setenv("DATABASE_URL", server.url)
        result, said = run_here(tmp_path, twice)
        assert result.outcome.failed == 0, said
        assert ask(server.url, "SELECT * FROM public.orders") == []
        query = "SELECT count(*), extract(epoch FROM min(placed)) FROM whichworker.orders"
        ((written, first),) = ask(server.url, query)
    record = json.loads((result.folder / "run.json").read_text())
    assert (record["database"]["where"], record["database"]["cpus"]) == ("given", None)
    # Those of the last block alone, its warm-up and what was in flight at its end included.
    before, last = (
        json.loads((cell / "cell.json").read_text()) for cell in sorted(result.folder.glob("*/db-write/*/r?"))
    )
    assert written >= last["measured"]["requests"] > 0
    assert before["ended"] < float(first) < last["ended"]


def test_a_given_database_that_does_not_answer_is_told_before_anything_is_measured(tmp_path):
    run = bench(
        tmp_path,
        plans.tiny("sanic-single", loads=BOTH),
        DATABASE_URL="postgresql://ada:secret@127.0.0.1:1/app",
    )
    output, errors = run.communicate(timeout=LONG_S)
    assert run.returncode == 1 and "Traceback" not in errors
    assert "the database of DATABASE_URL cannot be used:" in errors and "secret" not in output + errors
    assert errors.count("\n") == 2 and "give the same command again" in errors
    assert list((tmp_path / "results").rglob("cell.json")) == []


def test_a_private_database_that_dies_fails_the_cell_and_ends_the_run(tmp_path):
    run = bench(tmp_path, plans.tiny("sanic-single", loads=BOTH, measured_s=40))

    def begun():
        assert run.poll() is None
        return list((tmp_path / "results").glob("*/sanic-single/*/*/r1"))

    cell = wait_until(begun, "the cell begins")
    (server,) = [
        process
        for process in psutil.process_iter(["name", "cmdline", "ppid"])
        if process.info["ppid"] == run.pid
        and process.info["name"] == "postgres"
        and "-D" in process.info["cmdline"]
    ]
    server.send_signal(signal.SIGKILL)
    output, errors = run.communicate(timeout=LONG_S)
    assert run.returncode == 1
    failed = json.loads((cell[0] / "cell.json").read_text())
    assert failed["status"] == "failed"
    assert failed["reason"].startswith("the database ended by itself\n  ")
    assert {each["status"] for each in cells(tmp_path / "results").values()} == {"failed"}
    assert "the database ended by itself" in output + errors
