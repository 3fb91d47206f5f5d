"""Runs whose servers, or generators, are on other machines: network namespaces with a real sshd in each."""

import csv
import os
import subprocess
import sys

import pytest

from bench.launch.proxy import installed
from bench.model.files import ROOT
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.model.records.run import Run
from tests.bench.commands import gone
from tests.bench.launch.remote import lab
from tests.bench.launch.remote.wire import HERE, why_not
from tests.patience import LONG_S, wait_until

CPUS = sorted(os.sched_getaffinity(0))
# The ways to each server of a rotation: behind a proxy as well, where there is one.
PROXY, WAYS = (["--proxy", "nginx"], ("", "@nginx")) if installed("nginx") else ([], ("",))
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
ROUND = """
summary = "a moment of a rotation"
configurations = ["uvicorn"]
workers = [1]
repeats = 1
warmup_s = 0.2
measured_s = 1

[aliases]
again = "uvicorn"

[rotation]
sittings = 1
load_s = 0.3
settle_s = 0.1
slice_s = 0.1

[scenarios.index]
users = [4]
"""
LONG = """
summary = "cells that are cut short"
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
def wire(current):
    if (lacking := why_not()) is not None:
        pytest.skip(lacking)
    with lab.machines() as made:
        yield made


@pytest.fixture
def begin(wire, tmp_path):
    """Begins a run of a plan with its servers, or load, elsewhere; its results are in `results`."""
    begun = []

    def start(text, *elsewhere):
        plan = tmp_path / "plan.toml"
        plan.write_text(text)
        words = [sys.executable, "-m", "tests.bench.without_ceilings", "run", "--no-report"]
        words += ["--plan", str(plan), "--results", str(tmp_path / "results"), *elsewhere]
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


def measured(run, tmp_path):
    """The folder of a run, when it has measured all, and what it said."""
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 0, output
    (folder,) = (tmp_path / "results").iterdir()
    return folder, output


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_plan_is_measured_with_its_servers_on_another_machine(wire, begin, tmp_path):
    there = wire.machines["there"]
    folder, output = measured(begin(PLAN, "--server", "there"), tmp_path)
    found = schema.read(folder / "run.json", Run)
    assert (found.launcher, found.plan["server"]) == ("ssh", "there")
    assert found.network.wire.address == there.address
    assert found.server_host.cpus == 1 and found.cpu_split.server == CPUS[:1]
    assert found.network.steered_to is None and found.network.wire.clock.uncertain_ms < 1000
    cells = [(path.parent, schema.read(path, Cell)) for path in folder.glob("*/*/*/*/cell.json")]
    assert {cell.status for _, cell in cells} == {"finished"}, output
    clocks = found.network.wire.clocks
    assert {(each.window["start"], each.window["end"]) for each in clocks} == {
        (cell.window.start, cell.window.end) for _, cell in cells
    }
    assert all(each.before.round_trip_ms.least > 0 < each.after.round_trip_ms.least for each in clocks)
    rotated = [(path, cell) for path, cell in cells if cell.rotation]
    recycled = [(path, cell) for path, cell in cells if cell.treatment == "recycled"]
    assert (len(rotated), len(recycled), len(cells)) == (2, 1, 4)
    for path, cell in rotated:
        assert cell.rotation.manners == ["polls"] and cell.server.url.startswith(f"http://{there.address}:20")
        assert cell.generator.speeds[""][0] > 0 and cell.server.segments.sent > 0
        slices = rows(path / "slices.csv")
        # On a busy machine an edge may be read too late.
        known = [float(row["cpu_s"]) for row in slices if row["cpu_s"]]
        assert slices and all(seconds > 0 for seconds in known)
    ((path, cell),) = recycled
    deaths = [row for row in rows(path / "workers.csv") if (row["event"], row["role"]) == ("died", "worker")]
    assert len(deaths) >= 2 and all(cell.started - 1 < float(row["time"]) < cell.ended + 1 for row in deaths)
    for name in ("processes", "requests", "trace", "latency"):
        assert len(rows(path / f"{name}.csv")) > 1
    assert gone(there.at_work)


def test_a_lost_connection_fails_its_cell_alone_and_a_frozen_host_ends_the_run(wire, begin, tmp_path):
    run, there = begin(LONG, "--server", "there", "--repeats", "2"), wire.machines["there"]
    loaded = lambda rate: list((tmp_path / "results").glob(f"*/uvicorn/index/o{rate}-*/r1"))  # noqa: E731

    def serving():
        assert run.poll() is None, run.communicate()
        return [each for each in there.at_work if "targets.serve" in " ".join(each.cmdline())]

    wait_until(lambda: loaded(20) and serving(), "the first cell is loaded")
    before = there.at_work
    (agent,) = [each for each in before if any("there.agent" in word for word in each.cmdline()[2:])][-1:]
    session = next(each for each in agent.parents() if each.name().startswith("sshd"))
    assert session.pid != there.sshd.pid
    session.kill()
    assert gone([each for each in before if each.pid != session.pid])
    wait_until(lambda: loaded(30) and serving(), "the second cell is loaded, by another connection")
    left = there.at_work
    with there.frozen():
        output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 1 and "Finished cells are kept: give the same command again" in output
    for rate, why in ((20, "there: the connection was lost"), (30, "there has not answered for 15 s")):
        (cell,) = loaded(rate)
        failed = schema.read(cell / "cell.json", Cell)
        assert failed.status == "failed" and why in failed.reason
    assert gone(left)


def test_generators_are_started_elsewhere_and_go_by_one_timetable(wire, begin, tmp_path):
    names = {"one", "two"}
    elsewhere = ["--server", "there", "--generators", "one,two"]
    folder, output = measured(begin(ROUND, *elsewhere, *PROXY), tmp_path)
    found = schema.read(folder / "run.json", Run)
    assert found.plan["generators"] == {"machines": ["one", "two"], "expected": 2, "lost": "end"}
    machines = {each.name: each for each in found.generators.machines}
    assert set(machines) == names and all(each.cpus == CPUS[-1:] for each in machines.values())
    loaded = HERE if PROXY else wire.machines["there"].address
    for each in machines.values():
        assert each.wire.address == loaded and each.wire.mtu == 1500
        assert each.wire.raw.from_bytes_per_s > 0 and each.wire.connect_us.min > 0
    assert "generators: 2 of 2 are there: " in output
    cells = [(path.parent, schema.read(path, Cell)) for path in folder.glob("*/*/*/*/cell.json")]
    assert {cell.status for _, cell in cells} == {"finished"} and len(cells) == 2 * len(WAYS), output
    for path, cell in cells:
        targets = {f"{name}{way}" for name in ("uvicorn", "uvicorn-again") for way in WAYS}
        assert set(cell.rotation.targets) == targets
        assert cell.server.url.startswith(f"http://{wire.machines['there'].address}:20")
        assert {each.name for each in cell.generator.machines} == names
        assert set(cell.generator.speeds) == {"", *names}
        slices = rows(path / "slices.csv")
        assert sum(int(row["requests"]) for row in slices) == cell.measured.requests > 0
        known = [row for row in slices if row["cpu_s"]]
        assert all(float(row["cpu_s"]) > 0 for row in known)
    for name in (*names, "there"):
        assert gone(wire.machines[name].at_work)


def test_a_frozen_generator_fails_its_cell_alone_and_a_killed_suite_leaves_nothing(wire, begin, tmp_path):
    run = begin(LONG, "--generators", "one,two", "--lost-generator", "go on")
    loaded = lambda rate: list((tmp_path / "results").glob(f"*/uvicorn/index/o{rate}-*/r1"))  # noqa: E731

    def under_load(rate):
        assert run.poll() is None, run.communicate()
        return loaded(rate)

    wait_until(lambda: under_load(20), "the first cell is loaded")
    with wire.machines["two"].frozen():
        wait_until(lambda: under_load(30), "the second cell is loaded, by those that are left")
        (first,) = loaded(20)
        failed = schema.read(first / "cell.json", Cell)
        assert failed.status == "failed" and "the generator two was lost" in failed.reason
        left = [*wire.machines["one"].at_work, *wire.machines["two"].at_work]
        run.kill()
    assert gone(left)


def test_a_cable_that_is_pulled_ends_the_run_and_what_is_there(wire, begin, tmp_path):
    one = wire.machines["one"]
    run = begin(LONG, "--server", "there", "--generators", "one")
    loaded = lambda: list((tmp_path / "results").glob("*/uvicorn/index/o20-*/r1"))  # noqa: E731
    wait_until(loaded, "the first cell is loaded")
    # Whatever is there has nobody to hear it any more, and sshd does not know for long.
    alone = [each for each in one.at_work if not each.name().startswith("sshd")]
    one.pull(plugged=False)
    try:
        output, _ = run.communicate(timeout=LONG_S)
        assert gone(alone)
    finally:
        one.pull(plugged=True)
    assert run.returncode == 1 and "no generator is left: one was lost" in output
    (first,) = loaded()
    assert "the generator one was lost" in schema.read(first / "cell.json", Cell).reason
    assert gone(wire.machines["there"].at_work)
