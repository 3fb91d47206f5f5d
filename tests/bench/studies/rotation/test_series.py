"""A series of runs as it is measured: real servers, in moments."""

from rich.console import Console

from bench.experiment import run as experiment
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.model.records.run import Run
from bench.studies.rotation import planted
from bench.studies.rotation import series as serial
from bench.studies.rotation.series import Leg, Series
from tests import plans

TINY = plans.tiny(
    "uvicorn",
    loads=f"""
[rotation]
sittings = 1
load_s = 0.4
settle_s = 0.2
slice_s = 0.05
both_manners = true
{plans.INDEX}""",
)
CONSOLE = Console(quiet=True)


def test_runs_are_measured_once_in_the_network_and_the_manners_that_were_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "kept_or_measured", lambda *_: [])
    plan = tmp_path / "tiny.toml"
    plan.write_text(TINY)
    how = {"unsteered": Leg("unsteered", str(plan), steered=False), "steered": Leg("steered", str(plan))}
    series = Series.begin(tmp_path / "results", "manners", {"sittings": 1})
    assert serial.measure(series, lambda _: iter(how.values()), CONSOLE)
    assert Series.read(series.folder).record == series.record and series.record.finished
    for name, run in series.record.runs.items():
        network = schema.read(series.folder / run / "run.json", Run).network
        if network.namespace:  # this test may run as root
            assert (network.steered_to is None) == (name == "unsteered")
            assert network.note == ("it is not steered, as asked" if name == "unsteered" else None)
        for cell in (series.folder / run).glob("*/*/*/*/cell.json"):
            assert schema.read(cell, Cell).rotation.manners == ["polls", "sleeps"]
    # Whatever is there is not measured again.
    monkeypatch.setattr(serial, "run", None)
    assert serial.measure(series, lambda _: iter(how.values()), CONSOLE)


def test_an_interrupted_run_is_not_taken_for_one(tmp_path, monkeypatch):
    folder = tmp_path / "results" / "half"
    stopped = experiment.Result(folder, experiment.Outcome(), interrupted=True)
    monkeypatch.setattr(serial, "run", lambda *_: stopped)
    series = Series.begin(tmp_path / "results", "alone", {"turns": 1})
    assert not serial.measure(series, lambda _: iter([Leg("first", "alone")]), CONSOLE)
    assert Series.read(series.folder).record == series.record
    assert series.record.runs == {} and not series.record.finished


def test_the_planted_pair_can_be_served(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "kept_or_measured", lambda *_: [])
    catalogue = tmp_path / "configurations.toml"
    planted.write_catalogue(catalogue, 100)
    series = Series.begin(tmp_path / "results", planted.QUESTION, {"runs": 1, "share": 0.05})
    changes = {"sittings": 1, "measured_s": 1, "users": [4], "catalogue": str(catalogue)}
    assert series.take(Leg(planted.PILOT, planted.QUESTION, changes), CONSOLE)
    cells = series.study(planted.PILOT).results.cells
    assert set(cells["configuration"]) == {"uvicorn", "uvicorn-planted", "uvicorn-again"}
    assert (cells["status"] == "finished").all()
