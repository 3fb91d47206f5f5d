"""The first faults of a seed; `make faults` tries hundreds, on every kind of run."""

import subprocess
import sys

from bench.model.files import ROOT
from tests.patience import LONG_S

# What is light of them; of other kinds the tests of their own rooms have faults.
KINDS = "run,resume,rotation"


def test_what_must_hold_holds_whatever_happens_to_runs(tmp_path):
    command = [sys.executable, "-m", "tests.faults", "--faults", "6", "--seed", "3", "--jobs", "3"]
    done = subprocess.run(
        [*command, "--kinds", KINDS, "--folder", str(tmp_path / "faults")],
        cwd=ROOT, capture_output=True, text=True, timeout=3 * LONG_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and "all                                      6" in done.stdout
