import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.experiment import results
from bench.experiment.runner import remaining
from bench.machine import host
from bench.machine.processes import interruptible
from bench.model.cells import Block, Cell, ClosedLoop
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT, write_json, write_text
from bench.model.matching import differences
from tests.fixtures.make_cell import Conditions, Load, Place, record
from tests.fixtures.make_run import EPOCH, Spec, run_record

CELL = Cell("sanic", "index", load=ClosedLoop(8), workers=1, repeat=2, block=5)
RUN = run_record("run", Spec(), EPOCH + 9.0, 8) | {
    "status": "interrupted",
    "seed": 3,
    "plan": {"name": "quick"},
    "stacks": {},
    "host": host.facts(),
}
PLACE = Place(Path(), "sanic", "sanic", "index", Load(8), 1, 2, 5, EPOCH, EPOCH, 1.0)
MEASURED = {"requests": 9, "failures": 0, "latency_us": {}, "arrivals": None, "completions": None}
FINISHED = record(PLACE, Conditions(), {"start": EPOCH + 1, "end": EPOCH + 3}, EPOCH + 3.5) | {
    "measured": MEASURED
}


def make(folder, name, **changes):
    (folder / name).mkdir(parents=True)
    write_json(folder / name / "run.json", RUN | changes)
    return folder / name


def make_cell(place):
    place.mkdir(parents=True)
    write_json(place / "cell.json", FINISHED)


def test_two_runs_in_one_folder_are_an_error(tmp_path):
    hold = f"""
from pathlib import Path
from bench.experiment.results import RunFolder
with RunFolder(Path({str(tmp_path)!r})):
    print("locked", flush=True); input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another run is writing to"), results.RunFolder(tmp_path):
            pass
        other.communicate("\n")
    with results.RunFolder(tmp_path):
        pass


def test_a_folder_that_was_removed_takes_nothing_more(tmp_path):
    """Also not where another one has its name."""
    place = tmp_path / "run"
    place.mkdir()
    with results.RunFolder(place) as folder:
        folder.write(RUN)
        shutil.rmtree(place)
        with pytest.raises(UserError, match=r"was removed while the run was writing to it"):
            folder.begin_sitting(1)
        place.mkdir()
        (place / ".lock").touch()
        with pytest.raises(UserError, match=r"was removed while the run was writing to it"):
            folder.write(RUN)


def test_ctrl_c_does_not_come_between_the_cells_of_a_sitting(tmp_path, monkeypatch):
    moved = Path.rename

    def interrupted(path, target):
        signal.raise_signal(signal.SIGINT)
        return moved(path, target)

    with results.RunFolder(tmp_path) as folder:
        place = folder.begin_sitting(1)
        for name in ("sanic", "uvicorn"):
            make_cell(place / name / "index/c8-w1/r1")
        monkeypatch.setattr(Path, "rename", interrupted)
        with interruptible(), pytest.raises(KeyboardInterrupt):
            folder.keep_sitting(place)
    assert len(list(tmp_path.glob("*/index/c8-w1/r1/cell.json"))) == 2
    assert not list(tmp_path.glob(".whole-*"))


def test_a_run_goes_on_with_the_packages_of_its_locustfiles_only():
    own = RUN | {"suite": {"packages": {"faker": "1"}}, "locustfile_requirements": {"sha256": "a"}}
    assert differences(own, own) == []
    assert differences(own, own | {"locustfile_requirements": {"sha256": "b"}}) == ["locustfile_requirements"]
    assert differences(own, RUN) == differences(RUN, own) == ["locustfile_requirements"]
    assert differences(own, own | {"suite": {"packages": {"faker": "2"}}}) == ["suite"]
    # Without any, the generator may be a newer one.
    assert differences(RUN | {"suite": {}}, RUN | {"suite": {"python": "3.13"}}) == []


def test_only_finished_cells_count_as_done(tmp_path):
    other = Cell("sanic", "index", load=ClosedLoop(64), workers=1, repeat=2, block=5)
    block = Block(5, "sanic", 1, 2, (CELL, other))
    assert str(CELL.path) == "sanic/index/c8-w1/r2"
    with results.RunFolder(tmp_path) as folder:
        assert remaining([block], folder) == [block]
        folder.cell(CELL).mkdir(parents=True)
        (folder.cell(CELL) / "latency.csv").touch()
        assert remaining([block], folder) == [block]
        write_json(folder.cell(CELL) / "cell.json", FINISHED | {"status": "failed", "reason": "so"})
        assert remaining([block], folder) == [block]
        write_json(folder.cell(CELL) / "cell.json", FINISHED)
        assert remaining([block], folder) == [Block(5, "sanic", 1, 2, (other,))]
        write_json(folder.cell(CELL).parent / "x.json", {})
        folder.cell(other).mkdir(parents=True)
        write_json(folder.cell(other) / "cell.json", FINISHED)
        assert remaining([block], folder) == []
        # One that was damaged since is neither taken for measured nor silently measured again.
        (folder.cell(other) / "cell.json").write_text("{")
        with pytest.raises(
            UserError, match=r"c64-w1/r2/cell\.json is not JSON .*; restore it or run the cell"
        ):
            remaining([block], folder)


def test_the_latest_unfinished_run_of_the_same_command_is_found(tmp_path):
    assert results.unfinished(tmp_path, RUN, None) is None
    make(tmp_path, "0", schema=99)
    make(tmp_path, "99", schema=99)
    first = make(tmp_path, "1")
    make(tmp_path, "2", status="finished")
    make(tmp_path, "3", plan={"name": "other"})
    make(tmp_path, "4", host=RUN["host"] | {"machine_id": "another"})
    make(tmp_path, "4a", methodology=1)
    make(tmp_path, "5", stacks={"current": {"python": "3.99"}})
    assert results.unfinished(tmp_path, RUN, None) == first
    assert results.unfinished(tmp_path, RUN, 3) == first
    assert results.unfinished(tmp_path, RUN, 4) is None
    killed = make(tmp_path, "6", status="running")
    assert results.unfinished(tmp_path, RUN, None) == killed
    with results.RunFolder(killed):
        assert results.unfinished(tmp_path, RUN, None) == first


def test_what_keeps_a_run_from_going_on_is_named():
    assert differences(RUN, RUN) == []
    changed = RUN | {"plan": {}, "host": RUN["host"] | {"cpu": "another"}}
    assert differences(RUN, changed) == ["plan", "host"]


def test_limits_keep_no_run_from_going_on():
    recorded = {**RUN, "plan": {"name": "quick", "import_timeout_s": 5.0}}
    now = {**RUN, "plan": {"name": "quick", "startup_timeout_s": 90.0}}
    assert differences(recorded, now) == []
    assert differences(recorded, {**now, "plan": {"name": "smoke"}}) == ["plan"]


def test_runs_are_found_by_name_by_path_and_by_age(tmp_path):
    with pytest.raises(UsageError, match="no runs in"):
        results.find(tmp_path, None)
    make(tmp_path, "20260101-000000-quick")
    second = make(tmp_path, "20260102-000000-quick")
    assert results.find(tmp_path, None) == second
    assert results.find(tmp_path, second.name) == second
    assert results.find(tmp_path, str(second)) == second
    with pytest.raises(UsageError, match='did you mean "20260102-000000-quick"'):
        results.find(tmp_path, "20260102-000000-quik")


def test_new_runs_never_share_a_folder(tmp_path):
    made = {results.create(tmp_path, "quick") for _ in range(3)}
    assert len(made) == 3 and all(path.name.split("-")[2] == "quick" for path in made)


def test_what_a_killed_run_left_is_cleared(tmp_path):
    (tmp_path / ".serve-abc" / "1-1").mkdir(parents=True)
    with results.RunFolder(tmp_path):
        assert not (tmp_path / ".serve-abc").exists()


def test_links_that_a_stranger_left_are_not_followed(tmp_path):
    """What lies behind them is somebody's own."""
    own = tmp_path / "own"
    cell = own / "sanic" / "index" / "c8-w1" / "r2"
    cell.mkdir(parents=True)
    write_json(cell / "cell.json", FINISHED)
    run = tmp_path / "run"
    run.mkdir()
    for name in (".serve-abc", ".sitting-1", ".whole-1"):
        (run / name).symlink_to(own)
    with results.RunFolder(run):
        assert [path.name for path in run.iterdir()] == [".lock"]
    assert (cell / "cell.json").exists()


@pytest.mark.parametrize("name", ["sanic", "sanic/index", "sanic/index/c8-w1", "sanic/index/c8-w1/r2"])
def test_links_on_the_way_to_a_cell_are_refused(tmp_path, name):
    """What is written and removed there would be somebody's own."""
    own, run = tmp_path / "own", tmp_path / "run"
    own.mkdir()
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(own)
    with pytest.raises(UserError, match=f"{name} is a link, which no run makes"), results.RunFolder(run):
        pass
    (run / name).unlink()
    with results.RunFolder(run):
        pass


def test_a_link_in_place_of_the_lock_or_of_a_new_file_empties_nothing(tmp_path):
    own, run = tmp_path / "own", tmp_path / "run"
    own.write_text("mine")
    run.mkdir()
    (run / ".lock").symlink_to(own)
    (run / ".run.json.tmp").symlink_to(own)
    with pytest.raises(UserError, match=r"\.lock cannot be opened"), results.RunFolder(run):
        pass
    write_json(run / "run.json", {"one": 1})
    assert own.read_text() == "mine" and json.loads((run / "run.json").read_text()) == {"one": 1}


def test_cells_that_are_set_aside_are_kept_however_often(tmp_path):
    place = CELL.path
    with results.RunFolder(tmp_path) as folder:
        for number in range(3):
            (tmp_path / place).mkdir(parents=True)
            (tmp_path / place / "cell.json").write_text(str(number))
            assert folder.has_cells and folder.set_aside([place]) == tmp_path / "damaged"
            assert not folder.has_cells
    kept = {path.parent.name: path.read_text() for path in (tmp_path / "damaged").rglob("cell.json")}
    assert kept == {"r2": "0", "r2-2": "1", "r2-3": "2"}


def test_a_broken_or_foreign_run_is_told(tmp_path):
    path = make(tmp_path, "run", schema=99)
    with pytest.raises(UserError, match="has results schema 99, this version of Whichworker reads 3"):
        results.read_run(path)
    (path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json is not JSON"):
        results.read_run(path)


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_json(path, {"one": 1})

    def fails(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fails)
    monkeypatch.setattr(type(path), "replace", fails)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "other")
    assert json.loads(path.read_text()) == {"one": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
