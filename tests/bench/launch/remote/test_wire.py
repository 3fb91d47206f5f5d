"""A run whose servers are on another machine: a network namespace with a real sshd in it."""

import csv
import os
import subprocess
import sys

import psutil
import pytest

from bench.model.files import ROOT
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.model.records.run import Run
from tests.bench.commands import gone
from tests.bench.launch.remote.wire import THERE, Wire, why_not
from tests.patience import LONG_S, wait_until

CPUS = sorted(os.sched_getaffinity(0))
PLAN = """
summary = "both parts of the default plan, for a moment"
configurations = ["gunicorn-uvicorn"]
workers = [1]
repeats = 1
warmup_s = 0.2
measured_s = 1

[rotation]
sittings = 1
load_s = 0.3
settle_s = 0.2
slice_s = 0.1

[recycling]
max_requests = 60
max_requests_jitter = 0
replacements = 2
requests = 100
measured_s = 30

[scenarios.index]
users = [4]

[[scenarios.index.open]]
rates_per_s = [100]
users = 8
"""
LONG = """
summary = "two cells, of which the first is cut short"
configurations = ["uvicorn"]
workers = [1]
repeats = 1
warmup_s = 0.2
measured_s = 600

[[scenarios.index.open]]
rates_per_s = [20, 30]
users = 4
"""


@pytest.fixture(scope="module")
def wire(tmp_path_factory, make_cache):
    if (lacking := why_not()) is not None:
        pytest.skip(lacking)
    with Wire(tmp_path_factory.mktemp("wire"), make_cache(), CPUS[:1]) as made:
        yield made


@pytest.fixture
def begin(wire, tmp_path):
    """Begins a run of a plan with its servers there; its results are in `results`."""
    begun = []

    def start(text):
        plan = tmp_path / "plan.toml"
        plan.write_text(text)
        words = [sys.executable, "-m", "tests.bench.without_ceilings", "run", "--no-report"]
        words += ["--plan", str(plan), "--server", "there", "--results", str(tmp_path / "results")]
        words = wire.here("taskset", "-c", str(CPUS[-1]), *words)
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = {**os.environ, **wire.environment, "COLUMNS": "200"}
        environment.pop("WHICHWORKER_LAUNCHER", None)
        begun.append(subprocess.Popen(words, cwd=ROOT, env=environment, **streams))
        return begun[-1]

    yield start
    for run in begun:
        run.kill()
        run.communicate()


def at_work(wire):
    """What sshd has running for runs: its sessions, agents, serves and servers."""
    return psutil.Process(wire.sshd.pid).children(recursive=True)


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_plan_is_measured_with_its_servers_on_another_machine(wire, begin, tmp_path):
    run = begin(PLAN)
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 0, output
    (folder,) = (tmp_path / "results").iterdir()
    found = schema.read(folder / "run.json", Run)
    assert (found.launcher, found.plan["server"], found.network.wire.address) == ("ssh", "there", THERE)
    assert found.server_host.cpus == 1 and found.cpu_split.server == CPUS[:1]
    assert found.network.steered_to is None and found.network.wire.clock.uncertain_ms < 1000
    cells = [(path.parent, schema.read(path, Cell)) for path in folder.glob("*/*/*/*/cell.json")]
    assert {cell.status for _, cell in cells} == {"finished"}, output
    rotated = [(path, cell) for path, cell in cells if cell.rotation]
    recycled = [(path, cell) for path, cell in cells if cell.treatment == "recycled"]
    assert (len(rotated), len(recycled), len(cells)) == (2, 1, 4)
    for path, cell in rotated:
        assert cell.rotation.manners == ["polls"] and cell.server.url.startswith(f"http://{THERE}:20")
        slices = rows(path / "slices.csv")
        # On a busy machine an edge may be read too late.
        known = [float(row["cpu_s"]) for row in slices if row["cpu_s"]]
        assert slices and all(seconds > 0 for seconds in known)
    ((path, cell),) = recycled
    deaths = [row for row in rows(path / "workers.csv") if (row["event"], row["role"]) == ("died", "worker")]
    assert len(deaths) >= 2 and all(cell.started - 1 < float(row["time"]) < cell.ended + 1 for row in deaths)
    for name in ("processes", "requests", "trace", "latency"):
        assert len(rows(path / f"{name}.csv")) > 1
    assert gone(at_work(wire))


def test_a_lost_connection_fails_its_cell_alone_and_a_killed_suite_leaves_nothing(wire, begin, tmp_path):
    run = begin(LONG)
    loaded = lambda rate: list((tmp_path / "results").glob(f"*/uvicorn/index/o{rate}-*/r1"))  # noqa: E731

    def serving():
        assert run.poll() is None, run.communicate()
        return [each for each in at_work(wire) if "targets.serve" in " ".join(each.cmdline())]

    wait_until(lambda: loaded(20) and serving(), "the first cell is loaded")
    before = at_work(wire)
    (agent,) = [each for each in before if any("there.agent" in word for word in each.cmdline()[2:])][-1:]
    session = next(each for each in agent.parents() if each.name().startswith("sshd"))
    assert session.pid != wire.sshd.pid
    session.kill()
    assert gone([each for each in before if each.pid != session.pid])
    wait_until(lambda: loaded(30) and serving(), "the second cell is loaded, by another connection")
    (first,) = loaded(20)
    failed = schema.read(first / "cell.json", Cell)
    assert failed.status == "failed" and "there: the connection was lost" in failed.reason
    after = at_work(wire)
    run.kill()
    assert gone(after)
