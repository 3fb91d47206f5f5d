"""One fault of the campaign; the rest is `make faults`."""

import subprocess
import sys

from bench.model.files import ROOT
from tests.patience import LONG_S


def test_a_fault_does_no_harm():
    """In a process of its own, which adopts what the run leaves behind."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--faults", "1", "--seed", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * LONG_S, check=False)
    assert done.returncode == 0 and ": no harm\n" in done.stdout, done.stdout + done.stderr
