"""Renders the run's report while the web UI goes on: `bench report` as a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.launch import last_lines
from bench.processes import spawn, terminate, wait_or_kill

_END_S = 5.0


class Reports:
    """Makes one report at a time. ``close`` ends one that is being made."""

    def __init__(self, run: Path, cpus: Sequence[int], log: Path) -> None:
        """``run`` is the run's folder; ``log`` takes what the command says."""
        self._run = run
        self._cpus = cpus
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._status = 0

    @property
    def folder(self) -> Path:
        """Where the report appears."""
        return self._run.resolve() / "report"

    @property
    def making(self) -> bool:
        """Whether one is being made."""
        return self._process is not None

    def start(self) -> str | None:
        """Begin to make it; returns why not, where it cannot be."""
        if self.making:
            return "a report is being made already"
        if not (self._run / "run.json").exists():
            return "nothing has been recorded yet: start a load, and stop it"
        command = [sys.executable, "-m", "bench", "report", str(self._run.resolve())]
        with self._log.open("wb") as log:
            self._process = spawn(command, self._cpus, stdout=log, stderr=log)
        return None

    def ended(self) -> bool:
        """Whether the one that was being made has ended since it was last asked; ``failure`` says how."""
        if self._process is None or self._process.poll() is None:
            return False
        self._status = self._process.returncode
        self._process = None
        return True

    def failure(self) -> str | None:
        """Why the last one was not made; ``None`` if it was."""
        if self._status == 0:
            return None
        return "the report could not be made:" + last_lines(self._log)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            terminate(self._process)
            wait_or_kill(self._process, _END_S)
