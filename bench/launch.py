"""Launchers: how a configuration becomes a server that answers.

A launcher is a context manager that owns every server it starts. ``start`` returns a server that is
ready; ``stop`` only asks one to end, so that the next may start meanwhile; ``settle`` waits until those
asked are gone; leaving the context ends them all.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bench import workers as worker_events
from bench.errors import UserError
from bench.processes import ROOT, kill_tree, spawn, terminate, wait_or_kill
from bench.serve_command import HOST, ORDINARY, Options, serve_command
from bench.stacks import Environment
from targets.configurations import Configuration

# What serve ends with (docs/contracts.md).
_STOPPED, _PORT_IN_USE, _ENDED_BY_ITSELF = 0, 4, 5
_PORT_TRIES = 5
# Serve itself gives up after the start-up time-out; this is for one that does not.
_STARTUP_SLACK_S = 10.0
_ONCE_S = 60.0
# The caller's own is for runs that need a database.
NO_DATABASE = {"DATABASE_URL": ""}


class ServerError(Exception):
    """A server did not become ready or ended by itself; the text is the reason for people."""


@dataclass(frozen=True)
class Ending:
    """When a server's first process ended (Unix seconds) and how; the status is ``None`` where unknown."""

    time: float
    exit_status: int | None


@dataclass
class Server:
    """A server that became ready."""

    url: str
    facts: dict[str, Any]  # server.json
    directory: Path  # where its metrics and log grow
    cpus: tuple[int, ...]
    process: subprocess.Popen[bytes] = field(repr=False)
    options: Options = ORDINARY

    @property
    def running(self) -> bool:
        """Whether it is still served and metered."""
        return self.process.poll() is None

    @property
    def asked_to_end(self) -> bool:
        """Whether it is gone because serve was told to end it."""
        return self.process.poll() == _STOPPED

    def failure(self) -> str | None:
        """Why it is not there any more, with its last lines; ``None`` while it serves."""
        status = self.process.poll()
        if status is None:
            return None
        # Serve's own status says only that the server ended.
        ending = self.ending()
        own = status if ending is None or ending.exit_status is None else ending.exit_status
        return f"the server ended by itself ({_ended(own)})" + last_lines(self.directory / "server.log")

    def ending(self) -> Ending | None:
        """How the server ended, as serve saw it; ``None`` while it serves, or if serve failed before it."""
        if self.process.poll() not in (_STOPPED, _ENDED_BY_ITSELF):
            return None
        death = worker_events.last_end(worker_events.read(self.directory))
        return None if death is None else Ending(death.time, death.exit_status)


class Launcher(Protocol):
    """What every launcher can do."""

    name: str
    variables: dict[str, str]

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def start(
        self,
        configuration: Configuration,
        workers: int,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> Server:
        """Start a server and wait until it answers as the right configuration.

        Raises:
            ServerError: it never did; says why with the server's last lines.
            UserError: the port asked for is in use.
        """
        ...

    def stop(self, server: Server) -> None:
        """Ask a server to end; does not wait."""
        ...

    def settle(self) -> None:
        """Wait until every server that was asked to end is gone, so that nothing disturbs a cell."""
        ...

    def once(self, stack: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS`` of a stack to its end, where the servers run; its output is captured.

        Raises:
            subprocess.TimeoutExpired: it takes longer than a minute.
        """
        ...


class Processes:
    """The launcher of local processes: ``targets.serve`` in the environment of the stack."""

    name = "processes"

    def __init__(
        self,
        environments: dict[str, Environment],
        *,
        port: int | None = None,
        catalogue: Path | None = None,
        startup_timeout_s: float = 30.0,
        stop_timeout_s: float = 20.0,
    ) -> None:
        """``environments`` by the name of their stack; without ``port`` every server gets a free one.

        ``catalogue`` is the file that declares the configurations, if it is not the suite's own.
        """
        self._environments = environments
        self.variables = dict(NO_DATABASE)
        self._catalogue = catalogue
        self._port = port
        self._startup_timeout_s = startup_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopping: list[subprocess.Popen[bytes]] = []
        self._longest_grace_s = 0.0  # of the servers that were asked to end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            terminate(process)
        self._stopping += self._running
        self._running = []
        # A run that was interrupted must be over within 5 seconds.
        self._settle(self._stop_timeout_s if kind is None else 2.0)

    def start(
        self,
        configuration: Configuration,
        workers: int,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> Server:
        """See ``Launcher``."""
        if self._port is not None:
            self.settle()
        for attempt in range(_PORT_TRIES):
            process, place = self._spawn(configuration, workers, directory / str(attempt), cpus, options)
            self._running.append(process)
            deadline = time.monotonic() + self._startup_timeout_s + _STARTUP_SLACK_S
            while process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError):
                    facts = json.loads((place / "server.json").read_text())
                    return Server(facts["url"], facts, place, tuple(cpus), process, options)
                time.sleep(0.02)
            self._running.remove(process)
            if process.returncode is None:
                kill_tree(process)
            if process.returncode != _PORT_IN_USE:
                raise ServerError(_why_not_ready(configuration, process.returncode, place))
            if self._port is not None:
                raise UserError(
                    f"port {self._port} is in use on {HOST}; free it, ask for another one with --port, "
                    "or leave --port out and a free one is chosen"
                )
        raise ServerError(f"{_PORT_TRIES} free ports in a row were taken before the server had them")

    def _spawn(
        self,
        configuration: Configuration,
        workers: int,
        directory: Path,
        cpus: Sequence[int],
        options: Options,
    ) -> tuple[subprocess.Popen[bytes], Path]:
        directory.parent.mkdir(parents=True, exist_ok=True)
        environment = self._environments[configuration.stack]
        port = self._port or free_port()
        command = serve_command(environment, configuration.name, port, workers, self._catalogue)
        command += ["--metrics", str(directory.resolve()), *options.arguments()]
        command += ["--startup-timeout", str(self._startup_timeout_s)]
        with _own_log(directory).open("wb") as log:
            return spawn(command, cpus, stdout=log, stderr=log, environment=self.variables), directory

    def stop(self, server: Server) -> None:
        """See ``Launcher``."""
        if server.process in self._running:
            self._running.remove(server.process)
            self._stopping.append(server.process)
            self._longest_grace_s = max(self._longest_grace_s, server.options.grace_period_s or 0)
            terminate(server.process)

    def settle(self) -> None:
        """See ``Launcher``."""
        self._settle(self._stop_timeout_s + self._longest_grace_s)
        self._longest_grace_s = 0.0

    def once(self, stack: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """See ``Launcher``."""
        return subprocess.run(
            [str(self._environments[stack].python), *arguments],
            cwd=ROOT,
            env={**os.environ, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ONCE_S,
        )

    def _settle(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._stopping:
            wait_or_kill(self._stopping[-1], deadline - time.monotonic())
            self._stopping.pop()


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a log as an indented block that begins with a line break; empty without a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return ""
    return "".join(f"\n  {line}" for line in lines)


def _own_log(directory: Path) -> Path:
    """Where serve itself writes: beside its metrics, whose folder must be its own."""
    return directory.with_suffix(".log")


def _why_not_ready(configuration: Configuration, status: int, directory: Path) -> str:
    """What serve said on its stderr: its own words, in the first line, and the server's last lines."""
    said = last_lines(_own_log(directory), 12) or last_lines(directory / "server.log")
    why = _own_words(_own_log(directory)).removeprefix(f"{configuration.name} ")
    if why:
        said = "".join(f"\n{line}" for line in said.splitlines()[1:] if not line.startswith("  serve: "))
    return f"{configuration.name} did not start ({_ended(status)}){': ' if why else ''}{why}{said}"


def _own_words(log: Path) -> str:
    """Why serve gave up, which it says before the last lines of the server; empty if it does not."""
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    words = next((line for line in said.splitlines() if line.startswith("serve: ")), "")
    return words.removeprefix("serve: ").partition(". The last lines of ")[0]


def _ended(status: int) -> str:
    return f"{signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
