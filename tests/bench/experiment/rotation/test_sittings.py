"""Sittings of servers under a stand-in for the generator."""

import json
from pathlib import Path

import psutil
import pytest

from bench.experiment import inputs
from bench.experiment.record import CellRecord
from bench.experiment.results import RunFolder
from bench.experiment.rotation.schedule import Sittings, with_control
from bench.experiment.rotation.sittings import Rotation, kept
from bench.launch.local import Processes
from bench.launch.server import ServerError
from bench.machine import clock
from targets.catalogue.configurations import load as load_catalogue
from tests.bench.commands import LIGHT
from tests.fixtures.make_cell import Conditions, Load, Place, record
from tests.fixtures.make_run import EPOCH

PLACE = Place(Path(), "sanic-single", "sanic-single", "index", Load(2), 1, 1, 1, EPOCH, EPOCH, 1.0)
FAILED = record(PLACE, Conditions(), {"start": EPOCH, "end": EPOCH + 1}, EPOCH + 1) | {"status": "failed"}
ROTATION = {"sittings": 2, "load_s": 0.5, "settle_s": 0.1}


@pytest.fixture
def own_catalogue():
    """Light servers: what is tested are the sittings."""
    return LIGHT


@pytest.fixture
def sittings_of():
    """The sittings of a plan, and the plan with its control."""
    catalogue = load_catalogue(LIGHT)

    def made(chosen):
        known = inputs.configurations(chosen, catalogue)
        chosen = with_control(chosen, known, known)
        return chosen, Sittings(chosen, ("index",), inputs.configurations(chosen, catalogue))

    return made


def cells(folder):
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.glob("*/*/*/*/cell.json"))
    }


def facts(folder, sittings):
    with RunFolder(folder) as opened:
        return Rotation(opened, sittings).facts


class Reluctant(Processes):
    """Never gets one of the configurations to start."""

    def __init__(self, name):
        super().__init__()
        self.refused, self.attempts = name, 0

    def start_all(self, requests):
        wanted = [each for each in requests if each.configuration.name != self.refused]
        self.attempts += len(requests) - len(wanted)
        started = iter(super().start_all(wanted))
        why = ServerError("it did not start (exit status 3)\n  ImportError: no module")
        return [why if each.configuration.name == self.refused else next(started) for each in requests]


def test_all_servers_are_alive_at_once_and_each_has_its_cells(tmp_path, make_plan, run_blocks, sittings_of):
    chosen, sittings = sittings_of(make_plan("one", "two", users=(2, 3), rotation=ROTATION))
    before = psutil.Process().children(recursive=True)
    ended = []
    runner, output = run_blocks(chosen, [], sittings=sittings, rotated=ended.append)
    names = ("one", "two", "one-again")
    found = cells(tmp_path)
    assert set(found) == {f"{c}/index/c{u}-w1/r{r}" for c in names for u in (2, 3) for r in (1, 2)}
    assert (runner.outcome.finished, runner.outcome.failed) == (12, 0)
    for repeat in (1, 2):
        commands = [
            json.loads((tmp_path / f"two/index/c{users}-w1/r{repeat}/command.json").read_text())
            for users in (2, 3)
        ]
        first, second = ({each["name"]: each for each in command["targets"]} for command in commands)
        assert set(first) == set(names) and len({each["host"] for each in first.values()}) == 3
        # They outlive a load, and are others in the next sitting.
        assert [each["pids"] for each in first.values()] == [each["pids"] for each in second.values()]
        assert all(each["pids"] for each in first.values())
        assert {command["settle_s"] for command in commands} == {0.1}
        assert commands[0]["seed"] != commands[1]["seed"]
        # The first sitting draws it, for the others as well.
        assert {command["slice_s"] for command in commands} == {None if repeat == 1 else 0.05}
    servers = {cell["server"]["pid"] for cell in found.values()}
    assert len(servers) == 2 * 3
    cell = found["one-again/index/c2-w1/r2"]
    assert cell["rotation"] == {
        "targets": sorted(names),
        "rounds": 20,
        "slice_s": 0.05,
        "warm_s": 0.01,
        "gap_s": 0.01,
        "manners": cell["rotation"]["manners"],
    }
    assert (cell["repeat"], cell["block"], cell["status"]) == (2, 2, "finished")
    assert cell["measured"]["loaded_s"] == 1.0 and cell["measured"]["cpu_s"] == 0.1
    assert cell["server"]["whoami"]["configuration"] == "one"
    assert "time,cpu," in (tmp_path / "two/index/c2-w1/r1/host.csv").read_text()
    (rotation,) = ended
    assert rotation.facts == facts(tmp_path, sittings) | {
        "seconds": rotation.facts["seconds"],
        "stopped": "asked",
    }
    assert rotation.facts["sittings"] == 2 and rotation.facts["widest"] == 0.0
    assert "[2/2] sitting 2, 1 worker: index, 2 users 100 to 300/s" in output
    assert not list(tmp_path.glob(".sitting-*")) and not list(tmp_path.glob(".serve-*"))
    assert psutil.Process().children(recursive=True) == before


def test_sittings_that_take_too_long_have_shorter_windows(tmp_path, make_plan, run_blocks, sittings_of):
    chosen, sittings = sittings_of(make_plan("one", "two", rotation=ROTATION | {"limit_s": 0.1}))
    run_blocks(chosen, [], sittings=sittings)
    asked = [json.loads(path.read_text())["load_s"] for path in tmp_path.glob("*/index/*/*/command.json")]
    assert asked == [0.333] * 6
    assert {cell["measured_s"] for cell in cells(tmp_path).values()} == {0.333}


def test_a_server_that_does_not_start_is_out_and_not_tried_again(
    tmp_path, make_plan, run_blocks, sittings_of
):
    chosen, sittings = sittings_of(make_plan("one", "two", rotation=ROTATION))
    launcher = Reluctant("two")
    runner, output = run_blocks(chosen, [], sittings=sittings, launcher=launcher)
    found = cells(tmp_path)
    assert "ImportError: no module" in found["two/index/c2-w1/r1"]["reason"]
    assert found["two/index/c2-w1/r2"]["reason"].startswith("not tried again: it did not start")
    assert found["two/index/c2-w1/r2"]["server"] is None
    finished = {path for path, cell in found.items() if cell["status"] == "finished"}
    assert finished == {f"{c}/index/c2-w1/r{r}" for c in ("one", "one-again") for r in (1, 2)}
    assert launcher.attempts == 1 and (runner.outcome.finished, runner.outcome.failed) == (4, 2)
    assert "failed two, sitting 1: it did not start" in output


def test_a_server_that_dies_is_dropped_and_the_others_go_on(tmp_path, make_plan, run_blocks, sittings_of):
    chosen, sittings = sittings_of(make_plan("one", "two", users=(2, 3), rotation=ROTATION))
    runner, output = run_blocks(chosen, [], sittings=sittings, mode="kills 1")
    found = cells(tmp_path)
    failed = {path for path, cell in found.items() if cell["status"] == "failed"}
    # In what is left of its sitting it is not there; in the next one it is.
    assert failed == {"one/index/c2-w1/r1", "one/index/c3-w1/r1"}
    assert all("the server ended by itself" in found[path]["reason"] for path in failed)
    assert (runner.outcome.finished, runner.outcome.failed) == (10, 2)
    assert output.count("failed one, sitting 1: the server ended by itself") == 1


def test_a_generator_that_dies_fails_the_load_only(tmp_path, make_plan, run_blocks, sittings_of):
    chosen, sittings = sittings_of(make_plan("one", rotation=ROTATION | {"sittings": 1}))
    runner, output = run_blocks(chosen, [], sittings=sittings, mode="dies")
    assert all("the load generator died" in cell["reason"] for cell in cells(tmp_path).values())
    assert runner.outcome.failed == 2 and "index, 2 users FAILED" in output


class Interrupted(Exception):
    pass


def test_a_clock_that_is_set_behind_the_last_window_fails_the_cells(
    tmp_path, make_plan, run_blocks, sittings_of, monkeypatch
):
    """Before the samples are there that close it."""
    chosen, sittings = sittings_of(make_plan("one", rotation=ROTATION | {"sittings": 1}))
    back = lambda *_: monkeypatch.setattr(clock, "_ahead_s", lambda: 0.0)  # noqa: E731
    monkeypatch.setattr(CellRecord, "_await_samples", back)
    runner, _ = run_blocks(chosen, [], sittings=sittings)
    reasons = [cell["reason"] for cell in cells(tmp_path).values()]
    assert (runner.outcome.finished, runner.outcome.failed) == (0, len(reasons)) == (0, 2)
    assert all(reason.startswith("the clock of this machine was set back by ") for reason in reasons)


def test_an_interruption_leaves_nothing_of_half_a_sitting(tmp_path, make_plan, run_blocks, sittings_of):
    chosen, sittings = sittings_of(make_plan("one", users=(2, 3), rotation=ROTATION))

    def interrupt():
        raise Interrupted

    before = psutil.Process().children(recursive=True)
    with pytest.raises(Interrupted):
        run_blocks(chosen, [], sittings=sittings, after_block=interrupt)
    assert {path.rpartition("/")[2] for path in cells(tmp_path)} == {"r1"}
    with pytest.raises(RuntimeError):
        run_blocks(chosen, [], sittings=sittings, launcher=Sick())
    assert {path.rpartition("/")[2] for path in cells(tmp_path)} == {"r1"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".sitting", ".whole"))]
    assert psutil.Process().children(recursive=True) == before
    kept_cells = cells(tmp_path)
    runner, output = run_blocks(chosen, [], sittings=sittings)
    assert runner.outcome.finished == 4 and "[2/2] sitting 2" in output
    assert all(cells(tmp_path)[path] == cell for path, cell in kept_cells.items())


class Sick(Processes):
    """Its servers start, and nothing can be said of their processes."""

    def pids(self, server):
        raise RuntimeError


def test_a_sitting_that_was_kept_but_not_moved_is_moved_by_the_next_run(tmp_path, make_plan, sittings_of):
    _, sittings = sittings_of(make_plan("one", rotation=ROTATION))
    (tmp_path / ".sitting-3" / "half").mkdir(parents=True)
    for name in ("one", "one-again"):
        cell = tmp_path / ".whole-1" / name / "index/c2-w1/r1"
        cell.mkdir(parents=True)
        (cell / "cell.json").write_text(json.dumps(FAILED))
        assert not (tmp_path / name).exists()
    with RunFolder(tmp_path) as folder:
        assert [each.repeat for each in kept(sittings, folder)] == [1]
        assert kept(sittings, folder, again=True) == []
    assert not list(tmp_path.glob(".whole-*")) and not list(tmp_path.glob(".sitting-*"))


def test_sittings_with_failed_cells_are_measured_again_where_that_is_asked(
    tmp_path, make_plan, run_blocks, sittings_of
):
    chosen, sittings = sittings_of(make_plan("one", "two", rotation=ROTATION))
    run_blocks(chosen, [], sittings=sittings, mode="kills 1")
    assert [each.repeat for each in kept(sittings, RunFolder(tmp_path))] == [1, 2]
    runner, _ = run_blocks(chosen, [], sittings=sittings)
    assert runner.outcome.finished == 0
    second = (tmp_path / "two/index/c2-w1/r2/cell.json").stat().st_mtime_ns
    runner, _ = run_blocks(chosen, [], sittings=sittings, again=True)
    assert (runner.outcome.finished, runner.outcome.failed) == (3, 0)
    assert {cell["status"] for cell in cells(tmp_path).values()} == {"finished"}
    assert (tmp_path / "two/index/c2-w1/r2/cell.json").stat().st_mtime_ns == second


def test_blocks_follow_sittings_and_do_not_try_again_what_did_not_start(
    tmp_path, make_plan, run_blocks, sittings_of
):
    from bench.experiment.blocks import expand
    from bench.experiment.rotation.schedule import Rotating, in_blocks

    loads = {"open": [{"rates_per_s": [20]}]}
    chosen, sittings = sittings_of(make_plan("one", "two", loads=loads, rotation=ROTATION | {"sittings": 1}))
    plan_of_blocks = in_blocks(chosen, Rotating(frozenset({"index"})))
    blocks = expand(plan_of_blocks, 1, sittings.configurations)
    launcher = Reluctant("two")
    run_blocks(chosen, blocks, sittings=sittings, launcher=launcher)
    found = cells(tmp_path)
    assert set(found) == {
        *(f"{name}/index/c2-w1/r1" for name in ("one", "two", "one-again")),
        *(f"{name}/index/o20-constant-w1/r1" for name in ("one", "two")),
    }
    assert found["two/index/o20-constant-w1/r1"]["reason"].startswith("not tried again")
    assert found["one/index/o20-constant-w1/r1"]["rotation"] is None and launcher.attempts == 1
