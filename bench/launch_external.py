"""The launcher of a server that runs already: nothing is started but the suite's own programs."""

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.deployed import Deployed
from bench.errors import UserError
from bench.launch import Server, ServerError
from bench.launch_processes import Processes
from bench.serve_command import ORDINARY, Options
from targets.configurations import Configuration

_CONNECT_S = 5.0
# A connection that is opened and closed costs a server tens of microseconds.
_LOOK_EVERY_S = 2.0
_GONE = 1
_PORTS = {"http": 80, "https": 443}


class Presence:
    """Whether something accepts connections at a URL, as a ``launch.Serve`` that nobody can end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._looked = time.monotonic()
        self._gone: str | None = None

    def poll(self) -> int | None:
        """See ``Serve``; looks every two seconds, and again once it was gone.

        Who only does not answer may be busy: that shows in the measurements, and is no end.
        """
        if time.monotonic() - self._looked >= _LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._gone = None
            try:
                _connect(self._url).close()
            except TimeoutError:
                pass
            except OSError as error:
                self._gone = error.strerror or str(error)
        return None if self._gone is None else _GONE

    def cause(self) -> str | None:
        """See ``Serve``."""
        return self._gone

    def terminate(self) -> None:
        """Nothing: it is not ours."""

    def settle(self, timeout_s: float) -> None:
        """Nothing: it is not ours."""

    def kill(self, pid: int) -> float:
        """See ``Serve``; no plan that comes so far asks for it."""
        raise ProcessLookupError(f"{pid} is no process of ours")


@dataclass
class Found(Server):
    """A server that accepted a connection."""

    def failure(self) -> str | None:
        """See ``Server``."""
        return (
            None if self.running else f"{self.url} does not take connections any more: {self.process.cause()}"
        )

    def ending(self) -> None:
        """Nothing is known of it."""


class External(Processes):
    """See ``Launcher``; there is one configuration, and its server is that of a URL."""

    name = "external"

    def __init__(self, deployed: Deployed) -> None:
        super().__init__({})
        self._deployed = deployed

    def start(
        self,
        configuration: Configuration,  # noqa: ARG002  (there is one)
        workers: int | None,  # noqa: ARG002  (nobody knows)
        directory: Path,
        cpus: Sequence[int],  # noqa: ARG002  (nobody pins it)
        options: Options = ORDINARY,
    ) -> Found:
        """Look whether the server is there.

        Raises:
            ServerError: it is not.
        """
        url = self._deployed.url
        try:
            _greet(url)
        except OSError as error:
            raise ServerError(f"{url} cannot be reached: {error.strerror or error}") from error
        directory.mkdir(parents=True, exist_ok=True)
        return Found(url, self._deployed.facts(), directory, None, Presence(url), options)

    def stop(self, server: Server) -> None:
        """Nothing: it goes on for whoever it serves."""


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
    """Whom a scenario trusts is its own decision (``verify``)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), _CONNECT_S)
