"""Which closed loops of a plan rotate, their sittings, and how long these take."""

import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from resource import RLIM_INFINITY

from bench.experiment.blocks import possible_workers, told_elsewhere
from bench.machine.host import open_file_limits, open_files
from bench.machine.memory import available_bytes
from bench.model.cells import Cell, ClosedLoop, Sitting
from bench.model.plans.plan import Plan
from bench.model.plans.rotation import RotationTable
from bench.model.plans.settings import parents
from bench.model.scenarios import Scenario
from targets.catalogue.configurations import Configuration

# Of a server, without workers and for each of them: nine servers of two workers of the suite's app weigh some
# 750 MiB together. What an app of somebody's own imports is not known.
_SERVER_BYTES = 30 << 20
_WORKER_BYTES = 60 << 20
_OWN_WORKER_BYTES = 250 << 20
# Servers of one sitting end while those of the next one start.
_ALIVE = 2

# Two repeats have an interval, but hardly one that says anything.
_LEAST_REPEATS = 3

# A server's start takes twice as long on a CPU that it has for itself. They share theirs with each other, and
# start on the generator's as well.
START_S = 0.5
# What else a sitting takes, and each load of it: users are spawned, files are written.
_SITTING_S, _LOAD_S = 2.0, 1.5
# Of a slice: the window's length beside the warm-up and the gap that surround it.
_AROUND = 1.35
# To what share windows may be shortened where sittings take longer than the plan allows: at two thirds what
# is known of one sitting is a fifth less precise, and by what sittings differ decides more than that.
_LEAST_SHARE = 2 / 3


@dataclass(frozen=True)
class Rotating:
    """The scenarios whose closed loops rotate, and why those of others stay in blocks, by scenario.

    ``reason`` is set where none rotates because this machine, or who asked, does not allow it.
    """

    scenarios: frozenset[str] = frozenset()
    in_blocks: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None


def rotating(plan: Plan, scenarios: Mapping[str, Scenario], refused: Mapping[str, str]) -> Rotating:
    """What rotates of a plan, if the machine allows it.

    ``refused`` says of scenarios why the generator cannot rotate them.
    """
    if plan.rotation is None:
        return Rotating()
    closed = [name for name, loads in plan.scenarios.items() if loads.users]
    alone = {name: "it needs a server that is alone" for name in closed if not scenarios[name].rotates}
    in_blocks = {name: why for name, why in {**refused, **alone}.items() if name in closed}
    if plan.rotation.blocks:
        return Rotating(reason="as asked (--blocks)", in_blocks=in_blocks)
    return Rotating(frozenset(closed) - in_blocks.keys(), in_blocks)


def in_blocks(plan: Plan, found: Rotating) -> Plan:
    """The plan of what is measured in blocks: without the closed loops that rotate, and their control.

    Where none rotates that could, closed loops have as many repeats as an interval needs.
    """
    if plan.rotation is None:
        return plan
    if not found.scenarios:
        if not any(loads.users for loads in plan.scenarios.values()):
            return plan
        least = min(_LEAST_REPEATS, plan.rotation.sittings)
        return plan.model_copy(update={"repeats": max(plan.repeats, least)})
    scenarios = {}
    for name, loads in plan.scenarios.items():
        left = loads.model_copy(update={"users": None}) if name in found.scenarios else loads
        if left.users or left.open or left.search:
            scenarios[name] = left
    names = [name for name in plan.configurations if name not in plan.aliases]
    return plan.model_copy(update={"scenarios": scenarios, "configurations": names})


def with_control(plan: Plan, known: Collection[str], available: Collection[str]) -> Plan:
    """The plan with a second name for its first configuration that is ``available``, as the control.

    ``known`` are all names that configurations have. What the two differ by is what the rotation sees where
    there is no difference.
    """
    if any(name in plan.aliases for name in plan.configurations):
        return plan
    first = next((name for name in plan.configurations if name in available), None)
    if first is None:
        return plan
    alias = next(name for name in _again(first) if name not in known)
    return plan.model_copy(
        update={
            "aliases": {**plan.aliases, alias: first},
            "configurations": [*plan.configurations, alias],
        }
    )


def _again(name: str) -> Iterator[str]:
    yield f"{name}-again"
    for number in itertools.count(2):
        yield f"{name}-again-{number}"


def why_not_side_by_side(
    plan: Plan,
    configurations: Mapping[str, Configuration],
    cpus: int,
    port: int | None,
    free: int | None = None,
) -> str | None:
    """Why the servers of a plan cannot be alive at once on this machine; ``None`` if they can.

    ``configurations`` are those of the plan that can be served, ``cpus`` how many server and generator have
    together, ``port`` is what every server is to listen on. ``free`` is the memory (bytes) that is free
    where they run, if that is not this machine.
    """
    if port is not None:
        return "all servers are to have one port (--port), which only one at a time can have"
    if cpus < 2:
        return "there is one CPU for both server and generator"
    connections, (_, most) = most_connections(plan, configurations), open_file_limits()
    if most != RLIM_INFINITY and open_files(connections, cpus) > most:
        return f"the generator would hold {connections:,} connections, and may have {most:,} files open"
    needed = _ALIVE * max(
        (_bytes(plan, workers, configurations) for workers in plan.workers or []), default=0
    )
    free = available_bytes() if free is None else free
    if free is None or needed <= free:
        return None
    mib = 1 << 20
    return f"all servers at once may need {needed // mib:,} MiB of memory, and {free // mib:,} MiB are free"


def most_connections(plan: Plan, configurations: Collection[str]) -> int:
    """The most that a generator holds in a rotation: to every server at once, those of a control included.

    Behind a proxy it may hold as many once more, past it.
    """
    users = [count for loads in plan.scenarios.values() for count in loads.users or []]
    servers = sum(name in configurations for name in plan.configurations)
    return max(users, default=0) * (servers if plan.aliases else servers + 1) * len(plan.rotated_ways)


def _bytes(plan: Plan, workers: int, configurations: Mapping[str, Configuration]) -> int:
    """An upper estimate of the memory of all servers with so many workers."""
    each = _WORKER_BYTES if plan.own_app is None else _OWN_WORKER_BYTES
    served = [
        entry.serving(workers)
        for entry in _chosen(plan, configurations).values()
        if workers in possible_workers(plan, entry)
    ]
    return len(served) * _SERVER_BYTES + sum(served) * each


def _chosen(plan: Plan, configurations: Mapping[str, Configuration]) -> dict[str, Configuration]:
    """Those of a plan that can be served and have closed loops."""
    elsewhere = told_elsewhere(plan, configurations)
    return {
        name: configurations[name]
        for name in plan.configurations
        if name in configurations and name not in elsewhere
    }


@dataclass(frozen=True)
class Sittings:
    """All sittings that a plan may have; ``configurations`` are those that can be served, by its names."""

    plan: Plan
    scenarios: tuple[str, ...]
    configurations: Mapping[str, Configuration]

    @property
    def table(self) -> RotationTable:
        """What the plan says of its rotation."""
        assert self.plan.rotation is not None
        return self.plan.rotation

    @property
    def parents(self) -> dict[str, str] | None:
        """In a plan of settings what each variant is compared with; elsewhere all are with the best."""
        if not self.plan.settings:
            return None
        return parents(_chosen(self.plan, self.configurations), self.configurations)

    @property
    def workers(self) -> list[int]:
        """The worker counts that have sittings, in the plan's order."""
        return [count for count in self.plan.workers or [] if self._served(count) and self.scenarios]

    def sitting(self, number: int, workers: int, repeat: int) -> Sitting:
        """A sitting by its places in the run and among those of its worker count."""
        cells = tuple(
            Cell(name, scenario, ClosedLoop(users), workers, repeat, number, proxy=proxy)
            for scenario in self.scenarios
            for users in self.plan.scenarios[scenario].users or []
            for name in self._served(workers)
            for proxy in self.plan.rotated_ways
        )
        return Sitting(number, workers, repeat, cells)

    def first(self) -> list[Sitting]:
        """Those that the plan has for certain; the worker counts take turns."""
        turns = itertools.product(range(1, self.table.sittings + 1), self.workers)
        return [self.sitting(number, workers, turn) for number, (turn, workers) in enumerate(turns, 1)]

    def _served(self, workers: int) -> list[str]:
        chosen = _chosen(self.plan, self.configurations)
        return [name for name, entry in chosen.items() if workers in possible_workers(self.plan, entry)]


def planned_s(sittings: Sittings) -> float:
    """How long a rotation will take, in seconds: as long as it may where a precision is to be reached."""
    table = sittings.table
    first = sittings.first()
    table = within_limit(table, [(sitting, beside_load_s(sitting)) for sitting in first], 0.0)
    certain = sum(sitting_s(table, sitting) for sitting in first)
    return certain if table.precision is None else max(certain, table.limit_s or 0.0)


def sitting_s(table: RotationTable, sitting: Sitting) -> float:
    """How long a sitting will take, in seconds, the start of its servers included."""
    return beside_load_s(sitting) + under_load_s(table, sitting)


def beside_load_s(sitting: Sitting) -> float:
    """For how long no users will be running, in seconds: while servers start, and files are written."""
    servers = len(sitting.configurations)
    loads = len({(cell.scenario, cell.load) for cell in sitting.cells})
    return _SITTING_S + servers * START_S + loads * _LOAD_S


def under_load_s(table: RotationTable, sitting: Sitting) -> float:
    """For how long users will be running, in seconds."""
    return len(sitting.cells) * (table.settle_s + _AROUND * table.load_s)


def within_limit(
    table: RotationTable, certain: Sequence[tuple[Sitting, float]], spent_s: float
) -> RotationTable:
    """The table of the next sitting: with shorter windows where those left for ``certain`` take too long.

    With each of these goes how long it takes beside its load, in seconds; ``spent_s`` is how long the
    rotation took so far. Windows lose a third of their time at most: a plan that asks for more than that
    takes longer.
    """
    if table.limit_s is None or not certain:
        return table
    cells = sum(len(sitting.cells) for sitting, _ in certain)
    left_s = table.limit_s - spent_s - sum(beside_s for _, beside_s in certain) - cells * table.settle_s
    share = min(1.0, max(_LEAST_SHARE, left_s / (cells * _AROUND * table.load_s)))
    return table.model_copy(update={"load_s": round(share * table.load_s, 3)})


def seed_of(seed: int, sitting: Sitting, scenario: str, load: ClosedLoop) -> int:
    """The seed of a load's timetable in a sitting, from that of the run: every sitting has another order."""
    drawn = f"{seed} rotation {scenario} {load.users} {sitting.workers} {sitting.repeat}".encode()
    return int.from_bytes(hashlib.sha256(drawn).digest()[:4])
