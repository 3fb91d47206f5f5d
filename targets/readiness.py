"""Is the server there, and is it the one that was declared?

Its own answer to `/whoami` decides. A user's own app has no such route, and is sent no request: there it is
what its workers have written down (`targets.identity`), and that its port is open.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from pathlib import Path
from typing import Any, Collection

import psutil

from targets.configurations import Configuration

_TIMEOUT_S = 0.5


class NotReadyError(Exception):
    """No right answer yet; the message says what is missing."""


class UndeclaredError(Exception):
    """The server runs on another event loop or HTTP parser than its configuration declares."""


def reachable(host: str) -> str:
    """The address at which a server that listens on `host` can be reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def free_port() -> int:
    """A port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def ask_whoami(host: str, port: int, configuration: Configuration, pids: Collection[int]) -> dict[str, Any]:
    """The server's answer to `/whoami`, if it comes from this configuration and one of these processes.

    Raises `NotReadyError` or `UndeclaredError`.
    """
    whoami = get_whoami(reachable(host), port, tls=configuration.tls)
    if whoami.get("configuration") != configuration.name:
        raise NotReadyError(f"port {port} is served by configuration {whoami.get('configuration')!r}")
    if whoami["pid"] not in pids:
        raise NotReadyError(f"port {port} is served by another server's process {whoami['pid']}")
    _check_declared(whoami, configuration)
    return whoami


def read_identity(
    path: Path, port: int, configuration: Configuration, pids: Collection[int]
) -> dict[str, Any]:
    """What a worker of a user's own app has written about itself, if one of these processes listens.

    Raises `NotReadyError` or `UndeclaredError`.
    """
    try:
        identity: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotReadyError("no worker has said what serves it") from error
    _check_declared(identity, configuration)
    if not any(
        found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid in pids
        for found in psutil.net_connections("tcp")
    ):
        raise NotReadyError(f"it does not listen on port {port}")
    return identity


def _check_declared(whoami: dict[str, Any], configuration: Configuration) -> None:
    for key, declared in (("loop", configuration.loop), ("parser", configuration.parser)):
        if whoami.get(key) != declared:
            raise UndeclaredError(f"its {key} is {whoami.get(key)!r}, but {declared!r} is declared")


def get_whoami(host: str, port: int, timeout_s: float = _TIMEOUT_S, tls: bool = False) -> dict[str, Any]:
    """What the server there says about itself; raises `NotReadyError` if it does not answer in time.

    By TLS it may have any certificate: clients check it.
    """
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    if tls:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    try:
        connection.request("GET", "/whoami", headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"no answer from {host}:{port}: {error!r}") from error
    finally:
        connection.close()
    try:
        whoami = json.loads(body)
    except ValueError:
        whoami = None
    if response.status != http.client.OK or not isinstance(whoami, dict) or "pid" not in whoami:
        raise NotReadyError(f"/whoami answered {response.status} {body[:80]!r}")
    return whoami
