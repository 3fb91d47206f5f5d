"""The launcher of a server that runs already: nothing is started but the suite's own programs."""

# ruff: noqa: ARG002  (how an external server runs is not decided here)

import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from bench.launch.launcher import ONCE_S
from bench.launch.local import LocalPrograms
from bench.launch.server import ORDINARY, Options, Server, ServerError
from bench.launch.stacks import Environment, Say
from bench.launch.starting import ServerRequest
from bench.machine import cpus
from bench.machine.cpus import CpuSplit
from bench.model.errors import UserError
from bench.model.plans.deployed import Deployed
from targets.catalogue.configurations import Configuration
from targets.catalogue.stack import Stack

_CONNECT_S = 5.0
# A connection that is opened and closed costs a server tens of microseconds.
_LOOK_EVERY_S = 2.0
_PORTS = {"http": 80, "https": 443}


class External(LocalPrograms):
    """The launcher of one external server, which is the only configuration."""

    name = "external"

    def __init__(self, deployed: Deployed, packages: Path | None = None) -> None:
        super().__init__(packages)
        self._deployed = deployed

    def split(self, workers: int, say: Say) -> CpuSplit:
        return cpus.split_beside_external(say)

    def environment(self, stack: Stack, say: Say) -> Environment:
        raise AssertionError(f"nothing is served from the stack {stack.name}")

    def once(
        self, stack: str, arguments: Sequence[str], timeout_s: float = ONCE_S
    ) -> subprocess.CompletedProcess[str]:
        raise AssertionError(f"nothing is served from the stack {stack}")

    def start(
        self,
        configuration: Configuration,
        workers: int | None,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> "ExternalServer":
        """Look whether the server is there; how it runs is decided elsewhere.

        Raises:
            ServerError: it is not.
        """
        url = self._deployed.url
        try:
            _greet(url)
        except OSError as error:
            raise ServerError(f"{url} cannot be reached: {error.strerror or error}") from error
        directory.mkdir(parents=True, exist_ok=True)
        return ExternalServer(url, self._deployed.facts(), directory, None)

    def start_all(self, requests: Sequence[ServerRequest]) -> list[Server | ServerError]:
        raise AssertionError(f"there is one external server, and {len(requests)} were asked for")

    def pids(self, server: Server) -> list[int]:
        """None that are known."""
        return []

    def stop(self, server: Server) -> None:
        """Nothing: it goes on for others."""

    def settle(self) -> None:
        """Nothing: no server was asked to end."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


@dataclass
class ExternalServer(Server):
    """A server that accepted a connection; it is looked at again every two seconds."""

    asked_to_end = False

    _looked: float = field(default_factory=time.monotonic, init=False)
    _refusal: str | None = field(default=None, init=False)

    @property
    def running(self) -> bool:
        """A server that only does not answer may be busy: the measurements show that, and it is no end."""
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._refusal = None
            try:
                _connect(self.url).close()
            except TimeoutError:
                pass
            except OSError as error:
                self._refusal = error.strerror or str(error)
        return self._refusal is None

    def failure(self) -> str | None:
        return None if self.running else f"{self.url} does not take connections any more: {self._refusal}"

    def ending(self) -> None:
        return None

    def kill(self, pid: int) -> float:
        raise ProcessLookupError(f"{pid} is not a process of this suite")

    def deploy(self) -> float:
        raise AssertionError(f"what serves {self.url} is not this suite's to deploy")


def check_presence(url: str) -> None:
    """Raise ``UserError`` where nothing takes connections, before a run is begun."""
    try:
        _greet(url)
    except OSError as error:
        raise UserError(
            f"{url} cannot be reached: {error.strerror or error}.\n"
            "Start the server, or give the --url that it listens at"
        ) from error


def _greet(url: str) -> None:
    """Connect as a client does, by TLS if the URL says so; raises ``OSError``."""
    with _connect(url) as connection:
        parts = urlsplit(url)
        if parts.scheme == "https":
            with _any_certificate().wrap_socket(connection, server_hostname=parts.hostname):
                pass


def _any_certificate() -> ssl.SSLContext:
    """Which certificates are trusted is up to each scenario (``verify``)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _CONNECT_S)
