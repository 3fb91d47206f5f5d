"""A rotation of a session: its command, its conversation with the processes, and its result."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, perf_counter_ns, time
from typing import Any, Final

import gevent
from gevent.event import AsyncResult
from locust.env import Environment

from ..engine import clock
from ..engine.rotation.meters import Meters
from ..engine.rotation.timetable import Timetable, settling_order
from ..engine.stage import MANNERS
from ..recording.batch import SERVICE
from ..recording.files import write_exceptions
from ..recording.slices import Loaded, Part, Slice, merged_slices, metered, share_of, write_loaded
from ..recording.summary import Window, percentiles
from .cell import RAMP_PAUSE_S, CellFailed, LoadOptions, prepare_load, rate_of, step_of
from .crew import Pending, crew_of
from .meterreader import MeterReader
from .process import emit
from .rotating import Target, spread
from .rotor import BEGIN, DROP, SETTLE, packed, rotor_of
from .scenarios import Scenarios
from .workers import Workers

LEAD_S: Final = 0.1
"""The first slice opens this much after the timetable was drawn: all processes know of it by then."""
LATE_S: Final = 30.0
"""How much longer than planned a rotation may take before it is given up."""
SETTLE_LIMIT_S: Final = 60.0
"""The same of a target that settles."""
READINGS_S: Final = 10.0
"""How long others may take after the last window to send what they have read of CPU clocks."""

logger = logging.getLogger("swarm.rotation")


@dataclass(frozen=True)
class Candidate:
    """A target of a rotation: where its files go, and the processes that serve it.

    `server` names what it leads to, which may be another one's as well.
    """

    name: str
    host: str
    directory: Path
    pids: tuple[int, ...]
    server: str


@dataclass(frozen=True)
class Order:
    """A `rotate` command, checked. Times are seconds; `slice_s` is None where it is to be drawn."""

    id: str | None
    scenario: str
    users: int
    stop_timeout_s: float
    seed: int
    load_s: float
    settle_s: float
    slice_s: float | None
    manners: tuple[str, ...]
    cpus: tuple[int, ...]
    candidates: tuple[Candidate, ...]
    elsewhere: bool = False
    """Others read the CPU clocks of the targets, on another machine: they are told the timetable."""

    @classmethod
    def of(cls, command: Mapping[str, Any]) -> Order:
        """Read a command. Raises CellFailed where fields are missing or cannot be what they should."""
        required = ("scenario", "users", "seed", "load_s", "settle_s", "manners", "cpus", "targets")
        if missing := [name for name in required if name not in command]:
            raise CellFailed(f"not a complete rotate command: it lacks {', '.join(missing)}")
        try:
            slice_s = command.get("slice_s")
            order = cls(
                id=command.get("cell"),
                scenario=command["scenario"],
                users=int(command["users"]),
                stop_timeout_s=float(command.get("stop_timeout_s", 1.0)),
                seed=int(command["seed"]),
                load_s=float(command["load_s"]),
                settle_s=float(command["settle_s"]),
                slice_s=None if slice_s is None else float(slice_s),
                manners=tuple(map(str, command["manners"])),
                cpus=tuple(map(int, command["cpus"])),
                candidates=tuple(map(_candidate, command["targets"])),
                elsewhere=bool(command.get("elsewhere", False)),
            )
        except (TypeError, ValueError, KeyError) as error:
            raise CellFailed(f"not a rotate command: {error}") from error
        order._check()
        return order

    def _check(self) -> None:
        names = [each.name for each in self.candidates]
        if not names or len(set(names)) < len(names):
            raise CellFailed("not a rotate command: its targets need a name each, which no other has")
        if not self.manners or set(self.manners) - set(MANNERS):
            raise CellFailed(f"not a rotate command: manners is a list of {' and '.join(MANNERS)}")
        if min(self.load_s, self.settle_s, self.slice_s or 1.0) <= 0 or self.users < 1:
            raise CellFailed("not a rotate command: users, load_s, settle_s and slice_s are more than 0")

    @property
    def targets(self) -> list[Target]:
        return [Target(each.name, each.host) for each in self.candidates]

    @property
    def servers(self) -> dict[str, str]:
        """By target the first one that leads to the same server: its own name, unless several ways do."""
        first: dict[str, str] = {}
        return {each.name: first.setdefault(each.server, each.name) for each in self.candidates}

    def load_options(self) -> LoadOptions:
        """What its load is to be; each class of users has its own host."""
        return LoadOptions(
            host=None,
            users=self.users * len(self.candidates),
            spawn_rate=rate_of(self.users),
            run_time_s=None,
            stop_timeout_s=self.stop_timeout_s,
            directory=None,
        )


def _candidate(given: Mapping[str, Any]) -> Candidate:
    return Candidate(
        name=str(given["name"]),
        host=str(given["host"]),
        directory=Path(given["directory"]),
        pids=tuple(map(int, given["pids"])),
        server=str(given.get("server", given["name"])),
    )


class Rotation:
    """One rotation, from its users' spawning to its files. `check` raises where it must not go on."""

    def __init__(
        self, environment: Environment, workers: Workers | None, order: Order, check: Callable[[], None]
    ) -> None:
        self._environment = environment
        self._workers = workers
        self._order = order
        self._check = check
        self._rotor = rotor_of(environment)
        self._crew = crew_of(environment)
        self._dropped: dict[str, str] = {}
        self._table: Timetable | None = None
        self._settled: list[str] = []
        self._report: dict[str, Any] = {}  # of generators of other machines
        self._readings = AsyncResult()
        self.users = order.users * len(order.candidates)

    def prepare(self, scenarios: Scenarios, processes: int) -> None:
        """Put the users of all targets in place, here and in the workers. Raises CellFailed."""
        order, scenario = self._order, scenarios[self._order.scenario]
        if reason := scenarios.why_blocks(order.scenario):
            raise CellFailed(reason)
        if order.users < processes:
            few = f"{order.users} users, {processes} processes"
            raise CellFailed(f"a rotation needs a user of each target in each process: {few}")
        if (most := sum(spread(scenario.classes, order.users).values())) < order.users:
            raise CellFailed(f"the scenario has no more than {most} users (fixed_count), not {order.users}")
        to_unix_ns = clock.to_unix_ns()
        targets = order.targets
        rotation = {"users": order.users, "targets": targets, "to_unix_ns": to_unix_ns}
        files = [scenario.file]
        prepare_load(self._environment, scenarios, files, order.load_options(), self._workers, rotation)
        self._rotor.place(scenario, order.users, targets, to_unix_ns)
        self._to_unix_ns = to_unix_ns

    def drop(self, target: str, reason: str) -> None:
        """Leave out what a target has left. Others keep their slices."""
        if target in {each.name for each in self._order.candidates} and target not in self._dropped:
            self._dropped[target] = reason
            self._crew.tell(DROP, {"target": target})

    def take_readings(self, readings: Sequence[Any]) -> None:
        """Take what others have read of the CPU clocks of the targets, as `slices.metered` does."""
        self._readings.set([(float(moment), dict(cpu_ns)) for moment, cpu_ns in readings])

    def run(self) -> list[Part]:
        """Let all settle, draw the timetable and go through it; returns what each process has."""
        self._settled = settling_order(self._order.seed, [each.name for each in self._order.candidates])
        usual_s = {name: self._settle(name) for name in self._settled if name not in self._dropped}
        order = self._order
        self._table = Timetable.drawn(
            order.seed,
            self._settled,
            order.manners,
            load_s=order.load_s,
            slice_s=order.slice_s,
            usual_s=usual_s,
        )
        lead_s = LEAD_S + (0.0 if self._workers is None else self._workers.round_trip_s)
        begin_ns = perf_counter_ns() + int(lead_s * 1e9)
        if order.elsewhere:
            self._tell_edges(self._table, begin_ns)
        asked = {"timetable": packed(self._table), "begin_ns": begin_ns}
        pids = {each.name: each.pids for each in order.candidates}
        meters: dict[str, Any] = {"pids": pids, "cpus": order.cpus, "servers": order.servers}
        if self._workers is not None and self._workers.are_elsewhere:
            return self._run_elsewhere(self._workers, {**asked, "meters": None}, Meters(**meters))
        pending = self._crew.ask(BEGIN, {**asked, "meters": None}, first={**asked, "meters": meters})
        self._await(pending, self._table.length_s + LATE_S, begin_ns)
        return [Part.unpacked(each) for each in pending.answers]

    def _run_elsewhere(self, workers: Workers, asked: Mapping[str, Any], meters: Meters) -> list[Part]:
        """As `run`, where nobody who has users can read the meters of the servers' machine."""
        assert self._table is not None
        begin_ns = asked["begin_ns"]
        with MeterReader(meters, self._table.slices(begin_ns), self._to_unix_ns) as reader:
            pending = self._crew.ask(BEGIN, asked)
            self._await(pending, self._table.length_s + LATE_S, begin_ns)
        parts = dict(zip(pending.whose, map(Part.unpacked, pending.answers), strict=True))
        self._report = workers.report(lambda clients: share_of([parts[each] for each in clients]))
        names = [each.name for each in self._order.candidates]
        return [*parts.values(), reader.part(names)]

    def _tell_edges(self, table: Timetable, begin_ns: int) -> None:
        """Tell when the windows begin and end (Unix seconds), for who reads CPU clocks then."""
        planned = table.slices(begin_ns)
        edges = [edge for each in planned for edge in (each.start_ns, each.end_ns)]
        times = [(edge + self._to_unix_ns) / 1e9 for edge in edges]
        emit(event="timetable", cell=self._order.id, edges=times)

    def _metered(self, slices: Sequence[Slice]) -> Sequence[Slice]:
        """The slices with the CPU time of their targets, if others read it: they send it after the last."""
        if not self._order.elsewhere:
            return slices
        try:
            return metered(slices, self._readings.get(timeout=READINGS_S))
        except gevent.Timeout:
            logger.warning("nobody has sent what was read of the CPU clocks: CPU time is unknown")
            return slices

    def _settle(self, name: str) -> float:
        """Load one target alone; returns what a request took (s), 0 where it answered nothing."""
        asked = {
            "target": name,
            "length_s": self._order.settle_s,
            "step": step_of(self._order.users),
            "pause_s": RAMP_PAUSE_S,
        }
        pending = self._crew.ask(SETTLE, asked)
        self._await(pending, self._order.settle_s + SETTLE_LIMIT_S, None)
        return max((each["usual_s"] or 0.0 for each in pending.answers), default=0.0)

    def _await(self, pending: Pending, limit_s: float, begin_ns: int | None) -> None:
        """Wait for all answers; tell of the progress once a second. Raises CellFailed."""
        until = monotonic() + limit_s
        before, since = self._rotor.counts(), time()
        while not pending.done.wait(0.1):
            self._check()
            self._check_targets()
            if monotonic() > until:
                raise CellFailed("the rotation took much longer than its timetable", see_log=True)
            now = time()
            if now - since >= 1.0:
                counts = self._rotor.counts()
                self._tell(
                    now, begin_ns, [(a - b) / (now - since) for a, b in zip(counts, before, strict=True)]
                )
                before, since = counts, now
        self._check()
        self._check_targets()

    def _tell(self, now: float, begin_ns: int | None, rates: Sequence[float]) -> None:
        share = 0.0
        if begin_ns is not None and self._table is not None:
            share = (perf_counter_ns() - begin_ns) / 1e9 / self._table.length_s
        emit(
            event="progress",
            cell=self._order.id,
            time=now,
            share=min(1.0, max(0.0, share)),
            requests_per_s=rates[0],
            failures_per_s=rates[1],
        )

    def _check_targets(self) -> None:
        if len(self._dropped) == len(self._order.candidates):
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._dropped.items())
            raise CellFailed(f"no target is left: {reasons}")

    # -- The result

    def finish(self, parts: Sequence[Part], why_silent: Callable[[], str]) -> dict[str, Any]:
        """Write the files of all targets; returns the `finished` event. Raises CellFailed and OSError."""
        table = self._table
        assert table is not None
        slices = self._metered(merged_slices(parts))
        loaded = {
            each.name: Loaded.merged([part.loaded[each.name] for part in parts])
            for each in self._order.candidates
        }
        if not slices:
            raise CellFailed("no slice began in time: the machine is too busy for a rotation", see_log=True)
        if not any(each.requests or each.failures for each in slices):
            raise CellFailed(why_silent(), see_log=True)
        window = {
            "start": math.floor(min(each.start for each in slices)),
            "end": math.ceil(max(each.end for each in slices)),
        }
        generator = sorted((row for part in parts for row in part.generator), key=lambda row: row["time"])
        for number, each in enumerate(self._order.candidates):
            own = [of for of in slices if of.target == each.name]
            write_loaded(each.directory, window["start"], loaded[each.name], own, generator)
            write_exceptions(self._environment, each.directory, empty=number > 0)
        return {
            "event": "finished",
            "window": window,
            "slice_s": table.slice_s,
            "rounds": table.rounds,
            "order": self._settled,
            "targets": {name: self._figures(name, slices, of, why_silent) for name, of in loaded.items()},
            **self._report,
        }

    def _figures(
        self, name: str, slices: Sequence[Slice], loaded: Loaded, why_silent: Callable[[], str]
    ) -> dict[str, Any]:
        assert self._table is not None
        own = [each for each in slices if each.target == name]
        servers = self._order.servers
        server = servers[name]
        others = [each for each in slices if servers[each.target] != server]
        readable = [each for each in others if each.cpu_s.get(server) is not None]
        requests, counts = sum(each.requests for each in own), loaded.counts()
        reason = self._dropped.get(name)
        if reason is None and not requests and not loaded.failed:
            reason = why_silent()
        figures = Window(requests, loaded.failed, {SERVICE: percentiles(counts)} if counts else {})
        return {
            **asdict(figures),
            "loaded_s": sum(each.length_s for each in own),
            "cpu_s": _total([each.cpu_s.get(name) for each in own]),
            "idle_cpu_s": _total([each.cpu_s.get(server) for each in readable]),
            "idle_s": sum(each.length_s for each in readable),
            "warm_s": self._table.warm_s[name],
            "gap_s": self._table.gap_s[name],
            "reason": reason,
        }


def _total(seconds: Sequence[float | None]) -> float | None:
    """The sum; None where one of them is missing, or there is none."""
    known = [each for each in seconds if each is not None]
    return sum(known) if known and len(known) == len(seconds) else None
