"""The rotation of a run: which sittings there are, how precise it is, and what comes next."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bench.experiment.blocks import duration
from bench.experiment.environments import Environments
from bench.experiment.inputs import Inputs
from bench.experiment.progress import Ahead
from bench.experiment.results import RunFolder
from bench.experiment.rotation.precision import (
    Figure,
    Reason,
    Standing,
    Widest,
    expected,
    figure,
    next_or_why_none,
    widest,
)
from bench.experiment.rotation.schedule import (
    Rotating,
    Sittings,
    beside_load_s,
    most_connections,
    rotating,
    under_load_s,
    why_not_side_by_side,
    with_control,
    within_limit,
)
from bench.experiment.rotation.sitting import SittingRunner
from bench.experiment.runner import Runner
from bench.launch.stacks import Say
from bench.machine import host
from bench.machine.cpus import CpuSplit
from bench.model.cells import Cell, Sitting
from bench.model.plans.plan import Plan
from bench.model.plans.rotation import RotationTable
from targets.catalogue.configurations import Configuration


class Rotation:
    """The rotation of a run: sittings until what decides is known as precisely as its plan asks."""

    def __init__(
        self, folder: RunFolder, sittings: Sittings, before_s: float = 0.0, *, again: bool = False
    ) -> None:
        """``before_s`` is how long the sittings took that the run has already.

        With ``again`` those in which a cell failed are measured anew.
        """
        self._folder = folder
        self._sittings = sittings
        self._table = sittings.table
        self._figures: dict[Cell, Figure] = {}
        self._slices_s: dict[tuple[str, int, int], float] = {}
        self._made: dict[int, set[int]] = {workers: set() for workers in sittings.workers}
        self._beside_load_s: dict[int, list[float]] = {workers: [] for workers in sittings.workers}
        self._spent_s = before_s
        self._stopped: Reason | None = None
        self._parents = sittings.parents
        for sitting in kept(sittings, folder, again=again):
            self._count(sitting)

    @property
    def facts(self) -> dict[str, Any]:
        """The ``rotation`` of ``run.json``."""
        found = self._widest()
        return {
            "sittings": self._number,
            "widest": None if found is None else round(found.share, 4),
            "stopped": self._stopped,
            "seconds": round(self._spent_s, 3),
            "reason": None,
        }

    @property
    def cells(self) -> int:
        """How many cells it has for certain: those of its sittings, and of the least that the plan has."""
        counts = {workers: max(len(made), self._table.sittings) for workers, made in self._made.items()}
        return sum(count * len(self._sitting(workers).cells) for workers, count in counts.items())

    @property
    def ahead(self) -> Ahead:
        """What is left of it, as far as that is known."""
        standings = self._standings()
        counts = expected(self._table, standings, self._spent_s)
        cells = {each.workers: len(self._sitting(each.workers).cells) for each in standings}
        return Ahead(
            sum(counts.values()),
            sum(count * cells[workers] for workers, count in counts.items()),
            sum(counts[each.workers] * each.expected_s for each in standings),
        )

    @property
    def announcement(self) -> str:
        """What is about to happen and how long it will take, in words."""
        ahead, table = self.ahead, self._table
        made = f" ({self._number} are finished and kept)" if self._number else ""
        aim, most = "", ""
        if table.precision is not None:
            aim = f", and more until every ratio that decides is known to ±{table.precision:.0%}"
            most = "" if table.limit_s is None else f", {duration(table.limit_s)} at most"
        sittings = f"{ahead.sittings} sitting{'' if ahead.sittings == 1 else 's'}"
        return f"{sittings} of {ahead.cells} cells{made}, about {duration(ahead.seconds)}{aim}{most}"

    @property
    def is_over(self) -> bool:
        """Whether it needs no other sitting."""
        return isinstance(self._next(), str)

    def run(self, runner: Runner, after_sitting: Callable[[], None]) -> None:
        """Measure sittings by what measures the blocks of the run, too; raises as ``Runner.run``."""
        while not isinstance(following := self._next(), str):
            sitting, table = self._sitting(following), self._next_table
            runner.progress.sitting(sitting)
            began = time.monotonic()
            SittingRunner(runner, table, sitting, self._slices_s).run()
            took_s = time.monotonic() - began
            self._spent_s += took_s
            self._beside_load_s[sitting.workers].append(took_s - under_load_s(table, sitting))
            self._count(sitting)
            runner.progress.sitting_done(sitting, took_s, self._so_far(), self.ahead)
            after_sitting()
        self._stopped = following
        after_sitting()

    # -- What there is, and what comes next

    @property
    def _number(self) -> int:
        return sum(map(len, self._made.values()))

    def _sitting(self, workers: int) -> Sitting:
        """The next sitting of a worker count."""
        repeat = next(each for each in range(1, 1 << 16) if each not in self._made[workers])
        return self._sittings.sitting(self._number + 1, workers, repeat)

    def _standings(self) -> list[Standing]:
        return [
            Standing(workers, len(made), self._widest(workers), self._expected_s(workers))
            for workers, made in self._made.items()
        ]

    def _widest(self, workers: int | None = None) -> Widest | None:
        """The widest interval that decides, of one worker count or of all."""
        figures = self._figures.values()
        return widest((each for each in figures if workers in (None, each.place.workers)), self._parents)

    def _expected_s(self, workers: int) -> float:
        return self._beside_s(workers) + under_load_s(self._next_table, self._sitting(workers))

    def _beside_s(self, workers: int) -> float:
        """How long a sitting of so many workers takes beside its load, in seconds, by those that were."""
        took = self._beside_load_s[workers]
        return sum(took) / len(took) if took else beside_load_s(self._sitting(workers))

    @property
    def _next_table(self) -> RotationTable:
        certain: list[tuple[Sitting, float]] = []
        for workers, made in self._made.items():
            left = self._table.sittings - len(made)
            certain += [(self._sitting(workers), self._beside_s(workers))] * left
        return within_limit(self._table, certain, self._spent_s)

    def _next(self) -> int | Reason:
        return next_or_why_none(self._table, self._standings(), self._spent_s)

    def _count(self, sitting: Sitting) -> None:
        """Take what the run's folder has of a sitting into account."""
        self._made[sitting.workers].add(sitting.repeat)
        for cell in sitting.cells:
            record = self._folder.record(cell)
            if record is None:
                continue
            decides = cell.proxy == self._sittings.plan.proxy  # what is past the proxy is there beside it
            if decides and (found := figure(cell, record)) is not None:
                self._figures[cell] = found
            if record["rotation"] is not None:
                key = (cell.scenario, cell.load.users, sitting.workers)
                self._slices_s.setdefault(key, record["rotation"]["slice_s"])

    def _so_far(self) -> str:
        """How precise it is, in words."""
        found = self._widest()
        if found is None:
            return "no interval yet"
        wanted = "" if self._table.precision is None else f", ±{self._table.precision:.0%} is wanted"
        return f"widest interval {found}{wanted}"


def kept(sittings: Sittings, folder: RunFolder, *, again: bool = False) -> list[Sitting]:
    """The sittings that a run's folder has whole; with ``again`` those without a failed cell."""
    found = []
    for workers in sittings.workers:
        for repeat in range(1, sittings.table.most_sittings + 1):
            sitting = sittings.sitting(0, workers, repeat)
            records = [folder.record(cell) for cell in sitting.cells]
            whole = all(
                record is not None and (not again or record["status"] == "finished") for record in records
            )
            if whole:
                found.append(sitting)
    return found


def arrange(
    inputs: Inputs,
    environments: Environments,
    refused: Mapping[str, str],
    split: CpuSplit,
    held: Mapping[str, Any],
    say: Say,
) -> tuple[Inputs, Sittings | None, Rotating]:
    """Decide which closed loops rotate here: the inputs with a control, all sittings, and what rotates.

    ``refused`` says why scenarios cannot rotate; ``held`` has the ``port`` that was asked for, if any,
    ``before``, the ``run.json`` of the run that goes on, and ``free``, the memory of the servers' machine
    where it is another one.
    """
    plan, available = inputs.plan, environments.available(inputs)
    found = rotating(plan, inputs.scenarios, refused)
    for name, why in found.in_blocks.items():
        say(f"note: the closed loops of {name} are measured in blocks: {why}")
    if found.scenarios and (reason := _why_blocks(plan, available, split, held)) is not None:
        found = replace(found, scenarios=frozenset(), reason=reason)
    if found.reason is not None:
        say(f"note: closed loops are measured in blocks, not in a rotation: {found.reason}")
    scenarios = tuple(name for name in inputs.paths(without=environments.lacking) if name in found.scenarios)
    if not scenarios or not available:
        return inputs, None, found
    host.allow_open_files(most_connections(plan, available), split.processes)
    inputs = inputs.with_plan(with_control(plan, inputs.configurations, available))
    sittings = Sittings(inputs.plan, scenarios, environments.available(inputs))
    return inputs, sittings if sittings.workers else None, found


def _why_blocks(
    plan: Plan, available: Mapping[str, Configuration], split: CpuSplit, held: Mapping[str, Any]
) -> str | None:
    """Why servers cannot be alive at once; a run goes on as it was begun."""
    before = (held["before"] or {}).get("rotation")
    if before is not None:
        reason: str | None = before["reason"]
        return reason
    apart = held["free"] is not None  # their CPUs may have the same numbers
    cpus = len(split.server) + len(split.generator) if apart else len({*split.server, *split.generator})
    return why_not_side_by_side(plan, available, cpus, held["port"], held["free"])


def begin_rotation(
    record: dict[str, Any], folder: RunFolder, sittings: Sittings | None, found: Rotating
) -> Rotation | None:
    """The rotation of a run that begins or goes on, which is noted in its ``run.json``, if it has one."""
    before = record.get("rotation") or {}
    if sittings is None:
        if found.reason is not None:
            record["rotation"] = {"sittings": 0, "widest": None, "stopped": "blocks", "seconds": 0.0}
            record["rotation"]["reason"] = found.reason
        return None
    # Who goes on with a finished run wants what failed to be measured again.
    again = bool(before) and folder.read()["status"] == "finished"
    return Rotation(folder, sittings, before.get("seconds", 0.0), again=again)
