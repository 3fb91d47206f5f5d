"""Commands of the suite, as tests give them."""

import os
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from bench.experiment import run as experiment
from bench.model.files import ROOT
from tests.patience import LONG_S

LIGHT = ROOT / "tests" / "bench" / "light.toml"
"""The catalogue of servers that start in no time."""


def told(*arguments):
    """What a command says, in this process: one of its own takes seconds to begin."""
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def told_of_run(*arguments):
    """What a run says that measures no ceilings, in this process."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(experiment, "kept_or_measured", lambda *_: [])
        return told("run", *arguments)


def start_run(arguments, *, program="tests.bench.without_ceilings", through=()):
    """Start a run in a process group of its own, as a terminal does; `bench` measures ceilings as well.

    `through` are the words of a command that becomes it.
    """
    return subprocess.Popen(
        [*through, sys.executable, "-m", program, "run", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        env={**os.environ, "COLUMNS": "200"},
    )


def gone(processes, timeout_s=LONG_S):
    """Whether processes, or those of some pids, end in time; nobody else may have the pids meanwhile."""
    known = []
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            known.append(psutil.Process(each) if isinstance(each, int) else each)
    return not psutil.wait_procs(known, timeout_s)[1]
