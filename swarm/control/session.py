"""What a session does: cells and rotations one after another, in one environment of Locust."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from time import time
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner

from ..recording.apart import Apart
from ..recording.files import locust_csv
from ..recording.summary import Window, read_window
from .cell import Cell, CellFailed, Progress, Ramp, allow_fast_spawning, prepare_load
from .pacemaker import LEAD_S, Pacemaker, not_swarm, pacemaker_of
from .plugin import Coordinator, coordinator_of
from .process import QuitOutcome, quit_locust
from .rotation import Order, Rotation
from .rotor import rotor_of
from .scenarios import Scenario, Scenarios
from .segments import ports, segments, why_no_ports
from .spawner import Spawner
from .workers import QUIT_MESSAGE, NotReadyError, Workers

COUNT_LIMIT_S: Final = 20.0
COUNT_OF_USER_S: Final = 0.002
"""How long it may take until a master has counted the users of its workers, and how much longer for each: on
a busy machine a process needs minutes to start and connect tens of thousands."""


class Session:
    """Runs cells in one environment, each with the scenario of one file in place."""

    def __init__(
        self, scenarios: Scenarios, environment: Environment, workers: Workers | None = None
    ) -> None:
        """`workers` are those of the environment's master; without any, users run here.

        Raises LoadError, NotReadyError.
        """
        self._scenarios = scenarios
        self._environment = environment
        self._environment.dispatcher_class = partial(Ramp, environment=environment)  # type: ignore[assignment]
        allow_fast_spawning()
        self._workers = workers
        self._runner: LocalRunner | MasterRunner = (
            self._environment.create_local_runner() if self._workers is None else self._workers.runner
        )
        if self._workers is not None:
            self._workers.await_ready()
        self._aborted: str | None = None
        self._ending = False
        self._rotation: Rotation | None = None
        self._expected = 0  # users of a rotation that must go on running, once all have been counted
        self._carried = segments()  # when the load began
        scenarios.open(self._environment, self._runner)
        self._coordinator: Coordinator = coordinator_of(self._environment)
        self._apart = Apart()
        if self._workers is not None and self._workers.are_elsewhere:
            self._coordinator.apart = self._apart
        scenarios.watch(self._coordinator.code)
        self._pacemaker: Pacemaker = pacemaker_of(self._environment)
        self._pacemaker.automatic = False  # a cell says when
        rotor_of(self._environment)
        self.progress = Progress(self._runner, self._coordinator, self._check)
        self._spawner = Spawner(self._environment, self._runner, self._check)
        self._stopped_by_file = self._quit_by_file = False
        self._environment.events.test_stopping.add_listener(self._note_stopping)
        self._quit_runner = self._runner.quit
        self._runner.quit = self._quit  # type: ignore[method-assign]
        if self._workers is not None:
            self._runner.register_message(QUIT_MESSAGE, self._note_quitting)

    @property
    def processes(self) -> int:
        """How many run users."""
        return 1 if self._workers is None else self._workers.count

    @property
    def generators(self) -> list[dict[str, Any]] | None:
        """Those of other machines; None where all processes are here."""
        return None if self._workers is None else self._workers.record()

    def abort(self, reason: str) -> None:
        """End the current cell as failed."""
        self._aborted = reason

    def over(self) -> None:
        """Tell generators of other machines that no other session follows."""
        if self._workers is not None:
            self._workers.say_over()

    def close(self) -> QuitOutcome:
        """Tell locustfiles that the session ends, stop users and processes."""
        self._ending = True
        goodbye = quit_locust(self._environment)
        if self._workers is not None:
            self._workers.close()
        return goodbye

    def drop(self, target: str, reason: str) -> None:
        """Leave a target out of what the current rotation has left."""
        if self._rotation is not None:
            self._rotation.drop(target, reason)

    def meter(self, readings: Sequence[Any]) -> None:
        """Take what was read elsewhere of the CPU clocks of the current rotation's targets."""
        if self._rotation is not None:
            self._rotation.take_readings(readings)

    def run_rotation(self, order: Order) -> dict[str, Any]:
        """Let all targets settle, go round among them and write their files; returns the `finished` event.

        Raises CellFailed with the reason where there is nothing to be measured.
        """
        self._require(order.scenario)
        if reason := self._why_too_many(order.users * len(order.candidates), order.users):
            raise CellFailed(reason)
        self._begin_load()
        rotation = self._rotation = Rotation(self._environment, self._workers, order, self._check_users)
        try:
            try:
                rotation.prepare(self._scenarios, self.processes)
                self._spawner.spawn(rotation.users)
                self._count_users(rotation.users)
                parts = rotation.run()
            finally:
                self._expected = 0
                self._stop()
            self._check()
            return {**rotation.finish(parts, self._why_silent), "segments": segments().since(self._carried)}
        finally:
            self._rotation = None

    def run_cell(self, cell: Cell) -> dict[str, Any]:
        """Warm up, measure, stop and write one cell; returns its `finished` event.

        Raises CellFailed with the reason where there is nothing to be measured.
        """
        scenario = self._require(cell.scenario)
        self._begin_load()
        self.progress.cell = cell.id
        self._put(scenario, cell)
        environment = self._environment
        try:
            with locust_csv(environment, cell.directory):
                window = self._swarm(cell)
                stats = environment.stats
                figures = Window(stats.num_requests - stats.num_failures, stats.num_failures)
                self._stop()
        finally:
            self._stop()
        self._check()
        if cell.record:  # exact, where Locust's own figures are those of the moment
            figures = read_window(cell.directory, *window)
        if not figures.requests and not figures.failures:
            raise CellFailed(self._why_silent(), see_log=True)
        event = {"event": "finished", "window": {"start": window[0], "end": window[1]}, **asdict(figures)}
        if self._workers is not None:
            event |= self._workers.report(lambda clients: self._apart.figures(clients, *window))
        return {**event, "segments": segments().since(self._carried)}

    def _begin_load(self) -> None:
        self._aborted = None
        self._stopped_by_file = self._quit_by_file = False
        self._carried = segments()
        if self._workers is not None:
            self._workers.check()
            self._workers.begin_load()
            self._pacemaker.lead_s = LEAD_S + self._workers.round_trip_s

    def _require(self, file: str) -> Scenario:
        scenario = self._scenarios.get(file)
        if scenario is None or not scenario.classes:
            raise CellFailed(f"{file} was not loaded with --scenario, or defines no user")
        return scenario

    def _put(self, scenario: Scenario, cell: Cell) -> None:
        """Put a scenario in place, here and in the workers, with the options of a cell."""
        if reason := self._why_too_many(cell.users, cell.users):
            raise CellFailed(reason)
        if cell.arrivals is not None:
            if reason := not_swarm(scenario.classes):
                raise CellFailed(reason)
            if cell.users < self.processes:
                few = f"{cell.users} users, {self.processes} processes"
                raise CellFailed(f"an open loop needs a user in each process: {few}")
        rotor_of(self._environment).clear()
        files = [scenario.file]
        prepare_load(self._environment, self._scenarios, files, cell.load_options(), self._workers)

    def _why_too_many(self, users: int, of_each: int) -> str | None:
        """Why there cannot be so many users, `of_each` server; None: nothing speaks against it."""
        if self._workers is None:
            return why_no_ports(of_each, ports())
        return self._workers.why_too_many(users, of_each)

    def _swarm(self, cell: Cell) -> tuple[int, int]:
        """Spawn the users, warm up, measure whole Unix seconds; returns the window."""
        users = cell.users
        self._spawner.spawn(users)
        self._await_count(users)
        began = self._pacemaker.begin() if cell.arrivals is not None else time()
        start = math.ceil(began + cell.warmup_s)
        self.progress.warm_up(start)
        self._environment.stats.reset_all()  # Locust's own figures are those of the window, too
        end = self.progress.measure(start, cell.measured_s)
        self._expect(users)
        return start, end

    def _expect(self, users: int) -> None:
        """Raise CellFailed where fewer users run by now."""
        if self._workers is not None:
            self._workers.check()
        if self._runner.user_count < users:
            left = self._runner.user_count
            raise CellFailed(self._coordinator.code.why_fewer(users, left, self._spawner.count), see_log=True)

    def _note_stopping(self, **_: object) -> None:
        self._stopped_by_file = not self._ending

    def _note_quitting(self, **_: object) -> None:
        self._quit_by_file = self._stopped_by_file = not self._ending

    def _quit(self) -> None:
        """Locust's `runner.quit`, after which it runs nothing any more: a locustfile may call it."""
        self._note_quitting()
        self._quit_runner()

    def _check_users(self) -> None:
        self._check()
        self._expect(self._expected)

    def _count_users(self, users: int) -> None:
        """Have it checked from now on that so many run."""
        self._await_count(users)
        self._expected = users
        self._check_users()

    def _await_count(self, users: int) -> None:
        """Wait until so many run, of those that were spawned, or have ended: workers tell that later.

        What there is to be said where they do not is for `_expect`.
        """
        if self._workers is None:
            return
        spawned = min(users, self._spawner.count)
        with gevent.Timeout(COUNT_LIMIT_S + COUNT_OF_USER_S * users, False):
            while self._runner.user_count + self._coordinator.code.endings().total() < spawned:
                self._check()
                gevent.sleep(0.02)

    def _check(self) -> None:
        if self._aborted is not None:
            raise CellFailed(self._aborted)
        if self._workers is not None:
            self._workers.check()
        if self._coordinator.error is not None:
            self._environment.process_exit_code = None  # it is not a locustfile that has set it
            raise CellFailed(self._coordinator.error)
        if self._stopped_by_file:
            raise CellFailed(self._why_stopped(), see_log=True, over=self._quit_by_file)

    def _stop(self) -> None:
        """Stop the users and wait until the runner can start again: workers say when they are ready."""
        self._ending = True
        try:
            self._runner.stop()
        finally:
            self._ending = False
        if self._workers is None:
            return
        try:
            self._workers.await_ready()
        except NotReadyError as error:
            raise CellFailed(str(error), see_log=True, over=True) from error

    # -- Why there is nothing to be measured

    def _why_silent(self) -> str:
        if raised := self._coordinator.code.first_exception():
            return f"no request was made: the scenario raised {raised}"
        return "no request was completed in the measured window"

    def _why_stopped(self) -> str:
        if self._workers is not None and (failure := self._workers.failure()) is not None:
            return failure
        reasons = self._coordinator.code.endings()
        if "raised StopTest" in reasons:
            return "the locustfile ended the test: a user raised StopTest"
        return f"the locustfile ended the test: it called runner.{'quit' if self._quit_by_file else 'stop'}()"
