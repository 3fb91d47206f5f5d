"""Is the server there, and is it the one that was declared?

Its own answer to `/whoami` decides. A user's own app has no such route, and is sent no request: there it is
what its workers have written down (`targets.inside.identity`), and that its port is open.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection

import psutil

from targets.catalogue.configurations import Configuration

_TIMEOUT_S = 0.5


class NotReadyError(Exception):
    """No right answer yet; the message says what is missing."""


class UndeclaredError(Exception):
    """The server runs on another event loop or HTTP parser than its configuration declares."""


@dataclass(frozen=True)
class Place:
    """Where a server listens: on a port of a host, or on the Unix socket `socket` alone."""

    host: str
    port: int
    socket: Path | None = None
    tls: bool = False

    def __str__(self) -> str:
        return f"port {self.port}" if self.socket is None else str(self.socket)

    @property
    def url(self) -> str:
        """Where it can be reached from this machine: a URL, or `unix:PATH`."""
        if self.socket is not None:
            return f"unix:{self.socket}"
        host = reachable(self.host)
        address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        return f"{'https' if self.tls else 'http'}://{address}"

    def connection(self, timeout_s: float) -> http.client.HTTPConnection:
        """A client's connection to it, still to be made. By TLS any certificate will do: clients check it."""
        if self.socket is not None:
            return _UnixConnection(self.socket, timeout_s)
        host = reachable(self.host)
        if self.tls:
            context = ssl._create_unverified_context()
            return http.client.HTTPSConnection(host, self.port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(host, self.port, timeout=timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def reachable(host: str) -> str:
    """The address at which a server that listens on `host` can be reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def ask_whoami(place: Place, configuration: Configuration, pids: Collection[int]) -> dict[str, Any]:
    """The server's answer to `/whoami`, if it comes from this configuration and one of these processes.

    Raises `NotReadyError` or `UndeclaredError`.
    """
    whoami = get_whoami(place)
    if whoami.get("configuration") != configuration.name:
        raise NotReadyError(f"{place} is served by configuration {whoami.get('configuration')!r}")
    if whoami["pid"] not in pids:
        raise NotReadyError(f"{place} is served by another server's process {whoami['pid']}")
    _check_declared(whoami, configuration)
    return whoami


def read_identity(
    path: Path, place: Place, configuration: Configuration, pids: Collection[int]
) -> dict[str, Any]:
    """What a worker of a user's own app has written about itself, if one of these processes listens.

    Raises `NotReadyError` or `UndeclaredError`.
    """
    try:
        identity: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotReadyError("no worker has said what serves it") from error
    _check_declared(identity, configuration)
    if not _listens(place, pids):
        raise NotReadyError(f"it does not listen on {place}")
    return identity


def _listens(place: Place, pids: Collection[int]) -> bool:
    """Whether one of these processes listens there; of a socket's path nobody else knows."""
    if place.socket is not None:
        connection = place.connection(_TIMEOUT_S)
        try:
            connection.connect()
        except OSError:
            return False
        connection.close()
        return True
    return any(
        found.status == psutil.CONN_LISTEN
        and found.laddr
        and found.laddr.port == place.port
        and found.pid in pids
        for found in psutil.net_connections("tcp")
    )


def _check_declared(whoami: dict[str, Any], configuration: Configuration) -> None:
    for key, declared, allowed in (
        ("loop", configuration.loop, (configuration.loop,)),
        ("parser", configuration.parser, configuration.parsers),
    ):
        if whoami.get(key) not in allowed:
            raise UndeclaredError(f"its {key} is {whoami.get(key)!r}, but {declared!r} is declared")


def get_whoami(place: Place, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
    """What the server there says about itself; raises `NotReadyError` if it does not answer in time."""
    connection = place.connection(timeout_s)
    try:
        connection.request("GET", "/whoami", headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"no answer from {place.url}: {error!r}") from error
    finally:
        connection.close()
    try:
        whoami = json.loads(body)
    except ValueError:
        whoami = None
    if response.status != http.client.OK or not isinstance(whoami, dict) or "pid" not in whoami:
        raise NotReadyError(f"/whoami answered {response.status} {body[:80]!r}")
    return whoami
