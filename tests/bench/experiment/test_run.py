import errno
import json
import shutil
import subprocess

import psutil
import pytest

from bench.experiment import inputs
from bench.experiment import runner as runner_module
from bench.experiment.blocks import expand
from bench.experiment.record import CellRecord
from bench.experiment.results import RunFolder
from bench.experiment.runner import remaining, steps_taken
from bench.launch.local import Processes
from bench.launch.server import ServerError
from bench.model.errors import UserError
from bench.model.files import is_full
from targets.catalogue.configurations import load as load_catalogue
from tests.bench.commands import LIGHT


@pytest.fixture
def own_catalogue():
    """Light servers: what is tested is the run."""
    return LIGHT


def blocks_of(chosen):
    return expand(chosen, 1, inputs.configurations(chosen, load_catalogue(LIGHT)))


def cells(folder):
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("cell.json"))
    }


class Reluctant(Processes):
    """Never gets one of the configurations to start."""

    def __init__(self, name):
        super().__init__()
        self.refused, self.attempts = name, 0

    def start(self, configuration, *arguments):
        if configuration.name == self.refused:
            self.attempts += 1
            raise ServerError("it did not start (exit status 3)\n  ImportError: no module")
        return super().start(configuration, *arguments)


def test_blocks_become_whole_cells(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", "two", users=(2, 3))
    blocks = blocks_of(chosen)
    before = psutil.Process().children(recursive=True)
    saved = []
    runner, output = run_blocks(chosen, blocks, after_block=lambda: saved.append(runner_state(tmp_path)))
    assert (runner.outcome.finished, runner.outcome.failed) == (4, 0)
    assert runner.outcome.load_s == pytest.approx(4 * 1.2)
    assert saved == [2, 4]
    found = cells(tmp_path)
    assert set(found) == {f"{c}/index/c{u}-w1/r1" for c in ("one", "two") for u in (2, 3)}
    for path, cell in found.items():
        assert cell["status"] == "finished" and path.startswith(cell["server"]["whoami"]["configuration"])
        rows = (tmp_path / path / "processes.csv").read_text().splitlines()
        times = [float(row.split(",")[0]) for row in rows[1:]]
        assert (
            cell["started"] - 1 < times[0] <= cell["window"]["start"] and times[-1] >= cell["window"]["end"]
        )
        assert (tmp_path / path / "host.csv").read_text().count("\n") > 1
        assert cell["generator"] == {
            "cpus": list(runner.rig.split.generator),
            "processes": 1,
            "engine": "swarm",
        }
    assert "[2/2]" in output and "2 users" in output
    assert not list(tmp_path.glob(".serve-*"))
    assert psutil.Process().children(recursive=True) == before


def runner_state(folder):
    return len(cells(folder))


def test_a_server_that_dies_in_mid_cell_fails_the_cell_and_is_started_again(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", users=(2, 3))
    blocks = blocks_of(chosen)
    runner, output = run_blocks(chosen, blocks, mode="kills 1")
    first, second = cells(tmp_path).values()
    assert (first["status"], second["status"]) == ("failed", "finished")
    assert "the server ended by itself (SIG" in first["reason"]
    assert first["window"] is None and first["server"]["pid"] != second["server"]["pid"]
    assert (runner.outcome.finished, runner.outcome.failed) == (1, 1)
    assert "failed one, index, 2 users, repeat 1: the server ended by itself" in output


def test_a_server_that_dies_twice_is_given_up_for_its_block(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", users=(2, 3, 4))
    blocks = blocks_of(chosen)
    run_blocks(chosen, blocks, mode="kills 2")
    reasons = [cell["reason"] for cell in cells(tmp_path).values()]
    assert len(reasons) == 3 and "died twice" in reasons[2]


def test_a_configuration_that_does_not_start_is_tried_once_and_the_run_goes_on(
    tmp_path, make_plan, run_blocks
):
    chosen = make_plan("one", "two", repeats=2)
    blocks = blocks_of(chosen)
    launcher = Reluctant("two")
    runner, output = run_blocks(chosen, blocks, launcher=launcher)
    found = cells(tmp_path)
    assert [found[f"one/index/c2-w1/r{r}"]["status"] for r in (1, 2)] == ["finished"] * 2
    assert "ImportError: no module" in found["two/index/c2-w1/r1"]["reason"]
    assert found["two/index/c2-w1/r2"]["reason"].startswith("not tried again: it did not start")
    assert launcher.attempts == 1 and runner.outcome.failed == 2
    assert "ImportError: no module" in output


def test_a_generator_that_dies_fails_the_cell_only(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", users=(2, 3))
    blocks = blocks_of(chosen)
    runner, _ = run_blocks(chosen, blocks, mode="dies")
    assert ["the load generator died" in cell["reason"] for cell in cells(tmp_path).values()] == [True, True]
    pids = {cell["server"]["pid"] for cell in cells(tmp_path).values()}
    assert len(pids) == 1 and runner.outcome.failed == 2


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where this may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_and_keeps_finished_cells(small_disk, make_plan, run_blocks):
    chosen = make_plan("one", repeats=3)
    blocks = blocks_of(chosen)

    def fill():
        with pytest.raises(OSError, match="No space"), (small_disk / "filler").open("wb") as filler:
            while True:
                filler.write(b"x" * 4096)
                filler.flush()

    before = psutil.Process().children(recursive=True)
    with pytest.raises((UserError, OSError)) as caught:
        run_blocks(chosen, blocks, folder=small_disk, after_block=fill)
    if isinstance(caught.value, UserError):
        assert "no space left for results" in str(caught.value)
    else:
        assert is_full(caught.value)
    assert [cell["status"] for cell in cells(small_disk).values()] == ["finished"]
    assert psutil.Process().children(recursive=True) == before


def test_a_folder_that_somebody_removes_ends_the_run(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", "two", repeats=2)
    folder = tmp_path / "run"
    folder.mkdir()
    before = psutil.Process().children(recursive=True)
    with pytest.raises(UserError, match=f"{folder} was removed while the run was writing to it"):
        run_blocks(chosen, blocks_of(chosen), folder=folder, after_block=lambda: shutil.rmtree(folder))
    assert not folder.exists() and psutil.Process().children(recursive=True) == before


def test_a_cell_that_is_written_when_ctrl_c_comes_is_kept(tmp_path, make_plan, run_blocks, monkeypatch):
    class Interrupted(CellRecord):
        def finished(self, *arguments):
            super().finished(*arguments)
            raise KeyboardInterrupt

    monkeypatch.setattr(runner_module, "CellRecord", Interrupted)
    chosen = make_plan("one")
    with pytest.raises(KeyboardInterrupt):
        run_blocks(chosen, blocks_of(chosen))
    assert [cell["status"] for cell in cells(tmp_path).values()] == ["finished"]


def test_which_errors_mean_a_full_disk():
    assert is_full(OSError(errno.ENOSPC, "")) and is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EACCES, ""))


SEARCH = {"p99_ms": 10, "from_rate_per_s": 20, "resolution": 0.5, "users": 4}


def search_plan(make_plan, **keys):
    return make_plan("one", users=None, loads={"search": SEARCH}, **keys)


def rates(folder):
    """The rates of the finished steps, in the order they were taken."""
    found = [cell for path, cell in cells(folder).items() if path.startswith("one/index/s")]
    return [cell["load"]["rate_per_s"] for cell in sorted(found, key=lambda cell: cell["started"])]


def test_open_loops_are_asked_for_and_recorded(tmp_path, make_plan, run_blocks):
    opened = {"open": [{"rates_per_s": [20], "arrivals": "poisson", "users": 4}]}
    chosen = make_plan("one", "two", users=(2,), loads=opened)
    _, output = run_blocks(chosen, blocks_of(chosen))
    found = cells(tmp_path)
    for configuration in ("one", "two"):
        cell = found[f"{configuration}/index/o20-poisson-w1/r1"]
        assert cell["load"] == {"kind": "open", "arrivals": "poisson", "rate_per_s": 20, "users": 4}
        assert cell["search"] is None and cell["measured"]["arrivals"] == 50
        assert set(cell["measured"]["latency_us"]) == {"service", "from_schedule", "lateness"}
        closed = found[f"{configuration}/index/c2-w1/r1"]
        assert closed["load"] == {"kind": "closed", "users": 2} and closed["measured"]["arrivals"] is None
    assert "index, 20/s poisson p99 1 ms" in output


def test_every_configuration_meets_the_same_schedule(tmp_path, make_plan, run_blocks):
    opened = {"open": [{"rates_per_s": [20], "arrivals": "poisson"}]}
    chosen = make_plan("one", "two", users=None, loads=opened, repeats=2)
    run_blocks(chosen, blocks_of(chosen), mode="echo")
    asked = {path: json.loads((tmp_path / path / "command.json").read_text()) for path in cells(tmp_path)}
    seeds = {path: command["arrivals"].pop("seed") for path, command in asked.items()}
    assert all(command["arrivals"] == {"kind": "poisson", "rate_per_s": 20} for command in asked.values())
    for repeat in (1, 2):
        assert len({seed for path, seed in seeds.items() if path.endswith(f"r{repeat}")}) == 1
    assert len(set(seeds.values())) == 2


def test_a_search_takes_the_steps_it_needs_after_the_other_cells(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", users=(2,), loads={"search": SEARCH})
    runner, output = run_blocks(chosen, blocks_of(chosen), mode="limit 50")
    assert rates(tmp_path) == [20, 40, 80, 56.6]
    found = cells(tmp_path)
    step = found["one/index/s56.6-constant-w1/r1"]
    assert step["search"] == {"p99_ms": 10, "resolution": 0.5, "attempt": 1} and step["status"] == "finished"
    assert found["one/index/c2-w1/r1"]["started"] < min(
        cell["started"] for cell in found.values() if cell["search"]
    )
    assert (runner.outcome.finished, runner.outcome.steps) == (5, 4)
    assert "index, p99 within 10 ms up to 40/s" in output


def test_a_search_goes_on_where_it_was_interrupted(tmp_path, make_plan, run_blocks):
    chosen = search_plan(make_plan)
    blocks = blocks_of(chosen)
    run_blocks(chosen, blocks, mode="limit 50")
    whole = cells(tmp_path)
    # As if it had been interrupted in the third step, whatever lies beyond.
    (tmp_path / "one/index/s80-constant-w1/r1/cell.json").unlink()
    (tmp_path / "one/index/s56.6-constant-w1/r1/cell.json").unlink()
    with RunFolder(tmp_path) as folder:
        todo = remaining(blocks, folder)
        assert todo == blocks
        (entry,) = blocks[0].searches
        assert [step.rate_per_s for step in steps_taken(folder, blocks[0], *entry)] == [20, 40]
    runner, _ = run_blocks(chosen, todo, mode="limit 50")
    again = cells(tmp_path)
    assert rates(tmp_path) == [20, 40, 80, 56.6] and runner.outcome.steps == 2
    kept = [path for path in whole if whole[path] == again[path]]
    assert kept == [f"one/index/s{rate}-constant-w1/r1" for rate in (20, 40)]
    with RunFolder(tmp_path) as folder:
        assert remaining(blocks, folder) == []


def test_a_generator_that_is_late_makes_the_answer_at_least(tmp_path, make_plan, run_blocks):
    chosen = search_plan(make_plan)
    _, output = run_blocks(chosen, blocks_of(chosen), mode="late 30")
    assert rates(tmp_path) == [20, 40, 40, 40, 28.3]
    assert "index, p99 within 10 ms up to at least 28.3/s" in output


def test_a_step_in_which_the_generator_was_late_is_recorded_and_taken_again(tmp_path, make_plan, run_blocks):
    chosen = search_plan(make_plan)
    blocks = blocks_of(chosen)
    _, output = run_blocks(chosen, blocks, mode="hiccup 50")
    assert rates(tmp_path) == [20, 40, 80, 80, 56.6]
    assert "index, p99 within 10 ms up to 40/s" in output
    step = "one/index/s80-constant-w1"
    attempts = {path: cell["search"]["attempt"] for path, cell in cells(tmp_path).items() if step in path}
    assert attempts == {f"{step}/r1": 1, f"{step}-try2/r1": 2}
    with RunFolder(tmp_path) as folder:
        assert remaining(blocks, folder) == []  # a run that goes on replays both attempts


def test_a_server_that_a_step_kills_has_broken_the_limit_and_starts_again(tmp_path, make_plan, run_blocks):
    chosen = search_plan(make_plan)
    blocks = blocks_of(chosen)
    # More deaths than a block allows for its other cells.
    runner, output = run_blocks(chosen, blocks, mode="kills 3")
    steps = sorted(cells(tmp_path).values(), key=lambda cell: cell["started"])
    assert [(cell["load"]["rate_per_s"], cell["status"]) for cell in steps] == [
        (20, "failed"),
        (10, "failed"),
        (5, "failed"),
        (2.5, "finished"),
        (3.54, "finished"),
    ]
    assert len({cell["server"]["pid"] for cell in steps}) == 4
    assert "index, p99 within 10 ms up to 3.54/s" in output
    assert (runner.outcome.finished, runner.outcome.failed, runner.outcome.steps) == (2, 3, 5)


def test_a_search_without_a_server_leaves_one_failed_cell(tmp_path, make_plan, run_blocks):
    chosen = search_plan(make_plan)
    launcher = Reluctant("one")
    runner, output = run_blocks(chosen, blocks_of(chosen), launcher=launcher)
    ((path, cell),) = cells(tmp_path).items()
    assert path == "one/index/s20-constant-w1/r1" and cell["search"] is not None
    assert "ImportError: no module" in cell["reason"] and cell["measured"] is None
    assert "p99 within 10 ms: not found" in output and runner.outcome.steps == 1


def test_an_alias_is_served_as_what_it_stands_for(tmp_path, make_plan, run_blocks):
    chosen = make_plan("one", "again", aliases={"again": "one"})
    run_blocks(chosen, blocks_of(chosen))
    found = cells(tmp_path)
    assert set(found) == {f"{name}/index/c2-w1/r1" for name in ("one", "again")}
    again = found["again/index/c2-w1/r1"]
    assert again["configuration"] == "again"
    assert again["server"]["configuration"] == again["server"]["whoami"]["configuration"] == "one"
