import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench.processes import ROOT

# On a machine that is busy otherwise, what the generator can reach is measured anew by each of the runs.
pytestmark = pytest.mark.timeout(400)

TINY = """
summary = "for tests"
configurations = ["sanic-single", "granian"]
workers = [1]
repeats = 2
warmup_s = 0.2
measured_s = 1
[scenarios.index]
users = [4]
"""


def bench(*arguments, **options):
    command = [sys.executable, "-m", "bench", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=180, env=environment, **options
    )


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return ["--plan", str(path), "--results", str(tmp_path / "results")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "quik"], 'unknown plan "quik"; did you mean "quick"?'),
        (["--configurations", "sanic,unicorn"], 'unknown configuration "unicorn"; did you mean "uvicorn"?'),
        (["--scenarios", "indx"], 'unknown scenario "indx"; did you mean "index"?'),
        (["--scenarios", "json"], 'unknown scenario "json"; did you mean "json-document"?'),
        (["--users", "many"], '--users takes whole numbers like "8,64", not "many"'),
        (["--users", "0"], "command line: key"),
        (["--rates", "many"], '--rates takes numbers like "1000,3000", not "many"'),
        (["--rates", "0"], 'command line: key "scenarios.index.open.0.rates_per_s.0"'),
        (["--rates", "9", "--users", "1,2"], "with --rates, --users is one number"),
        (["--arrivals", "poisson"], "give --rates too"),
        (
            ["--rates", "9", "--arrivals", "evenly"],
            'unknown kind of arrivals "evenly"; known: const',
        ),
        (["--repeats", "0"], 'command line: key "repeats"'),
        (["--launcher", "proceses"], 'unknown launcher "proceses"; did you mean "processes"?'),
        (["--resume", "nothing"], 'unknown run "nothing"'),
        (["--resume", "x", "--plan", "quick"], "leave out --plan"),
        (
            ["--configurations", "sanic-single", "--workers", "2"],
            "nothing to measure: sanic-single cannot have 2",
        ),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(tmp_path, arguments, message):
    done = bench("run", "--results", str(tmp_path / "results"), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_what_there_is_can_be_listed():
    assert "gunicorn-uvicorn-legacy" in bench("configurations").stdout
    assert "locustfiles/index.py" in bench("scenarios").stdout
    plans = bench("plans").stdout
    assert all(name in plans for name in ("smoke", "quick", "full", "aa"))


def test_the_doctor_says_what_this_machine_has(tmp_path):
    done = bench("doctor", "--results", str(tmp_path))
    for name in ("CPUs", "CPU steal", "other load", "open files", "disk space", 'stack "current"', "Docker"):
        assert name in done.stdout
    assert done.returncode == (1 if "bad" in done.stdout else 0)


def test_unknown_names_elsewhere(tmp_path):
    assert 'did you mean "granian"' in bench("serve", "granion").stderr
    empty = bench("report", "--results", str(tmp_path))
    assert empty.returncode == 2 and "make bench" in empty.stderr


def test_a_report_that_cannot_be_made_says_how_to_retry(tmp_path):
    folder = tmp_path / "20260101-000000-quick"
    folder.mkdir()
    (folder / "run.json").write_text('{"schema": 1}')
    done = bench("report", "--results", str(tmp_path))
    assert done.returncode == 1 and "no report" in done.stderr
    assert f"make report RUN={folder.name}" in done.stderr and "Traceback" not in done.stderr
    assert list(folder.iterdir()) == [folder / "run.json"]


def test_results_that_cannot_be_written_are_told(tmp_path, tiny):
    (tmp_path / "results").write_text("a file, not a folder")
    done = bench("run", *tiny)
    assert done.returncode == 1 and "Not a directory" in done.stderr and "Traceback" not in done.stderr


def processes_of(folder):
    """Everything alive whose command line names a file below a folder, whoever started it."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or [])
    ]


def start(arguments):
    """Start a run in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def await_cells(results, count):
    deadline = time.monotonic() + 120
    while len(list(results.rglob("cell.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.6)  # into the next cell


def test_an_interrupted_run_ends_at_once_and_the_same_command_goes_on(tmp_path, tiny):
    results = tmp_path / "results"
    run = start(tiny)
    await_cells(results, 1)
    tree = psutil.Process(run.pid).children(recursive=True)
    assert len(tree) >= 3  # the generator, serve, the server
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=6)
    assert run.returncode == 130
    (folder,) = results.iterdir()
    assert f"go on:  make bench RUN={folder.name}" in output and "Traceback" not in output
    assert psutil.wait_procs(tree, 0)[1] == []
    record = json.loads((folder / "run.json").read_text())
    kept = {path: path.read_text() for path in folder.rglob("cell.json")}
    assert record["status"] == "interrupted" and record["ended"] and 1 <= len(kept) < 4
    assert not [path for path in folder.rglob("r?") if not (path / "cell.json").exists()]

    again = bench("run", *tiny)
    assert f"going on with {folder.name}" in again.stdout
    assert list(results.iterdir()) == [folder]
    after = json.loads((folder / "run.json").read_text())
    assert (after["status"], after["seed"], after["cells_planned"]) == ("finished", record["seed"], 4)
    assert after["wall_s"] > record["wall_s"] and after["load_s"] == pytest.approx(4 * 1.2, abs=0.01)
    cells = {path: json.loads(path.read_text()) for path in folder.rglob("cell.json")}
    assert len(cells) == 4 and {cell["status"] for cell in cells.values()} == {"finished"}
    assert all(path.read_text() == text for path, text in kept.items())
    for path in cells:
        for name in ("latency.csv", "failures.csv", "generator.csv", "host.csv", "processes.csv"):
            assert (path.parent / name).stat().st_size > 0
    assert after["load_s"] < after["wall_s"]

    resumed = bench("run", "--results", str(results), "--resume", folder.name)
    assert "nothing is left to measure" in resumed.stdout
    changed = bench("run", "--results", str(results), "--resume", folder.name, "--users", "3")
    assert changed.returncode == 2 and "it cannot change: users" in changed.stderr
    record = json.loads((folder / "run.json").read_text())
    record["host"]["machine_id"] = "another"
    (folder / "run.json").write_text(json.dumps(record))
    foreign = bench("run", "--results", str(results), "--resume", folder.name)
    assert foreign.returncode == 1 and "host differ" in foreign.stderr


def test_nothing_outlives_a_run_that_is_killed(tmp_path, tiny):
    run = start(tiny)
    await_cells(tmp_path / "results", 1)
    tree = psutil.Process(run.pid).children(recursive=True)
    assert len(tree) >= 3
    run.kill()
    run.communicate()
    assert psutil.wait_procs(tree, 15)[1] == []
    assert processes_of(tmp_path) == []
    (folder,) = (tmp_path / "results").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"


def test_a_failed_cell_is_status_1_and_the_report_is_tried_all_the_same(tmp_path, tiny):
    narrowed = [*tiny, "--configurations", "sanic-single", "--repeats", "1", "--users", "4,5"]
    run = start(narrowed)
    await_cells(tmp_path / "results", 1)
    (server,) = [
        p
        for p in processes_of(ROOT / ".venvs")
        if "--single-process" in p.cmdline() and run.pid in [parent.pid for parent in p.parents()]
    ]
    server.kill()
    output, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "failed sanic-single, index, 5 users, repeat 1: the server ended by itself" in output
    assert "1 cell failed" in output
