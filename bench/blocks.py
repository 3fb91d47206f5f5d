"""What a plan comes to: blocks (one server start each) of cells (one load each), and how long they take."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from bench.plan import Plan, Search
from bench.search import expected_steps


@dataclass(frozen=True)
class ClosedLoop:
    """So many users, each of whom waits for an answer before asking again."""

    users: int

    @property
    def name(self) -> str:
        """The load as a part of a path."""
        return f"c{self.users}"

    def __str__(self) -> str:
        return f"{self.users} user{'s' if self.users > 1 else ''}"

    def record(self) -> dict[str, Any]:
        """The ``load`` of ``cell.json``."""
        return {"kind": "closed", **asdict(self)}


@dataclass(frozen=True)
class OpenLoop:
    """Arrivals by a schedule, ``rate_per_s`` in all, of which at most ``users`` are served at once."""

    arrivals: str
    rate_per_s: float
    users: int

    @property
    def name(self) -> str:
        """The load as a part of a path."""
        return f"o{self._rate}-{self.arrivals}"

    def __str__(self) -> str:
        return f"{self._rate}/s {self.arrivals}"

    @property
    def _rate(self) -> str:
        return f"{self.rate_per_s:.10g}"

    def record(self) -> dict[str, Any]:
        """The ``load`` of ``cell.json``."""
        return {"kind": "open", **asdict(self)}


@dataclass(frozen=True)
class Cell:
    """One load on one configuration in one repeat; ``search`` if it is a step of one."""

    configuration: str
    scenario: str
    load: ClosedLoop | OpenLoop
    workers: int
    repeat: int
    block: int
    search: Search | None = None

    @property
    def path(self) -> PurePosixPath:
        """Where its folder lies below the run's."""
        load = self.load.name if self.search is None else f"s{self.load.name[1:]}"
        return PurePosixPath(self.configuration, self.scenario, f"{load}-w{self.workers}", f"r{self.repeat}")

    @property
    def words(self) -> str:
        """Scenario and load, for people."""
        return f"{self.scenario}, {self.load}"

    def arrivals(self, seed: int) -> dict[str, Any] | None:
        """The ``arrivals`` of the session's ``cell`` command; ``seed`` is the run's.

        The schedule does not depend on the configuration: common random numbers make the arrivals of a
        repeat the same for all, so that none has worse luck.
        """
        if isinstance(self.load, ClosedLoop):
            return None
        drawn = f"{seed} {self.scenario} {self.load.rate_per_s!r} {self.repeat}".encode()
        own = int.from_bytes(hashlib.sha256(drawn).digest()[:4])
        return {"kind": self.load.arrivals, "rate_per_s": self.load.rate_per_s, "seed": own}


@dataclass(frozen=True)
class Block:
    """One start of a server, the cells it serves, and then the searches, by their scenario."""

    number: int
    configuration: str
    workers: int
    repeat: int
    cells: tuple[Cell, ...]
    searches: tuple[tuple[str, Search], ...] = ()

    @property
    def expected_cells(self) -> int:
        """How many cells it will have; of its searches, the steps they usually take."""
        return len(self.cells) + sum(expected_steps(search) for _, search in self.searches)

    def step(self, scenario: str, search: Search, rate_per_s: float) -> Cell:
        """The cell of a step of one of the searches."""
        load = OpenLoop(search.arrivals, rate_per_s, search.users)
        return Cell(self.configuration, scenario, load, self.workers, self.repeat, self.number, search)


def expand(plan: Plan, seed: int, max_workers: Mapping[str, int | None]) -> list[Block]:
    """Randomised complete blocks: every repeat holds each configuration once, in an order of its own.

    ``max_workers`` is the largest number of workers a configuration can have (``None``: any); blocks
    beyond it are left out. The order depends on the plan and the seed only, never on what this machine
    has, so that an interrupted run goes on with the same blocks. Within a block the loads keep the
    plan's order, the same for every configuration.
    """
    loads = [(scenario, load) for scenario in plan.scenarios for load in _loops(plan, scenario)]
    searches = tuple((name, entry.search) for name, entry in plan.scenarios.items() if entry.search)
    shuffled = random.Random(seed)
    blocks: list[Block] = []
    for repeat in range(1, plan.repeats + 1):
        pairs = [
            (configuration, workers)
            for configuration in plan.configurations
            for workers in plan.workers
            if workers <= (max_workers[configuration] or workers)
        ]
        shuffled.shuffle(pairs)
        for configuration, workers in pairs:
            number = len(blocks) + 1
            cells = tuple(
                Cell(configuration, scenario, load, workers, repeat, number) for scenario, load in loads
            )
            blocks.append(Block(number, configuration, workers, repeat, cells, searches))
    return blocks


def _loops(plan: Plan, scenario: str) -> list[ClosedLoop | OpenLoop]:
    loads = plan.scenarios[scenario]
    closed = [ClosedLoop(users) for users in loads.users or []]
    opened = [OpenLoop(each.arrivals, rate, each.users) for each in loads.open for rate in each.rates_per_s]
    return [*closed, *opened]


# What a run spends besides load (seconds): the generator's own start, a change of server, and the files
# and the alignment to whole seconds of a cell.
_START_S, _BLOCK_S, _CELL_S = 2.0, 1.0, 0.3


def estimate_s(plan: Plan, blocks: int, cells: int) -> float:
    """How long so many blocks and cells will take, in seconds, environments and report not included."""
    if not blocks:
        return 0.0
    return _START_S + _BLOCK_S * blocks + (plan.warmup_s + plan.measured_s + _CELL_S) * cells


def duration(seconds: float) -> str:
    """A time in words, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
