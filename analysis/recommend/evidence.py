"""What two runs show of each configuration, as plain values: all that a verdict knows.

NaN where a number is unknown. A cell is named by its folder below `results/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bench.model.requirements import First
from targets.catalogue.configurations import Configuration

# "likely": all that was seen keeps the requirement, and more would have to be seen to show it.
Outcome = Literal["passed", "likely", "failed", "not shown"]
Kind = Literal["performance", "recycling"]
Connections = Literal["keep-alive", "per-request"]
Replacing = Literal["replaced", "not replaced", "too few", "broken"]


@dataclass(frozen=True)
class Source:
    """A run that was read, and of which kind: "performance", "recycling" or "performance and recycling".

    `started` is in Unix seconds; `command` measures the same again; `app` is somebody's own app, None for the
    suite's. `own` are the variables of `make`, with their values, that bring in such an app or locustfile,
    and the proxy; `behind` is its kind, None where clients went to the servers.
    """

    run: str
    kind: str
    started: float
    plan: str
    command: str
    app: str | None
    launcher: str
    methodology: int
    hostname: str
    cpu: str
    cpus: int
    own: tuple[str, ...] = ()
    behind: str | None = None

    @property
    def text(self) -> str:
        """What was read, and of which machine."""
        behind = f", behind {self.behind}" if self.behind else ""
        return f"{self.kind}{behind}: {self.run} ({self.hostname}, {self.cpu})"


@dataclass(frozen=True)
class Recycled:
    """A cell in which workers were to be replaced, and `reason`, what was seen.

    `outcome` is "replaced"; "not replaced", although there was reason enough; "too few", when there was not;
    or "broken". `stall_s` is the longest time in which nothing was answered, `max_requests` is N, None where
    memory decided.
    """

    cell: str
    scenario: str
    workers: int
    outcome: Replacing
    reason: str
    stall_s: float
    max_requests: int | None = None


@dataclass(frozen=True)
class Rate:
    """Requests lost, and how many that is to 1000 replacements, with the 95 % interval."""

    lost: int
    per_1000: float
    low: float
    high: float


@dataclass(frozen=True)
class ReplacementPrice:
    """What `recycles` replacements cost on one kind of connection, with so many workers.

    `ran` are lost requests whose handler began or finished, `retryable` those whose handler never ran.
    """

    connections: Connections
    workers: int
    recycles: int
    ran: Rate
    retryable: Rate
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """The answer to a question of the deciding table."""

    outcome: Outcome
    text: str
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latency:
    """The p99 from the schedule in one open loop, over its repeats; `achieved`, `busy`: see the summary."""

    scenario: str
    workers: int
    arrivals: str
    rate_per_s: float
    p99_ms: float
    low_ms: float
    high_ms: float
    achieved: float
    error_rate: float
    busy: float
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Served:
    """A command as it served `workers` workers; with `replacing` they were replaced.

    `environment` are the variables that its configuration sets, None where the run did not record them;
    `app` is somebody's own, None for the suite's.
    """

    workers: int
    words: tuple[str, ...]
    parser: str | None
    loop: str | None
    replacing: bool
    environment: Mapping[str, str] | None = None
    app: str | None = None


@dataclass(frozen=True)
class Tuned:
    """A configuration with what was found worth it, and the figure that says so.

    Where that are several settings, `parts` are the figures of each of them alone.
    """

    entry: Configuration
    figure: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tuning:
    """What is known of its settings: what to change, `figures` of those that stay, and those `untried`."""

    tuned: Tuned | None = None
    figures: tuple[str, ...] = ()
    untried: tuple[str, ...] = ()


UNTUNED = Tuning()
NOTHING = Seen("not shown", "not measured")


@dataclass(frozen=True)
class Known:
    """All that is known of a configuration: `recycle` as in the catalogue, `versions` of what served it.

    `entry` is the catalogue's of today, None where it has none that replaces workers in the same way.
    `ended` says why its code gets no more fixes, None where it does.
    `startup_timeout_s` is how long somebody's own app may take to start, None for the suite's.
    `answers` is failed where no request of a run succeeded, else nothing is said of it.
    """

    name: str
    recycle: str | None
    keep_alive_s: float | None = None
    backlog: int | None = None
    entry: Configuration | None = None
    ended: str | None = None
    startup_timeout_s: float | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    served: tuple[Served, ...] = ()
    recycled: tuple[Recycled, ...] = ()
    prices: tuple[ReplacementPrice, ...] = ()
    latencies: tuple[Latency, ...] = ()
    memory: Seen = NOTHING
    killed: Seen = NOTHING
    terminated: Seen = NOTHING
    answers: Seen = NOTHING
    tuning: Tuning = UNTUNED


@dataclass(frozen=True)
class Performance:
    """What a scenario shows at the load that decides: a closed loop, or an open one of `rate_per_s`.

    `values` has for each configuration and repeat, by the `metric`, the requests per second or CPU-second,
    the MiB of the server, or the milliseconds of the p99; `left_out` says why a configuration has none.
    `manners` are the same values in each manner of the generator, where a rotation had both: what holds in
    one of them alone is not certain.
    """

    scenario: str
    workers: int
    users: int
    metric: Literal["second", "CPU-second", "MiB", "ms"]
    values: Mapping[str, Mapping[int, float]]
    left_out: Mapping[str, str]
    manners: tuple[Mapping[str, Mapping[int, float]], ...] = ()
    rate_per_s: float | None = None


@dataclass(frozen=True)
class Evidence:
    """All of it: configurations in the catalogue's order; `gaps` is what the runs themselves leave open.

    `performance`, `memory` and `tail` have what each scenario shows of these. `server_cpus` is how many CPUs
    served in the performance run, None without one.
    """

    runs: tuple[Source, ...]
    configurations: tuple[Known, ...]
    performance: tuple[Performance, ...]
    server_cpus: int | None
    gaps: tuple[str, ...]
    memory: tuple[Performance, ...] = ()
    tail: tuple[Performance, ...] = ()

    def ranked_by(self, first: First) -> tuple[Performance, ...]:
        """What configurations are ranked by, where that comes first."""
        return {"throughput": self.performance, "memory": self.memory, "tail": self.tail}[first]
