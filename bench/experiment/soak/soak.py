"""Runs a soak: all servers side by side, each with a generator of its own, until the hours are over.

One thread looks after all: it starts servers and generators, and starts those again that fail. What it starts
must come from the main thread (``processes.spawn``).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from resource import RLIM_INFINITY
from typing import Any

from bench.experiment.blocks import duration
from bench.experiment.generator.session import CellError, Load
from bench.experiment.progress import Ahead
from bench.experiment.rotation.schedule import why_not_side_by_side
from bench.experiment.runner import Runner
from bench.experiment.soak.lane import Lane
from bench.experiment.soak.leg import Leg
from bench.launch.launcher import Launcher
from bench.launch.local import Processes
from bench.launch.server import Options, Server, ServerError
from bench.launch.starting import ServerRequest
from bench.machine.host import open_file_limits
from bench.model.cells import Block, Cell
from bench.model.errors import UserError
from bench.model.files import check_space
from bench.model.plans.plan import Plan
from bench.model.plans.soak import SoakTable, seconds_of
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import NEVER

# Between two looks at the legs; between two of run.json; how long a leg may take to write its last lap.
_LOOK_S, _SAVE_S, _END_S = 1.0, 60.0, 30.0
# Lines that say how far it is, where there is no terminal.
_LINES, _LEAST_BETWEEN_S = 24, 60.0


@dataclass(frozen=True)
class Soak:
    """What is left of a soak: its lanes by their cells, and the seconds of load that were done before."""

    table: SoakTable
    cells: Sequence[Cell]
    done_s: float

    @property
    def left_s(self) -> float:
        """Seconds of load to come."""
        return max(0.0, seconds_of(self.table.hours) - self.done_s)

    @property
    def whole(self) -> str:
        """How long all of it is, in words."""
        return duration(3600 * self.table.hours)

    @property
    def ahead(self) -> Ahead:
        """What is to come, for the progress: in minutes."""
        return Ahead(cells=max(1, round(self.left_s / 60)), seconds=self.left_s)

    @property
    def announcement(self) -> str:
        """What is about to happen, in words."""
        if not self.left_s:
            return "the soak is over, nothing is left to measure"
        before = f" ({duration(self.done_s)} are over)" if self.done_s else ""
        names = dict.fromkeys(cell.configuration for cell in self.cells)
        return (
            f"a soak of {len(self.cells)} servers side by side ({', '.join(names)}), {duration(self.left_s)} "
            f"of load{before}; Ctrl-C pauses it, and make report shows it meanwhile"
        )

    def run(self, runner: Runner, save: Callable[[], None]) -> None:
        """Load all servers while the runner's rig is entered; ``save`` is called now and then.

        ``load_s`` of the runner's outcome grows meanwhile.

        Raises:
            UserError: no server can be started, or the disk is full.
        """
        _Running(self, runner).run(save)


def arrange(
    plan: Plan,
    blocks: Sequence[Block],
    available: Mapping[str, Configuration],
    held: Mapping[str, Any],
    done_s: float,
) -> Soak | None:
    """The soak of a plan, of which ``blocks`` are the starts that can be had here; ``None`` without one.

    ``held`` has the ``port`` that was asked for, and the ``free`` memory where servers run elsewhere.

    Raises:
        UserError: its servers cannot be alive at once.
    """
    if plan.soak is None:
        return None
    # So little load needs no CPU of its own.
    if (why := why_not_side_by_side(plan, available, 2, held["port"], held["free"])) is not None:
        raise UserError(f"a soak has all of its servers alive at once: {why}")
    return Soak(plan.soak, [cell for block in blocks for cell in block.cells], done_s)


class _Running:
    """A soak under way."""

    def __init__(self, soak: Soak, runner: Runner) -> None:
        self._soak = soak
        self._runner = runner
        self._rig = runner.rig
        most, _ = open_file_limits()  # which local servers inherit
        local = isinstance(self._rig.launcher, Processes)
        open_files = most if local and most != RLIM_INFINITY else None
        self._lanes = [
            Lane(cell, runner.folder.cell(cell), soak.table.interval_s, open_files) for cell in soak.cells
        ]
        self._starts = 0
        self._began = self._until = time.monotonic()

    def run(self, save: Callable[[], None]) -> None:
        with ExitStack() as ending:
            ending.callback(self._end)
            self._start(self._lanes)
            if not any(lane.server for lane in self._lanes):
                raise UserError("no server could be started: see above")
            self._generate(self._lanes)
            for lane in self._lanes:
                if lane.session is not None:
                    with suppress(CellError):  # its leg meets the same, and says so
                        lane.session.await_ready()
            self._began = time.monotonic()
            self._until = self._began + self._soak.left_s
            for lane in self._lanes:
                self._load(lane)
            self._go_on(save)

    def _go_on(self, save: Callable[[], None]) -> None:
        """Look after the lanes until the time is over."""
        between_s = max(_LEAST_BETWEEN_S, self._soak.left_s / _LINES)
        saved = told = self._began
        while (left_s := self._until - time.monotonic()) > 0:
            time.sleep(min(left_s, _LOOK_S))
            now = time.monotonic()
            self._count(now)
            self._repair(now)
            self._show(now)
            if now - saved >= _SAVE_S:
                check_space(self._runner.folder.path)
                save()
                saved = now
            if now - told >= between_s:
                self._tell()
                told = now

    def _count(self, now: float) -> None:
        """Note for how long there has been load."""
        self._runner.outcome.load_s = min(now, self._until) - self._began

    def _start(self, lanes: Sequence[Lane]) -> None:
        """Start the servers of some lanes side by side."""
        self._starts += 1
        if self._rig.database is not None:
            scenarios = {lane.cell.scenario for lane in lanes}
            stack = self._runner.configurations[lanes[0].cell.configuration].stack
            self._rig.database.prepare(scenarios, stack)
        outcomes = self._rig.launcher.start_all([self._request(lane) for lane in lanes])
        self._rig.launcher.settle()
        for lane, outcome in zip(lanes, outcomes, strict=True):
            if isinstance(outcome, ServerError):
                lane.refused(str(outcome))
                self._runner.progress.tell_failure(lane.name, str(outcome))
            else:
                lane.begin(outcome)

    def _request(self, lane: Lane) -> ServerRequest:
        cell = lane.cell
        configuration = self._runner.configurations[cell.configuration]
        workers = configuration.serving(cell.workers)
        assert workers is not None  # only an external server's are unknown
        interval_s = self._soak.table.interval_s / 2
        options = Options(
            recycling=cell.recycling or NEVER, sample_interval_s=interval_s, memory_interval_s=interval_s
        )
        place = self._rig.scratch / f"soak-{self._starts}-{self._lanes.index(lane)}"
        return ServerRequest(configuration, workers, place, self._rig.split.for_workers(workers), options)

    def _generate(self, lanes: Sequence[Lane]) -> None:
        """Start generators side by side for the servers that run."""
        for lane in lanes:
            if lane.server is not None:
                session = self._rig.another_session(f"generator-{self._lanes.index(lane) + 1}.log")
                lane.session = session.__enter__()

    def _load(self, lane: Lane) -> None:
        """Put the load on a lane's server, if it has one."""
        server, session = lane.server, lane.session
        if server is None or session is None:
            return
        lap = self._rig.scratch / f"lap-{self._lanes.index(lane)}"
        load = Load(
            host=server.url,
            scenario=self._rig.launcher.inside(self._runner.scenarios[lane.cell.scenario]),
            users=lane.cell.load.users,
            warmup_s=self._runner.plan.warmup_s,
            measured_s=self._runner.plan.measured_s,
            directory=lap,
            arrivals=lane.cell.arrivals(self._runner.seed),
        )
        leg = Leg(session, load, self._until, self._failure(server), take=lambda end: lane.take(end, lap))
        lane.load_by(leg)

    def _failure(self, server: Server) -> Callable[[], str | None]:
        database = self._rig.database
        return lambda: server.failure() or (None if database is None else database.failure())

    def _repair(self, now: float) -> None:
        """End legs that failed, and start servers again that are due; what happened is told."""
        for lane in self._lanes:
            if lane.leg is not None and not lane.leg.is_alive() and now < self._until - _LOOK_S:
                self._stop(self._rig.launcher, lane)
                self._runner.progress.tell_failure(lane.name, lane.failure or "its load ended early")
        due = [lane for lane in self._lanes if lane.leg is None and lane.due <= now]
        if due:
            self._start(due)
            self._generate(due)
            for lane in due:
                self._load(lane)

    def _stop(self, launcher: Launcher, lane: Lane) -> None:
        server = lane.end(_END_S)
        if server is not None:
            launcher.stop(server)

    def _end(self) -> None:
        """End all that runs: first the load, then the servers."""
        self._count(time.monotonic())
        for lane in self._lanes:
            if lane.leg is not None:
                lane.leg.stop()
        with ExitStack() as ending:  # whatever one of them raises
            for lane in self._lanes:
                ending.callback(self._stop, self._rig.launcher, lane)
        outcome = self._runner.outcome
        outcome.failed = sum(lane.failure is not None for lane in self._lanes)
        outcome.finished = sum(lane.legs > 0 for lane in self._lanes) - outcome.failed

    def _show(self, now: float) -> None:
        progress = self._runner.progress
        progress.begin(
            f"soak, {duration(self._until - now)} left of {duration(3600 * self._soak.table.hours)}"
        )
        progress.reach((now - self._began) / max(1.0, self._soak.left_s))
        reports = [lane.leg.report for lane in self._lanes if lane.leg is not None and lane.leg.report]
        keys = ("requests_per_s", "failures_per_s")
        progress.rate({key: sum(report[key] for report in reports) for key in keys}, self._missing)

    def _tell(self) -> None:
        done_s = self._soak.done_s + time.monotonic() - self._began
        said = f"{duration(done_s)} of {duration(3600 * self._soak.table.hours)}"
        self._runner.progress.say(
            f"{said}: {len(self._lanes)} servers{self._missing}; {self._runner.progress.left}"
        )

    @property
    def _missing(self) -> str:
        """Which lanes have no load now."""
        names = [lane.name for lane in self._lanes if lane.failure is not None]
        return f", without load: {'; '.join(names)}" if names else ""
