"""The command that says what many open connections cost, with few of them."""

import re
import subprocess
import sys

import pytest

from bench.model.files import ROOT
from tests.bench.launch.remote.wire import why_not
from tests.patience import LONG_S


def test_what_connections_cost_is_told_of_those_that_were_open(current):
    if (lacking := why_not()) is not None:
        pytest.skip(lacking)
    words = [sys.executable, "-m", "tests.bench.launch.remote.many", "--connections", "30", "--pause", "2"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout[done.stdout.index("30 connections were open.") :]
    requests, failed = re.search(r"Of ([\d,]+) requests in 4 s ([\d,]+) failed", told).groups()
    assert int(requests) > 0 and failed == "0"
    assert re.search(r"Generators: [\d,]+ MiB \(PSS\) in all, with 10 connections [\d,]+ MiB: ", told)
    assert "for both ends of a connection" in told
