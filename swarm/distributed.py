"""The Locust workers of a master on this machine: processes of their own that run the users."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Final

import gevent
from locust.env import Environment

LIMIT_S: Final = 30.0
"""How long workers may take to start, or to be ready again after a load."""


class NotReadyError(Exception):
    """Not all workers are there; the message says so to people."""


class Workers:
    """So many workers of one environment, which gets its master here; they end with this process.

    Each runs `python -m swarm.session --worker`. `await_ready` is to be called before their first load, too.
    """

    def __init__(self, environment: Environment, files: Sequence[str], count: int) -> None:
        """`files` are the scenarios that the environment has the classes of."""
        port = _free_port()
        self.runner = environment.create_master_runner("127.0.0.1", port)
        command = [sys.executable, "-m", "swarm.session", "--worker", str(port)]
        command += [word for file in files for word in ("--scenario", file)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(count)
        ]

    def await_ready(self) -> None:
        """Wait until all can start a load. Raises NotReadyError."""
        count = len(self._processes)
        waits_until = monotonic() + LIMIT_S
        while True:
            if (failure := self.failure()) is not None:
                raise NotReadyError(failure)
            if (ready := len(self.runner.clients.ready)) >= count:
                return
            if monotonic() > waits_until:
                raise NotReadyError(f"only {ready} of {count} processes of the load generator are ready")
            gevent.sleep(0.02)

    def failure(self) -> str | None:
        """In words that some have ended by themselves; None while all run."""
        ended = sum(process.poll() is not None for process in self._processes)
        if not ended:
            return None
        return f"{ended} of {len(self._processes)} processes of the load generator have ended by themselves"

    def close(self) -> None:
        """End them; their input ends, and so do they."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
