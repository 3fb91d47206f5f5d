"""What is measured: cells (one load on one server), and what starts servers for them: blocks and sittings."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from bench.model.plans.loads import Search
from bench.model.plans.recycling import Probe
from bench.model.search import Attempt, expected_steps
from targets.catalogue.recycling import Recycling

# What is done to servers, for people.
_PROBES = {
    "kill": "a worker is killed", "terminate": "SIGTERM", "deploy": "a deploy", "swap": "two copies swapped",
}  # fmt: skip


@dataclass(frozen=True)
class ClosedLoop:
    """``users`` which each wait for an answer before they send the next request."""

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
    """Arrivals by a schedule, ``rate_per_s`` in all; at most ``users`` of them are served at once."""

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
class Goal:
    """What ends a cell of recycling early: so many workers replaced, so many requests completed.

    ``seconds`` is how long that is expected to take.
    """

    replacements: int
    requests: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """One load on one configuration in one repeat.

    ``search`` if it is a step of one; ``attempt`` counts how often that has tried this rate.
    In plans of recycling ``recycling`` is when workers are replaced (``NEVER``: control, probe), ``goal`` is
    what ends the cell early and ``probe`` what is done to its server; elsewhere they are ``None``.
    ``workers`` is ``None`` of an external server, where it is unknown. ``proxy`` is what clients go through.
    """

    configuration: str
    scenario: str
    load: ClosedLoop | OpenLoop
    workers: int | None
    repeat: int
    block: int
    search: Search | None = None
    attempt: int = 1
    recycling: Recycling | None = None
    goal: Goal | None = None
    probe: Probe | None = None
    proxy: str | None = None

    @property
    def path(self) -> PurePosixPath:
        """Where its folder lies below the run's."""
        load = self.load.name if self.search is None else f"s{self.load.name[1:]}"
        treatment, _ = self._treatment
        workers = "" if self.workers is None else f"-w{self.workers}"
        behind = f"-{self.proxy}" if self.proxy else ""
        again = f"-try{self.attempt}" if self.attempt > 1 else ""
        name = f"{load}{workers}{treatment and f'-{treatment}'}{behind}{again}"
        return PurePosixPath(self.configuration, self.scenario, name, f"r{self.repeat}")

    @property
    def target(self) -> str:
        """Its name among those which a load goes round: behind a proxy another than past it."""
        return f"{self.configuration}@{self.proxy}" if self.proxy else self.configuration

    @property
    def words(self) -> str:
        """Scenario, load and what is done to the workers, for people."""
        _, treatment = self._treatment
        behind = f", behind {self.proxy}" if self.proxy else ""
        again = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.scenario}, {self.load}{treatment and f', {treatment}'}{behind}{again}"

    @property
    def _treatment(self) -> tuple[str, str]:
        """What is done to the workers, as a part of a path and for people; empty outside of recycling."""
        if self.probe is not None:
            return self.probe.kind, _PROBES[self.probe.kind]
        match self.recycling:
            case None:
                return "", ""
            case Recycling(max_requests=int(count)):
                return f"n{count}", f"recycled after {count} requests"
            case Recycling(max_rss_mib=int(size)):
                return f"rss{size}", f"recycled above {size} MiB"
            case _:
                return "control", "not recycled"

    def arrivals(self, seed: int) -> dict[str, Any] | None:
        """The ``arrivals`` of the session's ``cell`` command; ``seed`` is the run's.

        The schedule does not depend on the configuration: with common random numbers the arrivals of a
        repeat are the same for all.
        """
        if isinstance(self.load, ClosedLoop):
            return None
        drawn = f"{seed} {self.scenario} {self.load.rate_per_s!r} {self.repeat}".encode()
        own = int.from_bytes(hashlib.sha256(drawn).digest()[:4])
        return {"kind": self.load.arrivals, "rate_per_s": self.load.rate_per_s, "seed": own}


@dataclass(frozen=True)
class Block:
    """One start of a server, the cells it serves, and then the searches, by their scenario.

    The clients of all of them go through its ``proxy``, if there is one.
    """

    number: int
    configuration: str
    workers: int | None
    repeat: int
    cells: tuple[Cell, ...]
    searches: tuple[tuple[str, Search], ...] = ()
    proxy: str | None = None

    @property
    def scenarios(self) -> set[str]:
        """The scenarios of its cells and searches."""
        return {cell.scenario for cell in self.cells} | {scenario for scenario, _ in self.searches}

    @property
    def expected_cells(self) -> int:
        """How many cells it will have; of its searches, the steps they usually take."""
        return len(self.cells) + sum(expected_steps(search) for _, search in self.searches)

    def step(self, scenario: str, search: Search, attempt: Attempt) -> Cell:
        """The cell of a step of one of the searches."""
        load = OpenLoop(search.arrivals, attempt.rate_per_s, search.users)
        place = (self.configuration, scenario, load, self.workers, self.repeat, self.number)
        return Cell(*place, search, attempt.number, proxy=self.proxy)


@dataclass(frozen=True)
class Sitting:
    """One start of all configurations of a worker count side by side, and the cells of their closed loops.

    ``repeat`` counts the sittings of this worker count, ``number`` those of the run.
    """

    number: int
    workers: int
    repeat: int
    cells: tuple[Cell, ...]

    def loads(self, scenario: str) -> list[ClosedLoop]:
        """The loads of a scenario, in the order in which they go round."""
        loads = [cell.load for cell in self.cells if cell.scenario == scenario]
        return list(dict.fromkeys(load for load in loads if isinstance(load, ClosedLoop)))

    @property
    def configurations(self) -> list[str]:
        """The names of those that are started."""
        return list(dict.fromkeys(cell.configuration for cell in self.cells))

    def under(self, scenario: str, load: ClosedLoop) -> list[Cell]:
        """The cells of one load, one for each configuration and way to it."""
        return [cell for cell in self.cells if (cell.scenario, cell.load) == (scenario, load)]
