import errno
import json
import os
import signal
import subprocess
import threading

import psutil
import pytest

from bench.blocks import expand
from bench.errors import UserError
from bench.files import is_full
from bench.launch import Processes, ServerError


def cells(folder):
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("cell.json"))
    }


class Deadly(Processes):
    """Kills each of its first servers a moment after it became ready."""

    def __init__(self, environments, deaths):
        super().__init__(environments)
        self.deaths = deaths

    def start(self, *arguments):
        server = super().start(*arguments)
        if self.deaths > 0:
            self.deaths -= 1
            threading.Timer(0.6, os.kill, (server.facts["pid"], signal.SIGKILL)).start()
        return server


class Reluctant(Processes):
    """Never gets one of the configurations to start."""

    def __init__(self, environments, name):
        super().__init__(environments)
        self.refused, self.attempts = name, 0

    def start(self, configuration, *arguments):
        if configuration.name == self.refused:
            self.attempts += 1
            raise ServerError("it did not start (exit status 3)\n  ImportError: no module")
        return super().start(configuration, *arguments)


def test_blocks_become_whole_cells(tmp_path, make_plan, run_blocks):
    chosen = make_plan("sanic-single", "granian", users=(2, 3))
    blocks = expand(chosen, 1, {"sanic-single": 1, "granian": None})
    before = psutil.Process().children(recursive=True)
    saved = []
    runner, output = run_blocks(chosen, blocks, after_block=lambda: saved.append(runner_state(tmp_path)))
    assert (runner.outcome.finished, runner.outcome.failed) == (4, 0)
    assert runner.outcome.load_s == pytest.approx(4 * 1.2)
    assert saved == [2, 4]
    found = cells(tmp_path)
    assert set(found) == {f"{c}/index/c{u}-w1/r1" for c in ("sanic-single", "granian") for u in (2, 3)}
    for path, cell in found.items():
        assert cell["status"] == "finished" and path.startswith(cell["server"]["whoami"]["configuration"])
        rows = (tmp_path / path / "processes.csv").read_text().splitlines()
        times = [float(row.split(",")[0]) for row in rows[1:]]
        assert (
            cell["started"] - 1 < times[0] <= cell["window"]["start"] and times[-1] >= cell["window"]["end"]
        )
        assert (tmp_path / path / "host.csv").read_text().count("\n") > 1
        assert cell["generator"] == {
            "cpus": list(runner.cpus.generator),
            "processes": 1,
            "engine": "swarm",
        }
    assert "[2/2]" in output and "2 users" in output
    assert not list(tmp_path.glob(".serve-*"))
    assert psutil.Process().children(recursive=True) == before


def runner_state(folder):
    return len(cells(folder))


def test_a_server_that_dies_in_mid_cell_fails_the_cell_and_is_started_again(
    tmp_path, make_plan, run_blocks, current
):
    chosen = make_plan("sanic-single", users=(2, 3))
    blocks = expand(chosen, 1, {"sanic-single": 1})
    runner, output = run_blocks(chosen, blocks, launcher=Deadly({"current": current}, deaths=1))
    first, second = cells(tmp_path).values()
    assert (first["status"], second["status"]) == ("failed", "finished")
    assert "the server ended by itself (SIG" in first["reason"]
    assert first["window"] is None and first["server"]["pid"] != second["server"]["pid"]
    assert (runner.outcome.finished, runner.outcome.failed) == (1, 1)
    assert "failed sanic-single, index, 2 users, repeat 1: the server ended by itself" in output


def test_a_server_that_dies_twice_is_given_up_for_its_block(tmp_path, make_plan, run_blocks, current):
    chosen = make_plan("sanic-single", users=(2, 3, 4))
    blocks = expand(chosen, 1, {"sanic-single": 1})
    run_blocks(chosen, blocks, launcher=Deadly({"current": current}, deaths=2))
    reasons = [cell["reason"] for cell in cells(tmp_path).values()]
    assert len(reasons) == 3 and "died twice" in reasons[2]


def test_a_configuration_that_does_not_start_is_tried_once_and_the_run_goes_on(
    tmp_path, make_plan, run_blocks, current
):
    chosen = make_plan("sanic-single", "uvicorn", repeats=2)
    blocks = expand(chosen, 1, {"sanic-single": 1, "uvicorn": None})
    launcher = Reluctant({"current": current}, "uvicorn")
    runner, output = run_blocks(chosen, blocks, launcher=launcher)
    found = cells(tmp_path)
    assert [found[f"sanic-single/index/c2-w1/r{r}"]["status"] for r in (1, 2)] == ["finished"] * 2
    assert "ImportError: no module" in found["uvicorn/index/c2-w1/r1"]["reason"]
    assert found["uvicorn/index/c2-w1/r2"]["reason"].startswith("not tried again: it did not start")
    assert launcher.attempts == 1 and runner.outcome.failed == 2
    assert "ImportError: no module" in output


def test_a_generator_that_dies_fails_the_cell_only(tmp_path, make_plan, run_blocks):
    chosen = make_plan("sanic-single", users=(2, 3))
    blocks = expand(chosen, 1, {"sanic-single": 1})
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
    chosen = make_plan("sanic-single", repeats=3)
    blocks = expand(chosen, 1, {"sanic-single": 1})

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


def test_which_errors_mean_a_full_disk():
    assert is_full(OSError(errno.ENOSPC, "")) and is_full(OSError(errno.EDQUOT, ""))
    assert not is_full(OSError(errno.EACCES, ""))
