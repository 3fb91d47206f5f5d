"""Is the server there, and is it the one that was declared? Its own answer to `/whoami` decides."""

from __future__ import annotations

import http.client
import json
from typing import Any, Collection

from targets.configurations import Configuration

_TIMEOUT_S = 0.5


class NotReadyError(Exception):
    """No right answer yet; the message says what is missing."""


class UndeclaredError(Exception):
    """The server runs on another event loop or HTTP parser than its configuration declares."""


def reachable(host: str) -> str:
    """The address at which a server that listens on `host` can be reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def ask_whoami(host: str, port: int, configuration: Configuration, pids: Collection[int]) -> dict[str, Any]:
    """The server's answer to `/whoami`, if it comes from this configuration and one of these processes.

    Raises `NotReadyError` or `UndeclaredError`.
    """
    whoami = get_whoami(reachable(host), port)
    if whoami.get("configuration") != configuration.name:
        raise NotReadyError(f"port {port} is served by configuration {whoami.get('configuration')!r}")
    if whoami["pid"] not in pids:
        raise NotReadyError(f"port {port} is served by another server's process {whoami['pid']}")
    for key, declared in (("loop", configuration.loop), ("parser", configuration.parser)):
        if whoami.get(key) != declared:
            raise UndeclaredError(f"its {key} is {whoami.get(key)!r}, but {declared!r} is declared")
    return whoami


def get_whoami(host: str, port: int, timeout_s: float = _TIMEOUT_S) -> dict[str, Any]:
    """What the server there says about itself; raises `NotReadyError` if it does not answer in time."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
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
