"""`cell.json`: one configuration under one load of one scenario, in one repeat."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bench.model.plans.proxy import Kind
from bench.model.plans.recycling import ProbeKind
from bench.model.records.schema import Cpus, Record

# Every second of a window is counted: one that claims more than a month is a mistake.
_LONGEST_WINDOW_S = 31 * 86_400


class ClosedLoad(Record):
    """A closed loop of so many `users`."""

    kind: Literal["closed"]
    users: int = Field(gt=0)


class OpenLoad(Record):
    """An open loop: `rate_per_s` arrivals in all, at most `users` served at once."""

    kind: Literal["open"]
    arrivals: Literal["constant", "poisson"]
    rate_per_s: float = Field(gt=0)
    users: int = Field(gt=0)


class Search(Record):
    """The search that a cell is a step of."""

    p99_ms: float = Field(gt=0)
    resolution: float = Field(gt=0)
    attempt: int = Field(1, gt=0)
    """At this rate."""


class Measured(Record):
    """What the generator said of the window; searches go by it, the analysis by the CSV files."""

    requests: int = Field(ge=0)
    failures: int = Field(ge=0)
    latency_us: dict[str, dict[str, float | None]]
    """By kind: `p50`, `p90`, `p99` (null where fewer than 10 lie beyond) and `max`."""
    arrivals: int | None
    """null in closed loops, as `completions`."""
    completions: int | None
    loaded_s: float | None = None
    """In a rotation, as what follows: length of the cell's windows."""
    cpu_s: float | None = None
    """Of the server in them."""
    idle_cpu_s: float | None = None
    """In the windows of the others."""
    idle_s: float | None = None
    """Length of those."""


class Window(Record):
    """The measured part of a cell: whole Unix seconds."""

    start: float = Field(ge=0)
    end: float


class Segments(Record):
    """What the network of a machine carried during a load, which lasted `seconds`, and what TCP sent again.

    Its users' start and end are in it.
    """

    sent: int
    retransmitted: int
    in_bytes: int | None = None
    out_bytes: int | None = None
    seconds: float | None = None

    @property
    def speeds(self) -> tuple[float, float] | None:
        """Bytes per second that came in and went out; None where they were not recorded."""
        if not self.seconds or self.in_bytes is None or self.out_bytes is None:
            return None
        return self.in_bytes / self.seconds, self.out_bytes / self.seconds


class Server(Record):
    """`server.json`, and the CPUs. Of an external server only `configuration` and `url` are known."""

    configuration: str | None = None
    command: list[str] | None
    environment: dict[str, str] | None = None
    """That the configuration sets."""
    url: str | None = None
    pid: int | None = None
    """Of its first process."""
    workers: int | None = None
    max_requests: int | None = None
    max_requests_jitter: int | None = None
    max_rss_mib: float | None = None
    deploys_by: str | None = None
    """`HUP`, `inspector`, `restart` or `swap`."""
    started: float | None
    ready_s: float | None
    whoami: dict[str, Any] | None
    """Of a worker: `configuration`, `pid`, `python`, `loop`, `parser`, `versions` and `app` (one's own)."""
    cpus: Annotated[Cpus, Field(min_length=1)] | None
    segments: Segments | None = None
    """What was carried there, only where it is another machine: as of a generator's."""

    @field_validator("whoami")
    @classmethod
    def _texts(cls, whoami: dict[str, Any] | None) -> dict[str, Any] | None:
        for key in ("configuration", "loop", "parser", "app"):
            if not isinstance((whoami or {}).get(key), str | None):
                raise ValueError(f"{key} is no text")
        return whoami

    @property
    def app(self) -> str | None:
        """The app of one's own that was served; None for the suite's."""
        return (self.whoami or {}).get("app")


class Machine(Record):
    """A generator on another machine, and what it did in the window."""

    name: str
    cpus: list[int]
    """That its processes could run on."""
    processes: list[int] = Field(min_length=1)
    """Numbers of generator.csv."""
    requests: int
    failures: int
    lateness_us: dict[str, float | None] | None = None
    """Of its arrivals, in open loops: as in `latency_us`."""
    segments: Segments | None = None
    """What was carried there."""
    work_s: float | None = None
    """In a rotation: CPU seconds of work in the windows of all targets, whose requests these are."""


class Generator(Record):
    """The Locust processes that made the load, and the CPUs they were pinned to."""

    cpus: Cpus
    """None where it was on other machines."""
    processes: int = Field(gt=0)
    engine: str
    """`swarm` or `locust`."""
    machines: list[Machine] | None = None
    """Those: `name`, `cpus`, `processes` (numbers of generator.csv), `requests`, `failures`, `lateness_us`,
    `segments` (TCP's `sent` and `retransmitted`; `in_bytes`, `out_bytes` of all but loopback, in `seconds`),
    `work_s` (in a rotation)."""
    segments: Segments | None = None
    """Of this machine, if others take part."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.cpus and not self.machines:
            raise ValueError("the load was made on no CPU")
        return self

    @property
    def speeds(self) -> dict[str, tuple[float, float]]:
        """Bytes per second that came in and went out during the load, by generator; "" is this machine."""
        told = {"": self.segments, **{each.name: each.segments for each in self.machines or ()}}
        return {name: each.speeds for name, each in told.items() if each is not None and each.speeds}

    @property
    def usable(self) -> int:
        """How many CPUs its processes can use: each runs on one at a time, whatever it may choose from."""
        if self.machines is None:
            return min(len(self.cpus), self.processes)
        return sum(min(len(each.cpus), len(each.processes)) for each in self.machines)


class Recycling(Record):
    """When serve was to replace workers; all null in controls and probes."""

    max_requests: int | None
    max_requests_jitter: int | None
    max_rss_mib: float | None

    @property
    def wanted(self) -> bool:
        """Whether workers were to be replaced at all."""
        return self.max_requests is not None or self.max_rss_mib is not None


class Probe(Record):
    """What else was done to the server."""

    kind: ProbeKind
    time: float | None
    """When the signal was sent; null if none was, which fails the cell."""
    pid: int | None
    """What was signalled."""
    renewed: list[int] | None = None
    """Workers that started with the new release."""


class ServerEnded(Record):
    """The end of a server that ended before its cell."""

    time: float
    exit_status: int | None
    """Of its first process, as in workers.csv."""


class Rotation(Record):
    """The sitting of a cell, which is its repeat: all that were alive, and how the load went round.

    A slice is `warm_s` of unrecorded load, a window of `slice_s`, and a gap of `gap_s` in which what is in
    flight ends.
    """

    targets: list[str]
    """Configurations, as they settled."""
    rounds: int
    slice_s: float = Field(gt=0)
    warm_s: float
    gap_s: float
    manners: list[Literal["polls", "sleeps"]]
    """How the generator waited, by round."""

    @property
    def duty(self) -> float:
        """The share of its time in which there is load."""
        return 1 - self.gap_s / (self.warm_s + self.slice_s + self.gap_s)


class Front(Record):
    """The proxy that clients of a cell went through."""

    kind: Kind
    cpu_s: float | None
    """Warm-up included."""


class Cell(Record):
    """`cell.json`: one configuration under one load of one scenario, in one repeat."""

    configuration: str
    scenario: str
    load: Annotated[ClosedLoad | OpenLoad, Field(discriminator="kind")]
    search: Search | None
    workers: int | None
    """The plan's; a variant's own is in `server`."""
    repeat: int
    block: int
    """Counts the starts of servers."""
    launcher: str | None = None
    recycling: Recycling | None
    """All null in controls and probes."""
    probe: Probe | None
    server_ended: ServerEnded | None
    """If the server ended before its cell."""
    rotation: Rotation | None = None
    """null in blocks."""
    proxy: Front | None = None
    """null where clients went to the server itself."""
    status: Literal["finished", "failed"]
    reason: str | None
    """Why it failed."""
    started: float
    ended: float
    warmup_s: float | None = None
    measured_s: float | None = None
    """As planned; `window` has what it was."""
    window: Window | None
    """The measured part, whole Unix seconds; in a rotation from the first window to the last."""
    server: Server | None
    generator: Generator | None
    measured: Measured | None
    files: dict[str, str] = Field(default_factory=dict)
    """The SHA-256 of each CSV file, by its name."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What no other cell of its run has as well."""
        return (
            *(self.configuration, self.scenario, self.load, self.search, self.workers, self.repeat),
            *(self.recycling, self.probe and self.probe.kind, self.proxy is None),
        )

    @property
    def speeds(self) -> dict[str, tuple[float, float]]:
        """Bytes per second that its network carried while there was load (in, out), as `Generator.speeds`."""
        of_load = {} if self.generator is None else self.generator.speeds
        duty = 1.0 if self.rotation is None else self.rotation.duty
        return {name: (into / duty, out / duty) for name, (into, out) in of_load.items()}

    @property
    def retransmitted(self) -> float | None:
        """Share of the segments that were sent again, on the worst machine; None where there is but one."""
        generator, server = self.generator, self.server
        told = [] if server is None else [server.segments]
        if generator is not None:
            told += [generator.segments, *(each.segments for each in generator.machines or ())]
        shares = [each.retransmitted / each.sent for each in told if each is not None and each.sent]
        return max(shares, default=None)

    @property
    def treatment(self) -> str:
        """What was done to the workers: "none" outside of plans of recycling."""
        if self.probe is not None:
            return self.probe.kind
        if self.recycling is None:
            return "none"
        return "recycled" if self.recycling.wanted else "control"

    @model_validator(mode="after")
    def _whole_if_finished(self) -> Self:
        if self.status == "failed":
            return self
        if None in (self.window, self.server, self.generator, self.measured):
            raise ValueError("a finished cell needs window, server, generator and measured")
        if self.window and self.window.end <= self.window.start:
            raise ValueError("the measured window ends before it starts")
        if self.window and self.window.end - self.window.start > _LONGEST_WINDOW_S:
            raise ValueError("the measured window is longer than a month")
        if self.search is not None and self.load.kind == "closed":
            raise ValueError("a step of a search is an open loop")
        if self.treatment != "none" and self.load.kind == "closed":
            raise ValueError("a cell of recycling is an open loop")
        return self
