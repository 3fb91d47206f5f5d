"""A server that ``targets.serve`` runs and meters: how serve is called, and what becomes of the server."""

import json
import re
import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.launch import workers as worker_events
from bench.launch.program import Program
from bench.launch.proxy import Proxy
from bench.model.files import plain
from targets.catalogue.recycling import NEVER, Recycling
from targets.serving import deploys

HOST = "127.0.0.1"
# How often serve samples its process tree: the CPU time of a window is exact to one sample at each end.
SAMPLE_INTERVAL_S = 0.2

# What colours a terminal, or moves its cursor.
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Of so many times the lines that are shown of a log, those that say something are.
_LOOKED_AT = 4

# What serve ends with (docs/contracts.md).
PORT_IN_USE, NOT_METERED = 4, 6
_STOPPED, _ENDED_BY_ITSELF = 0, 5


class ServerError(Exception):
    """A server did not become ready or ended by itself; the text is the reason for people."""


@dataclass(frozen=True)
class Options:
    """How serve runs a server: when workers are replaced, and what is recorded how often (seconds).

    ``None`` leaves a time to serve. ``deploys``: the app will have new releases; ``swapped``: by a second
    copy. Clients come through the ``proxy``, if there is one.
    """

    recycling: Recycling = NEVER
    log_requests: bool = False
    sample_interval_s: float = SAMPLE_INTERVAL_S
    memory_interval_s: float | None = None
    grace_period_s: float | None = None
    deploys: bool = False
    swapped: bool = False
    proxy: Proxy | None = None

    def arguments(self) -> list[str]:
        """The arguments of serve."""
        values = {
            "--sample-interval": self.sample_interval_s,
            "--memory-interval": self.memory_interval_s,
            "--grace-period": self.grace_period_s,
        }
        given = [word for name, value in values.items() if value is not None for word in (name, f"{value:g}")]
        log = ["--log-requests"] if self.log_requests else []
        deployed = ["--deploys"] if self.deploys else []
        return [*recycling_arguments(self.recycling), *given, *log, *deployed]


ORDINARY = Options()


def serve_arguments(configuration: str, address: str, port: int, workers: int) -> list[str]:
    """The arguments of serve for a configuration; the folder of its metrics is still to be added."""
    return [configuration, "--host", address, "--port", str(port), "--workers", str(workers)]


def recycling_arguments(recycling: Recycling) -> list[str]:
    """The arguments that tell serve when workers are to be replaced."""
    values = {
        "--max-requests": recycling.max_requests,
        "--max-requests-jitter": recycling.max_requests_jitter,
        "--max-rss": recycling.max_rss_mib,
    }
    return [word for name, value in values.items() if value is not None for word in (name, str(value))]


class Serve(Program):
    """A ``targets.serve`` that was started."""

    @abstractmethod
    def kill(self, pid: int) -> float:
        """Send SIGKILL to one of its server's processes, named as in workers.csv.

        Returns when it was sent (Unix seconds, not later than it really was).

        Raises:
            ProcessLookupError: there is no such process any more.
        """

    def fetch(self) -> None:
        """Have its files here as they are now."""

    def host_rows(self, start: float) -> list[str] | None:  # noqa: ARG002
        """The rows of server_host.csv since a Unix time; ``None`` where it runs on this machine."""
        return None

    def carried(self) -> dict[str, float] | None:
        """What the network of its machine has carried (``segments.carried``); ``None`` where it is here."""
        return None


@dataclass(frozen=True)
class Ending:
    """When a server's first process ended (Unix seconds) and how; the status is ``None`` where unknown."""

    time: float
    exit_status: int | None


class Front(ABC):
    """The proxy before a server: ``url`` is where clients reach it."""

    proxy: Proxy
    url: str

    @abstractmethod
    def failure(self) -> str | None:
        """Why it is not there any more, with its last lines; ``None`` while it runs."""

    @abstractmethod
    def cpu_s(self) -> float | None:
        """CPU seconds (user and system) that it has used so far; ``None`` if it has ended."""

    @abstractmethod
    def lead_to(self, url: str) -> None:
        """Have it pass requests to another server from now on, without ending what it has under way."""


@dataclass
class Server(ABC):
    """A server that became ready.

    ``url`` is where clients reach it, which is that of its ``front``, where it has one. ``facts`` are its
    server.json. ``directory`` is where its metrics and log grow. ``cpus`` is ``None`` where they are not
    known.
    """

    url: str
    facts: dict[str, Any]
    directory: Path
    cpus: tuple[int, ...] | None
    front: Front | None = field(default=None, repr=False, kw_only=True)

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it still serves."""

    @property
    @abstractmethod
    def asked_to_end(self) -> bool:
        """Whether it is gone because it was told to end."""

    @abstractmethod
    def failure(self) -> str | None:
        """Why clients do not reach it any more, with last lines; ``None`` while they do."""

    @abstractmethod
    def ending(self) -> Ending | None:
        """How it ended; ``None`` while it serves, or where that is not known."""

    @abstractmethod
    def kill(self, pid: int) -> float:
        """Send SIGKILL to one of its processes, as ``Serve.kill`` does."""

    def fetch(self) -> None:  # noqa: B027  (they are, where it runs here)
        """Have the files of its ``directory`` here as they are now."""

    def host_rows(self, start: float) -> list[str] | None:  # noqa: ARG002
        """The rows of server_host.csv since a Unix time; ``None`` where it runs on this machine."""
        return None

    def carried(self) -> dict[str, float] | None:
        """What the network of its machine has carried (``segments.carried``); ``None`` where it is here."""
        return None

    @abstractmethod
    def deploy(self) -> float:
        """Have it take up a new release of its app; returns when that was asked for (Unix seconds).

        One that is swapped starts a second copy, and ends the first one when this is called again.
        """

    @property
    def standby(self) -> str | None:
        """Where its second copy answers; ``None`` as long as there is none."""
        try:
            return (self.directory / deploys.STANDBY).read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None


@dataclass
class StartedServer(Server):
    """A server that a launcher has started."""

    process: Serve = field(repr=False)
    options: Options = ORDINARY

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def asked_to_end(self) -> bool:
        return self.process.poll() == _STOPPED

    def failure(self) -> str | None:
        status = self.process.poll()
        if status is None:
            return None if self.front is None else self.front.failure()
        # Serve's own status says only that the server ended.
        ending = self.ending()
        own = status if ending is None or ending.exit_status is None else ending.exit_status
        how = self.process.cause() or ended(own)
        return f"the server ended by itself ({how})" + last_lines(self.directory / "server.log")

    def ending(self) -> Ending | None:
        if self.process.poll() not in (_STOPPED, _ENDED_BY_ITSELF):
            return None
        death = worker_events.last_end(worker_events.read(self.directory))
        return None if death is None else Ending(death.time, death.exit_status)

    def kill(self, pid: int) -> float:
        return self.process.kill(pid)

    def fetch(self) -> None:
        self.process.fetch()

    def host_rows(self, start: float) -> list[str] | None:
        return self.process.host_rows(start)

    def carried(self) -> dict[str, float] | None:
        return self.process.carried()

    def deploy(self) -> float:
        moment = time.time()
        self.process.signal(deploys.SIGNAL)
        return moment


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a log as an indented block that begins with a line break; empty without a log.

    Colours and movements of the cursor are left out, and so are empty lines.
    """
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    last = text.splitlines()[-_LOOKED_AT * count :]
    lines = [line for line in plain(_SEQUENCE.sub("", "\n".join(last))).split("\n") if line.strip()]
    return "".join(f"\n  {line}" for line in lines[-count:])


def own_log(place: Path) -> Path:
    """Where serve itself writes: beside its metrics, whose folder must be its own."""
    return place.with_suffix(".log")


def ready_facts(place: Path) -> dict[str, Any] | None:
    """The server.json that serve writes when a server is ready; ``None`` before that."""
    try:
        facts: dict[str, Any] = json.loads((place / "server.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return facts


def why_not_ready(name: str, how: str, place: Path) -> str:
    """What serve said on its stderr: its own words, in the first line, and the server's last lines."""
    said = last_lines(own_log(place), 12) or last_lines(place / "server.log")
    why = _own_words(own_log(place)).removeprefix(f"{name} ")
    if why:
        said = "".join(f"\n{line}" for line in said.splitlines()[1:] if not line.startswith("  serve: "))
    return f"{name} did not start ({how}){': ' if why else ''}{why}{said}"


def _own_words(log: Path) -> str:
    """Why serve gave up, which it says before the last lines of the server; empty if it does not."""
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    words = next((line for line in said.splitlines() if line.startswith("serve: ")), "")
    return words.removeprefix("serve: ").partition(". The last lines of ")[0]


def ended(status: int) -> str:
    """An exit status for people."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
