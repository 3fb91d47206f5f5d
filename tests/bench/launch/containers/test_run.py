"""Whole runs on the stand-in for Docker, by the command."""

import json
import os
import signal
import time

import psutil
import pytest

from bench.launch.containers import cleanup
from tests import plans
from tests.bench.commands import LIGHT, gone, start_run
from tests.patience import LONG_S, wait_until

TINY = plans.tiny("sanic-single", "uvicorn", loads=plans.SLOW)
# For what becomes of a run that ends before its time.
LIGHTEST = plans.tiny(
    "one", "two", catalogue=str(LIGHT), loads="[[scenarios.index.open]]\nrates_per_s = [20]\nusers = 4\n"
)


@pytest.fixture
def asked(tmp_path, docker):
    """The options of a run in containers, of a plan that is written."""

    def ask(plan):
        path = tmp_path / "own.toml"
        path.write_text(plan)
        return ["--plan", str(path), "--results", str(tmp_path / "results"), "--launcher", "compose"]

    return ask


def start(arguments, **options):
    return start_run(["--no-report", *arguments], **options)


def finish(arguments, **options):
    run = start(arguments, **options)
    output, _ = run.communicate(timeout=LONG_S)
    return run.returncode, output


def await_cells(results, count):
    found = "*/[!.]*/*/*/r?/cell.json"
    wait_until(lambda: len(list(results.glob(found))) >= count, f"{count} cells are finished")


def test_an_interrupted_run_removes_everything_and_becomes_whole(tmp_path, docker, asked):
    """What it is in the end is what a run of local processes is."""
    results = tmp_path / "results"
    run = start(asked(TINY), program="bench")
    await_cells(results, 1)
    pids = [facts["pid"] for facts in docker.containers().values()]
    assert len(pids) >= 2  # the namespace, the generator
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 130 and "Traceback" not in output
    assert "launcher: containers, as asked (Docker 20.10.24, docker-compose 1.29.2)" in output
    assert output.index("building the image whichworker-current") < output.index("2 cells in 2 blocks")
    assert (docker.containers(), docker.networks()) == ({}, []) and gone(pids)
    (folder,) = results.iterdir()
    ended = {path: path.read_text() for path in folder.rglob("cell.json")}
    kept = {path: text for path, text in ended.items() if json.loads(text)["status"] == "finished"}
    assert kept, ended

    status, resumed = finish(["--results", str(results), "--resume", folder.name], program="bench")
    assert status == 0 and "launcher: containers" in resumed, resumed
    assert all(path.read_text() == text for path, text in kept.items())
    assert (docker.containers(), docker.networks()) == ({}, [])
    assert not list(folder.glob(".serve-*"))
    record = json.loads((folder / "run.json").read_text())
    assert (record["launcher"], record["status"], record["unavailable"]) == ("compose", "finished", [])
    # On a machine that is busy otherwise there may be none, and why is told.
    held_up = "no ceiling: the generator was held up" in output + resumed
    assert [each["users"] for each in record["ceilings"]] == [4] or held_up, output + resumed
    assert "locust" in record["suite"]["packages"]
    cells = list(folder.rglob("cell.json"))
    assert len(cells) == 2
    for path in cells:
        cell = json.loads(path.read_text())
        assert (cell["launcher"], cell["status"]) == ("compose", "finished"), cell["reason"]
        assert cell["measured"]["requests"] > 0 and cell["measured"]["failures"] == 0
        for name in (
            "latency.csv",
            "generator.csv",
            "processes.csv",
            "workers.csv",
            "host.csv",
            "server.log",
        ):
            assert (path.parent / name).exists()


def test_what_a_killed_run_leaves_the_next_one_removes(tmp_path, docker, asked):
    docker.leave("stranger", **{"whichworker.checkout": "another"})
    run = start(asked(LIGHTEST))
    await_cells(tmp_path / "results", 1)
    tree = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.communicate()
    assert psutil.wait_procs(tree, LONG_S)[1] == []
    left = {name: facts["pid"] for name, facts in docker.containers().items() if name != "stranger"}
    assert left
    following = start(asked(LIGHTEST))
    assert any("of a run that was killed" in line for line in following.stdout)
    assert not left.keys() & docker.containers().keys() and gone(left.values())
    os.killpg(following.pid, signal.SIGINT)
    following.communicate(timeout=LONG_S)
    assert set(docker.containers()) == {"stranger"} and docker.networks() == []


def test_so_does_one_with_nothing_left_to_measure(tmp_path, docker, asked):
    """As where a run was killed at its very end."""
    status, output = finish(asked(LIGHTEST))
    assert status == 0, output
    (path,) = (tmp_path / "results").glob("*/run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "running"}))
    docker.leave("left", **{cleanup.CHECKOUT_LABEL: cleanup.this_checkout(), cleanup.BENCH_LABEL: "gone-1-1"})
    status, output = finish(asked(LIGHTEST))
    assert status == 0 and "nothing is left to measure" in output and "of a run that was killed" in output
    assert "left" not in docker.containers()


def test_what_is_missing_is_said_in_a_line_or_two(docker, asked):
    docker.note("trouble", "permission")
    status, output = finish(asked(LIGHTEST))
    assert status == 1 and "Traceback" not in output
    assert "error: Docker is installed, but its engine may not be used by this user: permission" in output
    docker.note("trouble", "")
    docker.note("build", "pip")
    status, output = finish(asked(LIGHTEST))
    assert status == 1 and "Traceback" not in output
    assert "error: the image whichworker-current could not be built; the last lines:\n" in output
    status, output = finish([*asked(LIGHTEST), "--port", "8000"])
    assert status == 2 and "--port is for local processes" in output


def test_an_interrupted_build_leaves_no_client(docker, asked):
    docker.note("build", "hang")
    run = start(asked(LIGHTEST))

    def builds():
        assert run.poll() is None
        return (docker.state / "calls").exists() and docker.calls("build")

    wait_until(builds, "an image is built")
    time.sleep(0.3)
    tree = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode != 0 and "Traceback" not in output
    assert psutil.wait_procs(tree, LONG_S)[1] == []
