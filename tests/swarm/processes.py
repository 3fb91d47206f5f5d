"""Sessions and locust commands as processes of their own, as the suite's users start them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gevent
import psutil

from tests.patience import LONG_S

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def start(
    *arguments: object, variables: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """A Python process in the project's folder, with these variables besides."""
    environment = {**ENVIRONMENT, **(variables or {})}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, text=True, **options
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; exit status and standard error."""
    _, errors = process.communicate(timeout=LONG_S)
    return process.returncode, errors


def family(pid: int) -> list[psutil.Process]:
    """The process and all that it started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def total(path: Path, column: str = "count") -> int:
    """The sum of a column of a CSV file."""
    with path.open(newline="") as file:
        return sum(int(row[column]) for row in csv.DictReader(file))


def column(path: Path, name: str) -> list[str]:
    """A column of a CSV file."""
    with path.open(newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


class SessionProcess:
    """`python -m swarm.session`, spoken to over its pipes."""

    def __init__(
        self,
        *scenarios: object,
        processes: int = 1,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        words: Sequence[str] = (),
    ) -> None:
        """`words` are further ones of its command line."""
        arguments = [
            "-m",
            "swarm.session",
            "--processes",
            processes,
            *(f"--option={each}" for each in options),
            *words,
        ]
        for scenario in scenarios:
            arguments += ["--scenario", scenario]
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # closed in close
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = start(*arguments, variables=variables or {}, **pipes)

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
        with gevent.Timeout(LONG_S, AssertionError(f"no event {names}")):
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


# -- Locustfiles as people write them

USER = """
class {name}(HttpUser):
    wait_time = constant(0.01)
    @task
    def look(self):
        {body}
"""
GET = 'self.client.get("/")'


def locustfile(head: str = "", name: str = "Visitor", body: str = GET) -> str:
    """A locustfile with something before its only class, of Locust's own users."""
    lines = [
        "from locust import *",
        "from locust.exception import StopUser",
        "import json, logging, os, sys, subprocess, threading, time",
        head,
    ]
    return "\n".join(lines) + USER.format(name=name, body=body)
