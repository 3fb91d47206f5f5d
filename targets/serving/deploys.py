"""A deploy: the app has a new release, and its server is told to take it up.

The release is a number in a file, which a worker reads once, when it imports the app
(`targets.inside.identity`): it stands for the code. So a worker that was forked from a process which had
imported the app has the old one.
"""

from __future__ import annotations

import http.client
import json
import signal
import time
from pathlib import Path

from targets.catalogue.configurations import Configuration
from targets.serving.readiness import free_port

SIGNAL = signal.SIGUSR1
"""What serve is told to deploy by."""
FIRST = "1"
"""The release that servers start with."""
RESTART = "restart"
"""The way of a server that has no other: it is stopped and started again."""
SWAP = "swap"
"""A way of every server that is behind a proxy: a second copy starts at another port, the proxy is led to it,
and then the first one is stopped."""
STANDBY = "standby"
"""The file, in the folder of the metrics, that says where the second copy answers, once it does."""

_LOCAL = "127.0.0.1"
# How long the inspector may take to listen, and to answer.
_INSPECTOR_S = 10.0
_AGAIN_S = 0.05


class DeployError(Exception):
    """The server could not be told; the message says why."""


def way_of(configuration: Configuration, workers: int) -> str:
    """How a server with so many workers takes up new code: `HUP`, `inspector` or `restart`."""
    if configuration.reload == "HUP-if-several":
        return "HUP" if workers > 1 else RESTART
    return configuration.reload or RESTART


class Deploys:
    """The releases of one server. `way` is how it takes them up, `variables` are for its environment."""

    def __init__(self, release: Path, way: str) -> None:
        """`release` is the file that has the number of the release."""
        self.way = way
        self._release = release
        self._number = int(FIRST)
        self._inspector = free_port() if way == "inspector" else None
        self._release.write_text(FIRST)

    @property
    def variables(self) -> dict[str, str]:
        """Where the release stands; of Sanic's manager also what has it listen for orders."""
        told = {"WHICHWORKER_RELEASE": str(self._release.resolve())}
        if self._inspector is not None:
            told.update(SANIC_INSPECTOR="true", SANIC_INSPECTOR_PORT=str(self._inspector))
        return told

    def publish(self) -> None:
        """Have a new release take the place of the old one, which workers go on with."""
        self._number += 1
        temporary = self._release.with_suffix(".new")
        temporary.write_text(str(self._number))
        temporary.replace(self._release)

    def ask_inspector(self) -> None:
        """What `sanic inspect reload --zero-downtime` does; raises `DeployError`.

        The inspector is a process that starts beside the workers, and may listen later than they.
        """
        deadline = time.monotonic() + _INSPECTOR_S
        while (status := self._order_reload()) is None:
            if time.monotonic() > deadline:
                raise DeployError(f"Sanic's inspector does not listen after {_INSPECTOR_S:g} s")
            time.sleep(_AGAIN_S)
        if status != http.client.OK:
            raise DeployError(f"Sanic's inspector answers {status} to reload")

    def _order_reload(self) -> int | None:
        """The status that the inspector answers; `None` where nobody listens."""
        assert self._inspector is not None
        connection = http.client.HTTPConnection(_LOCAL, self._inspector, timeout=_INSPECTOR_S)
        try:
            order = json.dumps({"zero_downtime": True})
            connection.request("POST", "/reload", order, {"Content-Type": "application/json"})
            return connection.getresponse().status
        except ConnectionRefusedError:
            return None
        except (OSError, http.client.HTTPException) as error:
            raise DeployError(f"Sanic's inspector does not answer: {error!r}") from error
        finally:
            connection.close()
