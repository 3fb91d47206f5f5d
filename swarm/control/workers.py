"""The Locust workers of a master on this machine: processes of their own that run the users."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from .process import search_path
from .rotating import Target
from .rotor import rotor_of
from .scenarios import Scenarios

LIMIT_S: Final = 60.0
"""How long workers may take by default to start, or to be ready again after a load."""


PUT_MESSAGE: Final = "whichworker_put"
QUIT_MESSAGE: Final = "whichworker_quit"
"""From a worker: a locustfile has called `runner.quit()`, which ends the test as it does in one process."""


class NotReadyError(Exception):
    """Not all workers are ready; the message is for people."""


class Workers:
    """So many workers of one environment, which gets its master here; they end with this process.

    Each runs `python -m swarm.session --worker`. `await_ready` is to be called before their first load, too.
    """

    def __init__(
        self,
        environment: Environment,
        files: Sequence[str],
        options: Sequence[str],
        count: int,
        limit_s: float = LIMIT_S,
    ) -> None:
        """`files` are the scenarios that the environment runs, `options` what their files were given.

        `limit_s` takes the place of `LIMIT_S`.
        """
        self._limit_s = limit_s
        port = _free_port()
        self.runner = environment.create_master_runner("127.0.0.1", port)
        # -P: where they are may be a folder with modules that are called as ours or Locust's are.
        command = [sys.executable, "-P", "-m", "swarm.session", "--worker", str(port)]
        command += [word for file in files for word in ("--scenario", file)]
        command += [f"--option={word}" for word in options]
        variables = {**os.environ, "PYTHONPATH": search_path()}
        # What they print goes where the errors go, as it does here. Their events have no reader.
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=variables)
            for _ in range(count)
        ]

    def put(
        self,
        files: Sequence[str],
        options: Mapping[str, Any],
        rotation: Mapping[str, Any] | None = None,
    ) -> None:
        """Have all put some scenarios in place for the next test, with options of Locust's own.

        `rotation` has what makes it a rotation: `users` of each target, `targets`, `to_unix_ns`.
        """
        told = {"files": list(files), "options": dict(options), "rotation": rotation}
        self.runner.send_message(PUT_MESSAGE, told)

    def await_ready(self) -> None:
        """Wait until all can start a load. Raises NotReadyError."""
        count = len(self._processes)
        waits_until = monotonic() + self._limit_s
        while True:
            if (failure := self.failure()) is not None:
                raise NotReadyError(failure)
            if (ready := len(self.runner.clients.ready)) >= count:
                return
            if monotonic() > waits_until:
                raise NotReadyError(
                    f"only {ready} of {count} processes of the load generator were ready after "
                    f"{self._limit_s:g} s: give the import of locustfiles more with --import-timeout "
                    "(IMPORT_TIMEOUT=)"
                )
            gevent.sleep(0.02)

    def failure(self) -> str | None:
        """A sentence if some have ended by themselves; None while all run."""
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


def obey_master(runner: WorkerRunner, scenarios: Scenarios) -> None:
    """Put in place here what the master says, before it starts a test of it; leave it to quit."""
    rotor = rotor_of(runner.environment)

    def put(environment: Environment, msg: Any, **_: object) -> None:
        scenarios.put_some(msg.data["files"], environment)
        vars(environment.parsed_options).update(msg.data["options"])
        rotation = msg.data["rotation"]
        if rotation is None:
            rotor.clear()
        else:
            targets = [Target(*each) for each in rotation["targets"]]
            rotor.place(scenarios[msg.data["files"][0]], rotation["users"], targets, rotation["to_unix_ns"])

    runner.register_message(PUT_MESSAGE, put)
    runner.quit = lambda: runner.send_message(QUIT_MESSAGE)  # type: ignore[method-assign]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
