import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from types import SimpleNamespace

import psutil
import pytest

from bench.cli.results import report as report_command
from bench.experiment import run as experiment
from bench.model.files import ROOT
from tests import plans
from tests.bench.commands import start_run, told
from tests.patience import LONG_S, wait_until
from tests.ports import free_port

TINY = plans.tiny("sanic-single", "granian", repeats=2, loads=plans.SLOW)


def bench(*arguments, **options):
    command = [sys.executable, "-m", "bench", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S, env=environment, **options
    )


@pytest.fixture(autouse=True)
def _without_ceilings(monkeypatch):
    """Of the runs in this process, as of those that `start_run` starts."""
    monkeypatch.setattr(experiment, "kept_or_measured", lambda *_: [])


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
        (["--plan", "full", "--max-requests", "9"], "--max-requests narrow a plan of recycling, and this is"),
        (["--plan", "full", "--replacements", "9"], "--replacements narrow a plan of recycling"),
        (["--plan", "recycle", "--max-requests", "0"], 'command line: key "recycling.max_requests"'),
        (["--plan", "recycle", "--replacements", "0"], 'command line: key "recycling.replacements"'),
        (
            ["--plan", "recycle", "--users", "8"],
            '"users" are closed loops, and a plan of recycling',
        ),
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
    done = told("run", "--results", str(tmp_path / "results"), *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_the_program_ends_with_the_status_and_the_line_of_its_command(tmp_path):
    done = bench("run", "--results", str(tmp_path / "results"), "--plan", "quik")
    assert done.returncode == 2 and done.stdout == ""
    assert 'unknown plan "quik"; did you mean "quick"?' in done.stderr and done.stderr.count("\n") == 1


def test_what_there_is_can_be_listed():
    configurations = told("configurations").stdout
    assert re.search(
        r"granian \(\d+ variants\); restarts after N requests: no, at a size in memory", configurations
    )
    assert "preload" not in configurations and "uvicorn (" in configurations
    variants = told("configurations", "--variants").stdout
    assert "gunicorn-uvicorn-preload; preload: --preload" in variants
    assert "Expected to change: memory" in variants
    assert "        https://docs.gunicorn.org/en/stable/settings.html#preload-app\n" in variants
    assert "locustfiles/index.py" in told("scenarios").stdout
    plans = told("plans").stdout
    assert all(name in plans for name in ("smoke", "quick", "full", "aa", "recycle"))


def test_no_command_waits_for_what_only_an_analysis_or_a_proxy_needs():
    code = "import sys, bench.cli.main; "
    code += "print({'pandas', 'scipy', 'matplotlib', 'jinja2'} & set(sys.modules)); "
    # Charts are drawn in the process of the notebooks.
    code += "import analysis.report.build; print({'matplotlib', 'IPython'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=LONG_S
    )
    assert done.stdout == "set()\n" * 2


def test_the_doctor_says_what_this_machine_has(tmp_path):
    done = told("doctor", "--results", str(tmp_path))
    for name in ("CPUs", "CPU steal", "other load", "open files", "disk space", 'stack "current"', "Docker"):
        assert name in done.stdout
    assert done.exit_code == (1 if "bad" in done.stdout else 0)


def test_the_doctor_shares_out_a_machine_that_is_not_here():
    lines = told("doctor", "--cpus", "64", "--sockets", "2", "--threads-per-core", "2").stdout.splitlines()
    assert "64 CPUs, 32 cores, 2 sockets with memory of their own" in lines[0]
    rows = {line.split()[0]: line.split() for line in lines[2:9]}
    assert list(rows) == ["1", "2", "4", "8", "16", "32", "64"]
    assert rows["8"][1:5] == ["0-7", "16-18", "19-31,51-63", "3"]
    assert int(rows["64"][5].replace(",", "")) > int(rows["1"][5].replace(",", ""))
    assert any("64 workers: server and generator share a socket's memory" in line for line in lines)
    refused = told("doctor", "--sockets", "2")
    assert refused.exit_code == 2 and "--cpus" in refused.stderr


def test_unknown_names_elsewhere(tmp_path):
    assert 'did you mean "granian"' in told("serve", "granion").stderr
    empty = told("report", "--results", str(tmp_path))
    assert empty.exit_code == 2 and "make bench" in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["granian", "--max-requests", "5"], "counts no requests, it replaces a worker for its memory"),
        (["uvicorn", "--max-rss", "50"], "uvicorn never replaces a worker for its memory"),
        (["uvicorn", "--max-requests-jitter", "5"], "give both, or neither"),
        (["hypercorn", "--max-requests", "5", "--max-requests-jitter", "1"], "cannot spread its restarts"),
        (["uvicorn", "--max-requests", "0"], "max_requests must be at least 1"),
        (["sanic-single", "--workers", "2"], "sanic-single has at most 1 worker"),
    ],
)
def test_what_a_server_cannot_do_is_told_before_it_starts(arguments, message):
    done = told("serve", *arguments)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_a_server_can_be_looked_at_while_it_recycles(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}/whoami"
    command = [sys.executable, "-m", "bench", "serve", "uvicorn", "--port", str(port), "--max-requests", "3"]
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # it leaves its log and metrics to be looked at
    )
    try:
        pids = set()
        deadline = time.monotonic() + LONG_S
        while len(pids) < 2 and time.monotonic() < deadline:
            assert server.poll() is None
            with (
                suppress(OSError, http.client.HTTPException),
                urllib.request.urlopen(url, timeout=5) as answer,
            ):
                pids.add(json.load(answer)["pid"])
            time.sleep(0.05)
        assert len(pids) >= 2
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(LONG_S) == 0


def test_a_report_that_cannot_be_made_says_how_to_retry(tmp_path):
    folder = tmp_path / "20260101-000000-quick"
    folder.mkdir()
    (folder / "run.json").write_text('{"schema": 1}')
    done = told("report", "--results", str(tmp_path))
    assert done.exit_code == 1 and "no report" in done.stderr
    assert f"make report RUN={folder.name}" in done.stderr and "Traceback" not in done.stderr
    assert list(folder.iterdir()) == [folder / "run.json"]


def test_results_that_cannot_be_written_are_told(tmp_path, tiny):
    (tmp_path / "results").write_text("a file, not a folder")
    done = told("run", *tiny)
    assert done.exit_code == 1 and "Not a directory" in done.stderr and "Traceback" not in done.stderr


def processes_of(folder):
    """Everything alive whose command line names a file below a folder, whoever started it."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or [])
    ]


def alive(processes):
    """Those that still run: an orphan that has ended may wait for a moment until the system reaps it."""
    _, left = psutil.wait_procs(processes, 0)
    return [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def await_cell(results, number):
    """Wait until so many cells have begun; each has a folder from then on, and the last no cell.json yet."""
    # Folders whose names begin with a dot come and go.
    wait_until(lambda: len(list(results.glob("*/[!.]*/*/*/r?"))) >= number, f"{number} cells have begun")


def test_an_interrupted_run_ends_at_once_and_the_same_command_goes_on(tmp_path, tiny):
    results = tmp_path / "results"
    run = start_run(tiny)
    await_cell(results, 2)
    tree = psutil.Process(run.pid).children(recursive=True)
    assert len(tree) >= 3  # the generator, serve, the server
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 130
    (folder,) = results.iterdir()
    assert f"go on:  make bench RUN={folder.name}" in output and "Traceback" not in output
    assert alive(tree) == []
    record = json.loads((folder / "run.json").read_text())
    kept = {path: path.read_text() for path in folder.rglob("cell.json")}
    assert record["status"] == "interrupted" and record["ended"] and 1 <= len(kept) < 4
    assert not [path for path in folder.rglob("r?") if not (path / "cell.json").exists()]

    again = told("run", *tiny, "--no-report")
    assert f"make report RUN={folder.name}" in again.stdout
    assert not (folder / "report").exists()
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

    resumed = told("run", "--results", str(results), "--resume", folder.name, "--no-report")
    assert "nothing is left to measure" in resumed.stdout
    changed = told("run", "--results", str(results), "--resume", folder.name, "--users", "3")
    assert changed.exit_code == 2 and "it cannot change: users" in changed.stderr
    record = json.loads((folder / "run.json").read_text())
    record["host"]["machine_id"] = "another"
    # What a stranger's run names is not imported.
    record["plan"]["locustfiles"] = str(folder / "files")
    (folder / "files").mkdir()
    for name in record["plan"]["scenarios"]:
        (folder / "files" / f"{name}.py").write_text(f"open({str(folder / 'imported')!r}, 'w')")
    (folder / "run.json").write_text(json.dumps(record))
    foreign = told("run", "--results", str(results), "--resume", folder.name)
    assert foreign.exit_code == 1 and "host differ" in foreign.stderr and not (folder / "imported").exists()


def test_nothing_outlives_a_run_that_is_killed(tmp_path, tiny):
    run = start_run(tiny)
    await_cell(tmp_path / "results", 2)
    tree = psutil.Process(run.pid).children(recursive=True)
    assert len(tree) >= 3
    run.kill()
    run.communicate()
    assert psutil.wait_procs(tree, LONG_S)[1] == []
    assert psutil.wait_procs(processes_of(tmp_path), LONG_S)[1] == []  # what was started in the last moment
    (folder,) = (tmp_path / "results").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"


def test_a_failed_cell_is_status_1_and_the_report_is_tried_all_the_same(tmp_path, tiny, monkeypatch):
    """A report without a fault, so that the status is that of the cell."""
    reported = []
    rendered = SimpleNamespace(violations=[], regressed=False)
    monkeypatch.setattr(report_command, "render", lambda folder: reported.append(folder) or rendered)

    def kill_the_server():
        await_cell(tmp_path / "results", 2)
        (server,) = [
            p for p in psutil.Process().children(recursive=True) if "--single-process" in p.cmdline()
        ]
        server.kill()

    # Whichever of them is the second: its server dies in it, who has that long to kill it.
    narrowed = [*tiny, "--configurations", "sanic-single", "--repeats", "1", "--users", "4,5"]
    killer = threading.Thread(target=kill_the_server)
    killer.start()
    done = told("run", *narrowed, "--duration", "3")
    killer.join()
    assert done.exit_code == 1
    reason = "failed sanic-single, slow, [45] users, repeat 1: the server ended by itself"
    assert re.search(reason, done.stdout)
    assert "1 cell failed" in done.stderr
    assert reported == list((tmp_path / "results").iterdir())


RECYCLING = """
summary = "for tests"
configurations = ["uvicorn"]
workers = [1]
repeats = 1
warmup_s = 0.2
measured_s = 20
[recycling]
max_requests = 50
replacements = 1
requests = 50
[[scenarios.index.open]]
rates_per_s = [100]
users = 4
[[probes]]
kind = "terminate"
scenario = "long"
rate_per_s = 5
users = 32
after_s = 0.5
measured_s = 20
"""


def served_last(results):
    """The log of the server of the third block, as far as it goes."""
    with suppress(FileNotFoundError):  # it may be taken away meanwhile
        return "".join(log.read_text() for log in results.glob("*/.serve-*/3-*/*/server.log"))
    return ""


def test_a_run_of_recycling_that_is_interrupted_in_a_probe_ends_at_once_and_goes_on(tmp_path):
    """The server has 30 s to answer what it has, which nobody waits for then."""
    path = tmp_path / "recycling.toml"
    path.write_text(RECYCLING)
    results = tmp_path / "results"
    # With this seed the probe comes last.
    arguments = ["--plan", str(path), "--results", str(results), "--seed", "5"]
    run = start_run(arguments)

    def shuts_down():
        assert run.poll() is None
        return "Shutting down" in served_last(results)

    wait_until(shuts_down, "the server shuts down")
    tree = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    output, _ = run.communicate(timeout=25)
    assert run.returncode == 130 and "Traceback" not in output
    assert alive(tree) == []
    (folder,) = results.iterdir()
    kept = {path: path.read_text() for path in folder.rglob("cell.json")}
    assert sorted(path.parent.parent.name for path in kept) == [
        "o100-constant-w1-control",
        "o100-constant-w1-n50",
    ]

    again = told("run", *arguments, "--no-report")
    assert f"going on with {folder.name}" in again.stdout
    cells = {path: json.loads(path.read_text()) for path in folder.rglob("cell.json")}
    assert len(cells) == 3 and {cell["status"] for cell in cells.values()} == {"finished"}
    assert all(path.read_text() == text for path, text in kept.items())
    (probed,) = [cell for cell in cells.values() if cell["probe"]]
    assert probed["server_ended"]["exit_status"] == -signal.SIGTERM  # Uvicorn's own way
    for path, cell in cells.items():
        traced = (path.parent / "trace.csv").read_text().count("\n") - 1
        assert traced >= cell["measured"]["requests"] > 0
        assert (path.parent / "requests.csv").read_text().count(",finished\n") > 0
    more = told("run", "--results", str(results), "--resume", folder.name, "--max-requests", "3")
    assert more.exit_code == 2 and "it cannot change: max_requests" in more.stderr
