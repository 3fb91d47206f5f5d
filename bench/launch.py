"""Launchers: where servers and load generator run, and how a configuration becomes a server that answers.

A launcher is a context manager that owns all it starts. ``start`` returns a server that is ready; ``stop``
only asks one to end, so that the next may start meanwhile; ``settle`` waits until those asked are gone;
leaving the context ends everything.
"""

import contextlib
import json
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Protocol, Self

from bench import workers as worker_events
from bench.serve_command import ORDINARY, Options, serve_arguments
from targets.configurations import Configuration

# What serve ends with (docs/contracts.md).
_STOPPED, _PORT_IN_USE, _ENDED_BY_ITSELF = 0, 4, 5
_PORT_TRIES = 5
# Serve itself gives up after the start-up time-out; this is for one that does not.
_STARTUP_SLACK_S = 10.0
# A run that was interrupted does not wait for long until its servers have ended.
_INTERRUPTED_S = 2.0
ONCE_S = 60.0
# The caller's own is for runs that need a database.
NO_DATABASE = {"DATABASE_URL": ""}


class ServerError(Exception):
    """A server did not become ready or ended by itself; the text is the reason for people."""


class Serve(Protocol):
    """A ``targets.serve`` that was started, as a process or in a container."""

    def poll(self) -> int | None:
        """Its exit status, ``-N`` if signal N ended it; ``None`` while it runs."""

    def terminate(self) -> None:
        """Ask it to end; it need not be running any more."""

    def settle(self, timeout_s: float) -> None:
        """Wait until it has ended; what takes longer is killed with all below it. Nothing is left of it."""

    def cause(self) -> str | None:
        """What ended it, for people, where more is known than its exit status."""

    def kill(self, pid: int) -> float:
        """Send SIGKILL to one of its server's processes, named as in workers.csv.

        Returns when it was sent (Unix seconds, not later than it really was).

        Raises:
            ProcessLookupError: there is no such process any more.
        """


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
    cpus: tuple[int, ...] | None  # None where nobody knows
    process: Serve = field(repr=False)
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
        how = self.process.cause() or _ended(own)
        return f"the server ended by itself ({how})" + last_lines(self.directory / "server.log")

    def ending(self) -> Ending | None:
        """How the server ended, as serve saw it; ``None`` while it serves, or if serve failed before it."""
        if self.process.poll() not in (_STOPPED, _ENDED_BY_ITSELF):
            return None
        death = worker_events.last_end(worker_events.read(self.directory))
        return None if death is None else Ending(death.time, death.exit_status)


class Launcher(ABC):
    """What every launcher can do; how it does it, and where, is in its subclasses.

    ``variables`` reach the environment of every server that is started from then on, ``shared`` that of
    everything; their values are shown to nobody. ``app_options`` tell serve which app it is, if it is not the
    suite's. ``own_network``: what it starts has another 127.0.0.1 than this process.
    """

    name: ClassVar[str]
    own_network: ClassVar[bool] = False

    def __init__(self, *, catalogue: Path | None, startup_timeout_s: float, stop_timeout_s: float) -> None:
        """``catalogue`` is the file that declares the configurations, if it is not the suite's own."""
        self.variables = dict(NO_DATABASE)
        self.shared: dict[str, str] = {}
        self.app_options: list[str] = []
        self._catalogue = catalogue
        self._startup_timeout_s = startup_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._running: list[Serve] = []
        self._stopping: list[Serve] = []
        self._longest_grace_s = 0.0  # of the servers that were asked to end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.terminate()
        self._stopping += self._running
        self._running = []
        self._settle(self._stop_timeout_s if kind is None else _INTERRUPTED_S)

    def start(
        self,
        configuration: Configuration,
        workers: int | None,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> Server:
        """Start a server and wait until it answers as the right configuration.

        ``directory`` takes its metrics and logs; where there is a folder of the run, it lies below that.
        ``workers`` is ``None`` only where the server is not started.

        Raises:
            ServerError: it never did; says why with the server's last lines.
            UserError: the port asked for is in use, or what it is to run on is not there any more.
        """
        assert workers is not None
        for attempt in range(_PORT_TRIES):
            place = directory / str(attempt)
            directory.mkdir(parents=True, exist_ok=True)
            port = self._port()
            arguments = serve_arguments(configuration.name, port, workers, self._catalogue)
            arguments += ["--metrics", str(place.resolve()), *options.arguments(), *self.app_options]
            arguments += ["--startup-timeout", str(self._startup_timeout_s)]
            process = self._serve(configuration, arguments, place, cpus)
            self._running.append(process)
            facts = _await_ready(process, place, self._startup_timeout_s + _STARTUP_SLACK_S)
            if facts is not None:
                return Server(facts["url"], facts, place, tuple(cpus), process, options)
            self._running.remove(process)
            process.settle(0.0)
            status = process.poll()
            assert status is not None
            if status != _PORT_IN_USE:
                how = process.cause() or _ended(status)
                raise ServerError(_why_not_ready(configuration, how, place))
            self._port_is_taken(port)
        raise ServerError(f"{_PORT_TRIES} free ports in a row were taken before the server had them")

    def stop(self, server: Server) -> None:
        """Ask a server to end; does not wait."""
        if server.process in self._running:
            self._running.remove(server.process)
            self._stopping.append(server.process)
            self._longest_grace_s = max(self._longest_grace_s, server.options.grace_period_s or 0)
            server.process.terminate()

    def settle(self) -> None:
        """Wait until every server that was asked to end is gone, so that nothing disturbs a cell."""
        self._settle(self._stop_timeout_s + self._longest_grace_s)
        self._longest_grace_s = 0.0

    def _settle(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._stopping:
            self._stopping[-1].settle(max(0.0, deadline - time.monotonic()))
            self._stopping.pop()

    @abstractmethod
    def _port(self) -> int:
        """A port for the next server."""

    @abstractmethod
    def _port_is_taken(self, port: int) -> None:
        """Hear that a port was in use; raises ``UserError`` where no other may be tried."""

    @abstractmethod
    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> Serve:
        """Start serve with its arguments; what it says itself goes to ``own_log(place)`` until it has ended.

        Raises as ``start`` does.
        """

    def kill(self, server: Server, pid: int) -> float:
        """Send SIGKILL to one of a server's processes, as ``Serve.kill`` does."""
        return server.process.kill(pid)

    @abstractmethod
    def suite(
        self,
        arguments: Sequence[str],
        cpus: Sequence[int],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start ``python ARGUMENTS`` of the suite on some CPUs, where 127.0.0.1 is the servers'.

        Signals reach the program wherever it runs; it ends with the launcher at the latest.
        """

    @abstractmethod
    def inside(self, path: Path) -> str:
        """A path of the checkout, the run's folder or the plan's files, as ``suite``'s programs know it."""

    @abstractmethod
    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        """CPU seconds (user and system) that a program started by ``suite`` has used so far.

        Raises:
            ProcessLookupError: it has ended.
        """

    @abstractmethod
    def once(self, stack: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS`` of a stack to its end, where the servers run; its output is captured.

        Raises:
            subprocess.TimeoutExpired: it takes longer than a minute.
        """


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a log as an indented block that begins with a line break; empty without a log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return ""
    return "".join(f"\n  {line}" for line in lines)


def own_log(place: Path) -> Path:
    """Where serve itself writes: beside its metrics, whose folder must be its own."""
    return place.with_suffix(".log")


def _await_ready(process: Serve, place: Path, timeout_s: float) -> dict[str, Any] | None:
    """The server.json of a server that became ready; ``None`` if serve ended, or not in time."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            facts: dict[str, Any] = json.loads((place / "server.json").read_text(encoding="utf-8"))
            return facts
        time.sleep(0.02)
    return None


def _why_not_ready(configuration: Configuration, how: str, place: Path) -> str:
    """What serve said on its stderr: its own words, in the first line, and the server's last lines."""
    said = last_lines(own_log(place), 12) or last_lines(place / "server.log")
    why = _own_words(own_log(place)).removeprefix(f"{configuration.name} ")
    if why:
        said = "".join(f"\n{line}" for line in said.splitlines()[1:] if not line.startswith("  serve: "))
    return f"{configuration.name} did not start ({how}){': ' if why else ''}{why}{said}"


def _own_words(log: Path) -> str:
    """Why serve gave up, which it says before the last lines of the server; empty if it does not."""
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    words = next((line for line in said.splitlines() if line.startswith("serve: ")), "")
    return words.removeprefix("serve: ").partition(". The last lines of ")[0]


def _ended(status: int) -> str:
    """An exit status for people."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
