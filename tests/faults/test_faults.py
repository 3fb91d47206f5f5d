"""The first faults of a seed; `make faults` tries hundreds, on every kind of run."""

import json
import subprocess
import sys

from bench.model.files import ROOT
from tests.patience import LONG_S


# Of other kinds of run the tests of their own rooms have faults.
def test_what_must_hold_holds_whatever_happens_to_runs(tmp_path):
    command = [sys.executable, "-m", "tests.faults", "--faults", "4", "--seed", "14", "--jobs", "2"]
    done = subprocess.run(
        [*command, "--kinds", "run", "--folder", str(tmp_path / "faults")],
        cwd=ROOT, capture_output=True, text=True, timeout=3 * LONG_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout, done.stdout
    counts = json.loads((tmp_path / "faults" / "table.json").read_text())["kinds"]
    assert {kind: (each["tried"], each["failed"]) for kind, each in counts.items()} == {"run": (4, 0)}
