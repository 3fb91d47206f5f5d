"""Sessions and locust commands as processes of their own, as the suite's users start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import psutil

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
LIMIT_S = 90.0
"""How long anything may take before the test fails: far more than it needs."""


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """A Python process in the project's folder."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=ENVIRONMENT, text=True, **options
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; exit status and standard error."""
    _, errors = process.communicate(timeout=LIMIT_S)
    return process.returncode, errors


def family(pid: int) -> list[psutil.Process]:
    """The process and all that it started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


class SessionProcess:
    """`python -m swarm.session`, spoken to over its pipes."""

    def __init__(self, *scenarios: object, processes: int = 1) -> None:
        arguments = ["-m", "swarm.session", "--processes", processes]
        for scenario in scenarios:
            arguments += ["--scenario", scenario]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in close
        self.process = start(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)

    def send(self, text: str) -> None:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def cell(self, scenario: object, host: str, directory: Path, **fields: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        cell = {"users": 4, "warmup_s": 0, "measured_s": 1, "stop_timeout_s": 5, **fields}
        self.send(
            json.dumps(
                {"command": "cell", "host": host, "scenario": str(scenario), "directory": str(directory)}
                | cell
            )
        )

    def events(self) -> Iterator[dict[str, Any]]:
        """Events as they come, until the session ends."""
        for line in self.process.stdout:
            yield json.loads(line)

    def wait_for(self, *names: str) -> dict[str, Any]:
        """The next event of one of these names; others are passed over."""
        with gevent.Timeout(LIMIT_S, AssertionError(f"no event {names}")):
            for event in self.events():
                if event["event"] in names:
                    return event
        raise AssertionError(f"the session ended: {self.errors}")

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        self.log.seek(0)
        return self.log.read()

    def close(self) -> None:
        for each in family(self.process.pid) if self.process.poll() is None else []:
            each.kill()
        self.process.communicate()
        self.log.close()
