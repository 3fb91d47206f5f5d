"""A plan with a rotation as people run it: real servers, and the generator that comes with the suite."""

import csv
import itertools
import os
import signal

import psutil
import pytest

from analysis.reading.results import damage
from bench.experiment import run as experiment
from bench.model.files import ROOT
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.model.records.columns import FILES
from bench.model.records.run import Run
from tests import plans
from tests.bench.commands import start_run, told
from tests.patience import LONG_S, wait_until

TINY = plans.tiny(
    "sanic-single",
    "uvicorn",
    loads=f"""
[rotation]
sittings = 2
load_s = 0.2
settle_s = 0.1
slice_s = 0.05
{plans.INDEX}
[[scenarios.index.open]]
rates_per_s = [50]
users = 4

[scenarios.mixed]
users = [2]
""",
)
NAMES = ("sanic-single", "uvicorn", "sanic-single-again")
# Servers that start in no time, and leave users waiting.
WAITING = plans.tiny(
    "known-fixed",
    "known-bimodal",
    loads=f"""
[rotation]
sittings = 3
load_s = 0.4
settle_s = 0.2
slice_s = 0.1
{plans.INDEX}
""",
    catalogue=str(ROOT / "bench/studies/self_check/known/configurations.toml"),
)
WAITING_NAMES = ("known-fixed", "known-bimodal", "known-fixed-again")


@pytest.fixture(autouse=True)
def _without_ceilings(monkeypatch):
    monkeypatch.setattr(experiment, "kept_or_measured", lambda *_: [])


@pytest.fixture
def asked(tmp_path):
    """Makes the options of a run of a plan."""

    def words(plan):
        path = tmp_path / "tiny.toml"
        path.write_text(plan)
        return ["--plan", str(path), "--results", str(tmp_path / "results"), "--launcher", "processes"]

    return words


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_closed_loops_go_round_and_the_rest_stays_in_blocks(tmp_path, asked):
    done = told("run", *asked(TINY), "--no-report")  # that of a rotation has test_settings.py
    assert done.exit_code == 0, done.output
    assert "note: the closed loops of mixed are measured in blocks" in done.output
    (folder,) = (tmp_path / "results").iterdir()
    run = schema.read(folder / "run.json", Run)
    assert run.status == "finished" and run.plan["aliases"] == {"sanic-single-again": "sanic-single"}
    assert (run.rotation.sittings, run.rotation.stopped, run.rotation.reason) == (2, "asked", None)
    assert run.rotation.widest > 0 and run.rotation.seconds > 0
    assert run.cells_planned == 3 * 2 + 2 + 2
    cells = {
        str(path.parent.relative_to(folder)): schema.read(path, Cell)
        for path in folder.glob("*/*/*/*/cell.json")
    }
    rotated = {path for path, cell in cells.items() if cell.rotation is not None}
    assert rotated == {f"{name}/index/c4-w1/r{sitting}" for name in NAMES for sitting in (1, 2)}
    assert set(cells) - rotated == {
        *(f"{name}/index/o50-constant-w1/r1" for name in NAMES[:2]),
        *(f"{name}/mixed/c2-w1/r1" for name in NAMES[:2]),
    }
    manners = ["polls"] if run.network.steered_to else ["polls", "sleeps"]
    for path in rotated:
        cell, measured = cells[path], cells[path].measured
        assert cell.status == "finished" and sorted(cell.rotation.targets) == sorted(NAMES)
        assert (cell.rotation.slice_s, cell.rotation.manners) == (0.05, manners)
        slices = rows(folder / path / "slices.csv")
        assert list(slices[0]) == list(FILES["slices"].types)
        # On a busy machine a slice may not begin before its window does: it is left out.
        assert 1 <= len(slices) <= cell.rotation.rounds == 4
        assert measured.requests == sum(int(row["requests"]) for row in slices) > 0
        assert measured.cpu_s == pytest.approx(sum(float(row["cpu_s"]) for row in slices), abs=1e-3)
        assert measured.cpu_s > 0 and measured.idle_cpu_s is not None and measured.failures == 0
        for name in ("latency", "failures", "generator", "processes", "workers", "host"):
            assert (folder / path / f"{name}.csv").stat().st_size > 0
    # What follows a sitting's order: nobody is loaded while another is.
    windows = sorted(
        (float(row["start"]), float(row["end"]))
        for name in NAMES
        for row in rows(folder / name / "index/c4-w1/r1/slices.csv")
    )
    assert 3 <= len(windows) <= 12
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(windows))


def test_an_interrupted_rotation_keeps_whole_sittings_and_goes_on(tmp_path, asked):
    results, words = tmp_path / "results", asked(WAITING)
    run = start_run(words)

    def second_loads():
        assert run.poll() is None
        return list(results.glob("*/*/*/*/r1")) and list(results.glob("*/.sitting-2/*/*/*/r2"))

    wait_until(second_loads, "the first sitting is there, and the second has begun to load its servers")
    tree = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 130, output
    assert psutil.wait_procs(tree, LONG_S)[1] == []
    (folder,) = results.iterdir()
    first = {path: path.read_text() for path in folder.rglob("cell.json")}
    assert {path.parent.name for path in first} == {"r1"} and len(first) == 3
    assert not list(folder.glob(".sitting-*")) and not list(folder.glob(".whole-*"))
    before = schema.read(folder / "run.json", Run)
    assert (before.status, before.rotation.sittings, before.rotation.stopped) == ("interrupted", 1, None)

    again = told("run", *words, "--no-report")
    assert again.exit_code == 0 and f"going on with {folder.name}" in again.output, again.output
    after = schema.read(folder / "run.json", Run)
    assert (after.status, after.rotation.sittings) == ("finished", 3)
    assert after.rotation.seconds > before.rotation.seconds
    assert all(path.read_text() == text for path, text in first.items())
    repeats = {path.parent.name for path in folder.glob("*/index/c4-w1/*/cell.json")}
    assert repeats == {"r1", "r2", "r3"}
    resumed = told("run", "--results", str(results), "--resume", folder.name, "--no-report")
    assert "nothing is left to measure" in resumed.output
    _measured_again_once_damaged(results, folder)


def _measured_again_once_damaged(results, folder):
    """A sitting with a damaged cell is measured again as a whole, and what was there is kept."""
    damaged = folder / "known-bimodal/index/c4-w1/r2/slices.csv"
    damaged.write_text(damaged.read_text().replace(",", ";", 1))
    whole = {path: path.read_bytes() for path in folder.glob("*/*/*/*/cell.json")}
    again = told("run", "--results", str(results), "--resume", folder.name, "--no-report")
    assert again.exit_code == 0, again.output
    assert "measured again: 1 damaged cell and 2 of the same sittings or searches, now in" in again.output
    assert "known-bimodal/index/c4-w1/r2/slices.csv" in again.output
    after = {path: path.read_bytes() for path in folder.glob("*/*/*/*/cell.json")}
    changed = {path.parent for path in whole if after[path] != whole[path]}
    assert changed == {folder / f"{name}/index/c4-w1/r2" for name in WAITING_NAMES}
    assert {path.parent for path in folder.glob("damaged/*/*/*/*/cell.json")} == {
        folder / "damaged" / f"{name}/index/c4-w1/r2" for name in WAITING_NAMES
    }
    assert not damage(folder).cells


def test_blocks_are_measured_where_that_is_asked(tmp_path, asked):
    done = told("run", *asked(WAITING), "--blocks", "--configurations", "known-fixed", "--no-report")
    assert done.exit_code == 0, done.output
    assert "note: closed loops are measured in blocks, not in a rotation: as asked (--blocks)" in done.output
    (folder,) = (tmp_path / "results").iterdir()
    run = schema.read(folder / "run.json", Run)
    assert (run.rotation.stopped, run.rotation.reason) == ("blocks", "as asked (--blocks)")
    cells = [schema.read(path, Cell) for path in folder.glob("*/*/*/*/cell.json")]
    assert len(cells) == run.cells_planned == 3 and not [cell for cell in cells if cell.rotation]
