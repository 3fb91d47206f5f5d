"""The Locust workers of a master: the processes that run its users, on this machine or elsewhere."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from ..engine.clock import Master
from ..users.leftovers import GoesOnError
from .plugin import coordinator_of
from .process import commands, end_process, quit_locust, search_path
from .rotating import Target
from .rotor import rotor_of
from .scenarios import Scenarios
from .segments import ports, why_no_ports

logger = logging.getLogger(__name__)

LIMIT_S: Final = 60.0
"""How long workers may take by default to start, or to be ready again after a load."""
REPORT_INTERVAL_S: Final = 1.0
"""How often Locust workers report: by default every 3 s, which is as long as some cells."""

PUT_MESSAGE: Final = "whichworker_put"
QUIT_MESSAGE: Final = "whichworker_quit"
"""From a worker: a locustfile has called `runner.quit()`, which ends the test as it does in one process."""


Figures = Callable[[Sequence[str]], Mapping[str, Any]]


class NotReadyError(Exception):
    """Not all workers are ready; the message is for people."""


class Workers(ABC):
    """The workers of one environment, whose master is `runner`.

    `await_ready` is to be called before their first load, too.
    """

    runner: MasterRunner
    are_elsewhere = False
    """Whether they may be on other machines than this one."""
    round_trip_s = 0.0
    """How long a message to a worker, and its answer, may take: beside what they take on one machine."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many there are."""

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

    @abstractmethod
    def await_ready(self) -> None:
        """Wait until all can start a load. Raises NotReadyError."""

    @abstractmethod
    def failure(self) -> str | None:
        """A sentence if some are not there any more; None while all are."""

    @abstractmethod
    def close(self) -> None:
        """End them."""

    def record(self) -> list[dict[str, Any]] | None:
        """The generators of other machines that are there; None where all are here."""
        return None

    def say_over(self) -> None:
        """Tell those of other machines that no other master follows."""
        return

    def why_too_many(self, users: int, of_each: int) -> str | None:
        """Why so many users are too many for them, `of_each` server; None: nothing speaks against it."""
        del users
        return why_no_ports(of_each, ports())

    def begin_load(self) -> None:
        """Do what is to be done before each load."""
        return

    def check(self) -> None:
        """Raise CellFailed where a load cannot go on for their sake."""
        return

    def report(self, figures: Figures) -> dict[str, Any]:
        """What the `finished` event has of them; `figures` are those of some of them, by Locust's ids."""
        del figures
        return {}


class LocalWorkers(Workers):
    """So many workers on this machine, which end with this process.

    Each runs `python -m swarm.session --worker`.
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

    @property
    def count(self) -> int:
        return len(self._processes)

    def await_ready(self) -> None:
        waits_until = monotonic() + self._limit_s
        while True:
            if (failure := self.failure()) is not None:
                raise NotReadyError(failure)
            if (ready := len(self.runner.clients.ready)) >= self.count:
                return
            if monotonic() > waits_until:
                raise NotReadyError(
                    f"only {ready} of {self.count} processes of the load generator were ready after "
                    f"{self._limit_s:g} s: give the import of locustfiles more with --import-timeout "
                    "(IMPORT_TIMEOUT=)"
                )
            gevent.sleep(0.02)

    def failure(self) -> str | None:
        ended = sum(process.poll() is not None for process in self._processes)
        if not ended:
            return None
        return f"{ended} of {self.count} processes of the load generator have ended by themselves"

    def close(self) -> None:
        """End them; their input ends, and so do they."""
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in self._processes:
            process.wait()


def work(scenarios: Scenarios, port: int) -> None:
    """Be one Locust worker of a session on this machine until standard input ends."""
    environment = scenarios.environment()
    runner = environment.create_worker_runner("127.0.0.1", port)
    obey_master(runner, scenarios)
    scenarios.open(environment, runner)
    scenarios.watch(coordinator_of(environment).code)
    for _ in commands():
        pass
    end_process(lambda: quit_locust(environment))


def obey_master(
    runner: WorkerRunner, scenarios: Scenarios, own_names: Mapping[str, str] | None = None
) -> None:
    """Put in place here what the master says, before it starts a test of it; leave it to quit.

    `own_names` are those of the scenarios' files here, by the master's, if they are others.
    """
    rotor = rotor_of(runner.environment)
    names = own_names or {}

    def put(environment: Environment, msg: Any, **_: object) -> None:
        files = [names.get(each, each) for each in msg.data["files"]]
        try:
            scenarios.put_some(files, environment)
        except GoesOnError:
            logger.exception("This process can run no further load")
            runner.quit()
            return
        vars(environment.parsed_options).update(msg.data["options"])
        rotation = msg.data["rotation"]
        if rotation is None:
            rotor.clear()
        else:
            targets = [Target(*each) for each in rotation["targets"]]
            to_unix_ns = rotation["to_unix_ns"] + Master.ahead_ns
            rotor.place(scenarios[files[0]], rotation["users"], targets, to_unix_ns)

    runner.register_message(PUT_MESSAGE, put)
    runner.quit = lambda: runner.send_message(QUIT_MESSAGE)  # type: ignore[method-assign]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
