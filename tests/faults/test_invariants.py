"""What must hold after a fault is seen where it does not."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from random import Random

import pytest

from bench.model import folders
from bench.model.files import ROOT
from tests.faults import invariants
from tests.faults.fault import Fault, draw, possible
from tests.faults.kinds import KINDS
from tests.faults.strikes import STRIKES
from tests.fixtures.make_run import Rotating, Spec, make_run
from tests.fixtures.make_soak import Served, leaking, make_soak
from tests.patience import LONG_S
from tests.shared import SHARED

CELL = "sanic/index/c8-w1/r1"
SPEC = Spec(configurations=("sanic",), scenarios={"index": (8,)}, repeats=2, unavailable=())


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", SPEC)


def test_a_run_that_nothing_has_met_holds(run):
    assert invariants.damaged(run) == invariants.scraps(run) == []
    assert invariants.lost(invariants.finished(run), run) == []
    assert len(invariants.shape(run)) == 2 and invariants.incomplete(run, invariants.shape(run)) == []


def test_finished_cells_that_are_gone_or_changed_are_named(run):
    before = invariants.finished(run)
    with (run / CELL / "latency.csv").open("a") as file:
        file.write("\n")
    (run / CELL.replace("r1", "r2") / "cell.json").unlink()
    assert invariants.lost(before, run) == [
        f"the finished cell {CELL} was changed",
        f"the finished cell {CELL.replace('r1', 'r2')} is gone",
    ]
    assert len(invariants.lost(before, run, excused={CELL})) == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("run.json", '{"schema": ', "run.json"),
        (f"{CELL}/cell.json", "{", "cell.json"),
        (f"{CELL}/latency.csv", "second,kind\n1,", "ends in the middle of a line"),
        (f"{CELL}/host.csv", "time,cpu\n1\n", "row 2: other columns"),
    ],
)
def test_a_file_that_is_not_whole_is_named(run, name, text, said):
    (run / name).write_text(text)
    assert any(said in problem for problem in invariants.damaged(run))


def test_a_table_that_is_not_what_its_cell_says_is_named(run):
    path = run / CELL / "cell.json"
    cell = json.loads(path.read_text())
    path.write_text(json.dumps(cell | {"files": {"latency.csv": "0" * 64, "failures.csv": "0" * 64}}))
    assert (
        len([problem for problem in invariants.damaged(run) if "is not what its cell.json says" in problem])
        == 2
    )


def test_what_an_orderly_end_leaves_nothing_of_is_named(run):
    for name in (".serve-x/1-1", ".sitting-1", "sanic/index/c8-w1/r3"):
        (run / name).mkdir(parents=True)
    (run / CELL / ".cell.json.tmp").touch()
    left = invariants.scraps(run)
    assert len(left) == 4 and all(problem.endswith(" was left") for problem in left)


def test_what_a_run_has_less_or_otherwise_than_another_is_named(run, tmp_path):
    expected = invariants.shape(run)
    (run / CELL / "host.csv").unlink()
    more = make_run(
        tmp_path / "more", Spec(**vars(SPEC) | {"repeats": 3, "failed": frozenset({("sanic", "index")})})
    )
    assert invariants.incomplete(run, expected) == [f"the cell {CELL} has other files: ['host.csv']"]
    problems = invariants.incomplete(more, expected)
    assert any("r3, which no other run has" in problem for problem in problems)
    assert any("failed again" in problem for problem in problems)


def test_a_soak_may_only_grow_and_has_its_load(tmp_path):
    run = make_soak(tmp_path / "soak", Served("sanic", leaking(500), legs_h=(0.2,)))
    assert invariants.damaged(run) == invariants.scraps(run) == invariants.reasons(run) == []
    before, expected = invariants.soaked(run), invariants.shape(run)
    assert list(before) == list(expected) and min(before.values()) > 0
    assert invariants.dried(before, run) == []
    (problem,) = invariants.incomplete(run, expected)
    assert problem.startswith("soak has ") and problem.endswith(" s of its load")
    (table,) = run.glob("*/*/*/*/intervals.csv")
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    (problem,) = invariants.dried(before, run)
    assert f"requests of {before[next(iter(before))]}" in problem
    table.write_text("start")
    assert len(invariants.damaged(run)) == len(invariants.dried(before, run)) == 1


def test_what_stays_in_memory_or_among_temporary_files_is_named(tmp_path):
    held = tmp_path / "whichworker-tmp-held"
    for name in ("pymp-1", "whichworker-tmp-left/pymp-2", held.name):
        (tmp_path / name).mkdir(parents=True)
    assert len(invariants.littered(tmp_path, orderly=True)) == 3
    with folders._lock(held):
        left = invariants.littered(tmp_path, orderly=False)
    assert left == [f"{tmp_path / 'pymp-1'} was left", f"{held} was left"]
    with tempfile.NamedTemporaryFile(dir=SHARED, prefix="faults-") as file:
        assert f"{file.name} was left" in invariants.in_memory()


def test_a_window_with_more_arrivals_than_its_seconds_have_is_named(run):
    cell = json.loads((run / CELL / "cell.json").read_text())
    seconds = cell["window"]["end"] - cell["window"]["start"]
    for arrivals, problems in ((100 * seconds, 0), (101 * seconds, 0), (100 * (seconds + 1), 1)):
        load = {"load": {"kind": "open", "rate_per_s": 100}, "measured": {"arrivals": arrivals}}
        (run / CELL / "cell.json").write_text(json.dumps(cell | load))
        assert len(invariants.untrue(run)) == problems


def test_sittings_with_a_failed_cell_are_measured_anew_if_the_run_is_over(tmp_path):
    spec = Spec(
        configurations=("sanic", "uvicorn"), scenarios={"index": (8,)}, repeats=2, rotation=Rotating(),
        unavailable=(),
    )  # fmt: skip
    run = make_run(tmp_path / "run", spec)
    assert invariants.measured_anew(run) == set()
    cell = json.loads((run / CELL / "cell.json").read_text())
    (run / CELL / "cell.json").write_text(json.dumps(cell | {"status": "failed"}))
    assert invariants.measured_anew(run) == {CELL, CELL.replace("sanic", "uvicorn")}
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"status": "interrupted"}))
    assert invariants.measured_anew(run) == set()


@pytest.mark.parametrize(
    ("status", "said", "reasons", "holds"),
    [
        (0, "all is well", [], True),
        (130, "interrupted; 1 cell was finished", [], True),
        (1, "error: no space left", [], False),
        (1, "1 cell failed", ["interrupted by somebody"], True),
        (1, "interrupted", [""], False),
        (0, "1 cell failed", ["nobody knows"], False),
        (1, "interrupted\nTraceback (most recent call last):", [], False),
        (1, "interrupted:\n  Traceback (most recent call last):", [], True),
        (
            1,
            "Python runtime state: core initialized\nTraceback (most recent call last):\ninterrupted",
            [],
            True,
        ),
        (-signal.SIGTERM, "", [], True),
        (-signal.SIGSEGV, "", [], False),
    ],
)
def test_what_is_not_said_of_what_happened(status, said, reasons, holds):
    problems = invariants.unsaid(status, said, reasons, "interrupted", {signal.SIGTERM})
    assert (problems == []) == holds, problems


def test_what_has_lost_its_parent_is_seen():
    """By a process that is a subreaper, as each trial is."""
    program = (
        "import ctypes, os, psutil, subprocess, sys\n"
        "from tests.faults.roles import below\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "subprocess.run(['setsid', '--fork', 'env', '-i', 'sleep', '600'], check=True)\n"
        "while [each.name() for each in below(psutil.Process())] != ['sleep']: pass\n"
        "(left,) = below(psutil.Process())\n"
        "left.kill()\n"
        "while below(psutil.Process()): pass\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=LONG_S, env={**os.environ})


def test_faults_follow_from_their_seed_and_are_possible():
    faults = [draw(7, number, list(KINDS), []) for number in range(300)]
    assert faults == [draw(7, number, list(KINDS), []) for number in range(300)]
    assert faults != [draw(8, number, list(KINDS), []) for number in range(300)]
    assert {fault.kind for fault in faults} == set(KINDS)
    assert len({(fault.strike, fault.role) for fault in faults}) > 60
    for fault in faults:
        assert Fault.of(json.loads(json.dumps(fault.fields()))) == fault
        assert fault.role is None or fault.role in KINDS[fault.kind].roles
        assert fault.count <= KINDS[fault.kind].cells and 0 <= fault.delay_s <= 3
    left = Random(1).sample(sorted(STRIKES), 5)
    assert not {draw(7, number, ["run"], left).strike for number in range(100)} & set(left)
    frozen = set(STRIKES) - {"frozen for good"}
    struck = {draw(7, number, ["proxy"], frozen, ["proxy"]).role for number in range(9)}
    assert struck == {"proxy"} and possible("run", frozen, ["proxy"]) == []
    only = {draw(7, number, ["run"], set(STRIKES) - {"Ctrl-C"}).strike for number in range(9)}
    assert only == {"Ctrl-C"}
