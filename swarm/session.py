"""One Locust process that runs one cell after the other, told what to do over a pipe.

    python -m swarm.session --scenario locustfiles/index.py --scenario locustfiles/json.py

Locust's start-up is paid once, not once per cell. Commands are JSON lines on standard input, events
are JSON lines on standard output; docs/contracts.md has both. When standard input ends, so does the
session, whatever it is doing: a session never outlives whoever started it.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import argparse
import gc
import json
import logging
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import time
from typing import Any, Final

import gevent
import gevent.event
import locust
import locust.runners
from gevent.fileobject import FileObject
from gevent.queue import Queue
from locust import User, events
from locust.runners import LocalRunner, MasterRunner

from .cell import Cell, CellFailed
from .distributed import NotReadyError, Workers
from .home import enter
from .locust_csv import locust_csv
from .pacemaker import NONE, Pacemaker, not_swarm, pacemaker_of
from .plugin import Coordinator, coordinator_of
from .progress import Progress, emit
from .scenarios import engine_name, environment_of, load
from .summary import Window, read_window

logger = logging.getLogger("swarm.session")

SPAWN_LIMIT_S: Final = 60.0
RAMP_USERS: Final = 64
RAMP_STEPS: Final = 20
RAMP_PAUSE_S: Final = 0.03
"""Users are spawned 64 at a time, or in 20 steps where there are more, 30 ms apart."""
REPORT_INTERVAL_S: Final = 1.0
"""How often Locust workers report: by default every 3 s, which is as long as some cells."""


class Session:
    """Runs cells in one environment. `scenarios` maps files to the user classes they define."""

    def __init__(self, scenarios: Mapping[str, list[type[User]]], processes: int) -> None:
        self._scenarios = scenarios
        self._processes = processes
        self._environment = environment_of(scenarios)
        self._workers = Workers(self._environment, list(scenarios), processes) if processes > 1 else None
        self._runner: LocalRunner | MasterRunner = (
            self._environment.create_local_runner() if self._workers is None else self._workers.runner
        )
        if self._workers is not None:
            self._workers.await_ready()
        self._aborted: str | None = None
        events.init.fire(environment=self._environment, runner=self._runner, web_ui=None)
        self._coordinator: Coordinator = coordinator_of(self._environment)
        self._pacemaker: Pacemaker = pacemaker_of(self._environment)
        self._pacemaker.automatic = False  # it spawns in several steps
        self.progress = Progress(self._runner, self._coordinator, self._check)
        self._spawned = gevent.event.Event()
        self._environment.events.spawning_complete.add_listener(lambda **_: self._spawned.set())

    def abort(self, reason: str) -> None:
        """End the current cell as failed."""
        self._aborted = reason

    def close(self) -> None:
        """Stop users and worker processes."""
        self._runner.quit()
        if self._workers is not None:
            self._workers.close()

    def run_cell(self, cell: Cell) -> dict[str, Any]:
        """Warm up, measure, stop and write one cell; returns its `finished` event.

        Raises CellFailed with the reason where there is nothing to be measured.
        """
        classes = self._scenarios.get(cell.scenario)
        if not classes:
            raise CellFailed(f"{cell.scenario} was not loaded with --scenario, or defines no user")
        self._aborted = None
        self._set_options(cell, classes)
        environment = self._environment
        try:
            with locust_csv(environment, cell.directory):
                window = self._swarm(classes, cell)
                stats = environment.stats
                figures = Window(stats.num_requests - stats.num_failures, stats.num_failures)
                self._stop()
        finally:
            self._stop()
        self._check()
        if cell.record:  # exact, where Locust's own figures are those of the moment
            figures = read_window(cell.directory, *window)
        if not figures.requests and not figures.failures:
            raise CellFailed(self._why_silent())
        return {"event": "finished", "window": {"start": window[0], "end": window[1]}, **asdict(figures)}

    def _set_options(self, cell: Cell, classes: list[type[User]]) -> None:
        """Tell Locust, and through its options its workers, what is to be run."""
        environment, arrivals = self._environment, cell.arrivals
        if arrivals is not None:
            if reason := not_swarm(classes):
                raise CellFailed(reason)
            if cell.users < self._processes:
                few = f"{cell.users} users, {self._processes} processes"
                raise CellFailed(f"an open loop needs a user in each process: {few}")
        environment.host = cell.host
        environment.stop_timeout = cell.stop_timeout_s
        options = environment.parsed_options
        assert options is not None
        options.record = str(cell.directory) if cell.record else ""
        options.trace = cell.trace
        options.arrivals = arrivals.kind if arrivals is not None else NONE
        options.arrival_rate = arrivals.rate_per_s if arrivals is not None else None
        options.arrival_seed = arrivals.seed if arrivals is not None else None

    def _swarm(self, classes: list[type[User]], cell: Cell) -> tuple[int, int]:
        """Spawn the users, warm up, measure whole Unix seconds; returns the window."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # what is loaded by now need not be looked at again while users are waiting
        users = cell.users
        late = CellFailed(f"{users} users were not spawned within {SPAWN_LIMIT_S:g} s")
        with gevent.Timeout(SPAWN_LIMIT_S, late):
            self._spawn(classes, users)
        began = self._pacemaker.begin() if cell.arrivals is not None else time()
        start = math.ceil(began + cell.warmup_s)
        self.progress.warm_up(start)
        self._environment.stats.reset_all()  # Locust's own figures are those of the window, too
        end = self.progress.measure(start, cell.measured_s)
        if self._runner.user_count < users:
            left = self._runner.user_count
            raise CellFailed(f"only {left} of {users} users were still running at the end: see the log")
        return start, end

    def _spawn(self, classes: list[type[User]], users: int) -> None:
        """Spawn users some at a time.

        Some servers queue no more than 100 connections. Users that connect all at once overflow the
        queue, and the kernel tries again a second later (SYN retransmission), which is in the window.
        """
        step = max(RAMP_USERS, users // RAMP_STEPS)
        for count in (*range(step, users, step), users):
            self._spawned.clear()
            self._runner.start(count, spawn_rate=step, user_classes=classes)
            while not self._spawned.wait(0.05):
                self._check()
                failure = getattr(self._runner.spawning_greenlet, "exception", None)
                if failure is not None:
                    raise CellFailed(f"users could not be spawned: {failure}")
            if count < users:
                gevent.sleep(RAMP_PAUSE_S)

    def _check(self) -> None:
        if self._aborted is not None:
            raise CellFailed(self._aborted)
        if self._coordinator.error is not None:
            raise CellFailed(self._coordinator.error)

    def _stop(self) -> None:
        """Stop the users and wait until the runner can start again: workers say when they are ready."""
        self._runner.stop()
        if self._workers is None:
            return
        try:
            self._workers.await_ready()
        except NotReadyError as error:
            raise CellFailed(str(error)) from error

    def _why_silent(self) -> str:
        for exception in self._runner.exceptions.values():
            return f"no request was made: the scenario raised {exception['msg']}"
        return "no request was completed in the measured window"


def _serve(session: Session) -> None:
    """Obey commands until standard input ends."""
    commands: Queue[dict[str, Any]] = Queue()

    def read() -> None:
        for line in FileObject(sys.stdin.buffer, "rb", close=False):
            try:
                command = json.loads(line)
                kind = command["command"]
            except (ValueError, TypeError, KeyError):
                emit(event="failed", reason=f"not a command: {line.decode(errors='replace').strip()}")
                continue
            if kind == "abort":
                session.abort(command.get("reason", "aborted"))
            elif kind == "enough":
                session.progress.enough()
            else:
                commands.put(command)
        os._exit(0)  # nobody listens any more; worker processes see their own input end

    gevent.spawn(read)
    while True:
        command = commands.get()
        try:
            emit(**session.run_cell(Cell.of(command)))
        except CellFailed as failure:
            emit(event="failed", reason=str(failure))
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            emit(event="failed", reason=f"{error.strerror}{where}")


def _work(files: list[str], port: int) -> None:
    """Be one Locust worker of a session until standard input ends."""
    environment = environment_of(load(files))
    runner = environment.create_worker_runner("127.0.0.1", port)
    events.init.fire(environment=environment, runner=runner, web_ui=None)
    FileObject(sys.stdin.buffer, "rb", close=False).read()
    os._exit(0)


def main() -> None:
    """Entry point: see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenario", action="append", required=True, metavar="FILE")
    parser.add_argument("--processes", type=int, default=1, help="Locust workers; 1 (the default) needs none")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where its users are at home")
    parser.add_argument("--worker", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL_S
    enter(arguments.folder)
    if arguments.worker is not None:
        _work(arguments.scenario, arguments.worker)
        return
    scenarios = load(arguments.scenario)
    session = Session(scenarios, arguments.processes)
    emit(
        event="ready",
        locust=locust.__version__,
        processes=arguments.processes,
        scenarios={file: [c.__name__ for c in classes] for file, classes in scenarios.items()},
        engines={file: engine_name(classes) for file, classes in scenarios.items()},
    )
    try:
        _serve(session)
    except KeyboardInterrupt:
        session.close()


if __name__ == "__main__":
    main()
