import json
from pathlib import Path

import pytest

from bench.experiment.environments import Environments
from bench.experiment.inputs import Inputs
from bench.experiment.record import CellRecord, describe
from bench.experiment.results import RunFolder
from bench.launch.stacks import Environment
from bench.machine import cpus
from bench.machine.host import HostSampler
from bench.model.plans import plan
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.studies.cockpit import web_ui
from bench.studies.cockpit.records import Records, Start
from targets.catalogue.configurations import load

FAILED = {"window": None, "users": None, "reason": "it did not start:\n  last words"}


def start(**changes):
    asked = {"configuration": "sanic", "workers": 2, "max_requests": None, "scenario": "index", "users": 64}
    asked["scenarios"] = ["index"]
    return Start.of({"event": "start", "request": 1, **asked, "rate_per_s": None, "host": None, **changes})


@pytest.fixture
def records(tmp_path):
    catalogue = load()
    chosen = plan.load("smoke").model_copy(update={"configurations": list(catalogue.declared)})
    having = Environments({"current": Environment(Path("python"), "3.11", {})}, [], "processes", {})
    described = describe(Inputs("ui", chosen, catalogue, {}), cpus.split_here(1), having)
    path = tmp_path / "run"
    path.mkdir()
    with RunFolder(path) as folder:
        yield Records(folder, described, 2.0, HostSampler())


def failed(records, asked, number, **changes):
    cell, record = records.open(asked, None, records.path / f".cell-{number}")
    place, reason = records.finish(asked, cell, record, {**FAILED, **changes})
    assert reason == {**FAILED, **changes}["reason"]
    return str(place)


def test_equal_starts_are_repeats_and_an_edit_changes_the_load(records):
    assert failed(records, start(), 1) == "sanic/index/c64-w2/r1"
    assert failed(records, start(), 2) == "sanic/index/c64-w2/r2"
    assert failed(records, start(), 3, users=8) == "sanic/index/c8-w2/r1"
    assert failed(records, start(rate_per_s=3000.0), 4) == "sanic/index/o3000-constant-w2/r1"
    cell = json.loads((records.path / "sanic/index/c8-w2/r1/cell.json").read_text())
    assert cell["load"] == {"kind": "closed", "users": 8} and cell["block"] == 3
    assert cell["status"] == "failed" and "last words" in cell["reason"] and cell["measured_s"] is None
    assert not list(records.path.glob(".cell-*"))


def test_run_json_has_a_plan_that_would_have_had_these_cells(records):
    assert not (records.path / "run.json").exists()
    for number, asked in enumerate(
        [start(), start(users=8), start(scenario="index+sleep", rate_per_s=10.0), start(max_requests=500)]
    ):
        failed(records, asked, number)
    records.save()
    run = json.loads((records.path / "run.json").read_text())
    assert (run["status"], run["cells_planned"], run["load_s"]) == ("finished", 4, 0.0)
    recorded = dict(run["plan"])
    assert recorded.pop("name") == "ui"
    chosen = plan.validate(recorded, "run.json")
    assert chosen.configurations == ["sanic", "sanic-n500"] and chosen.workers == [2]
    assert chosen.scenarios["index"].users == [8, 64]
    assert chosen.scenarios["index+sleep"].open[0].rates_per_s == [10.0]


def test_a_server_that_recycles_is_an_entry_of_its_own_behind_the_catalogue(records):
    for number in range(2):
        failed(records, start(max_requests=500), number)
    entries = json.loads((records.path / "run.json").read_text())["configurations"]
    assert [entry["name"] for entry in entries] == [*load().declared, "sanic-n500"]
    assert "after 500 requests" in entries[-1]["summary"] and entries[-1]["recycle"] == "app"


def test_a_server_behind_a_proxy_is_an_entry_of_its_own(records):
    asked = start(max_requests=500, proxy="nginx")
    assert failed(records, asked, 1) == "sanic-n500-nginx/index/c64-w2-nginx/r1"
    (*_, entry) = json.loads((records.path / "run.json").read_text())["configurations"]
    assert entry["summary"] == "sanic, its workers replaced after 500 requests, behind nginx."


def test_nothing_is_left_of_a_cell_that_cannot_be_written(records, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    cell, record = records.open(start(), None, records.path / ".cell")
    monkeypatch.setattr("bench.experiment.record.write_json", full)
    with pytest.raises(OSError, match="No space"):
        records.finish(start(), cell, record, FAILED)
    assert not list(records.path.glob("*/*/*/*")) and not (records.path / "run.json").exists()


def test_run_json_is_there_before_its_first_cell(records, monkeypatch):
    """Else a kill in between would leave a cell without a run, which nothing can read."""

    def killed(*_):
        raise KeyboardInterrupt

    cell, record = records.open(start(), None, records.path / ".cell")
    monkeypatch.setattr("bench.experiment.record.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        records.finish(start(), cell, record, FAILED)
    assert json.loads((records.path / "run.json").read_text())["cells_planned"] == 1


def test_a_load_during_which_the_clock_was_set_is_recorded_as_failed(records, monkeypatch):
    cell, record = records.open(start(), None, records.path / ".cell")
    monkeypatch.setattr(CellRecord, "_await_samples", lambda *_: None)
    monkeypatch.setattr("bench.machine.clock._ahead_s", lambda: 1.0)
    measured = dict.fromkeys(("requests", "failures", "latency_us", "arrivals", "completions"))
    event = {"window": {"start": 1, "end": 2}, "users": None, "reason": None, **measured}
    place, reason = records.finish(start(), cell, record, event)
    assert reason.startswith("the clock of this machine was set back by")
    assert schema.read(records.path / place / "cell.json", Cell).reason == reason


def test_what_is_offered_says_why_something_is_not(catalogue):
    entry = {"configuration": "gunicorn-sanic", "reason": "no Python 3.9:\nmuch more", "remedy": "install it"}
    unavailable = [{"scenario": "db", "reason": "no database", "remedy": "x"}, entry]
    told = {
        each["name"]: each
        for each in web_ui.offered_configurations(catalogue.configurations.values(), unavailable, (0, 1, 2))
    }
    assert list(told) == list(catalogue.configurations)
    assert told["gunicorn-sanic"]["unavailable"] == "no Python 3.9; install it"
    assert told["sanic"]["unavailable"] is None and told["sanic"]["most_workers"] == 6
    assert told["sanic-single"]["most_workers"] == 1 and told["sanic-single"]["recycles"] == "never"
    assert told["granian"]["recycles"] == "memory" and told["uvicorn"]["recycles"] == "requests"
