"""The JSON files of a run, as types: `run.json` and `cell.json` as docs/contracts.md states them."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.model.errors import UserError
from bench.model.files import plain
from bench.model.proxy import Kind
from bench.model.recycling import ProbeKind

SCHEMA = 3
"""The version of the format."""
METHODOLOGY = 3
"""The version of what the numbers mean."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Host(_Record):
    """The machine of a run."""

    hostname: str
    machine_id: str
    """A hash."""
    system: str
    """`Linux 6.1`"""
    cpu: str
    cpus: int
    memory_bytes: int | None
    container: bool


class CpuSplit(_Record):
    """The CPUs that served, that loaded, and that did neither."""

    server: list[int]
    generator: list[int]
    spare: list[int] = []
    trusted: bool
    """false where server and generator had to share."""
    note: str | None = None
    """What about them spoils the numbers."""


class Stack(_Record):
    """An interpreter version and the packages that were installed beside it."""

    python: str
    packages: dict[str, str]
    """Version by name."""


class Git(_Record):
    """The revision of the suite."""

    revision: str | None
    dirty: bool | None


class Variant(_Record):
    """The setting that a variant changes of its parent, and what people say of it."""

    of: str
    """Its parent."""
    varies: str
    """The setting, in the same words for the same setting of different servers."""
    change: str
    """What changes, in words."""
    claim: str
    """Empty where nobody says anything of it."""
    source: str
    """The page that says so."""
    says: Literal["", "better", "no difference", "worse"] = ""
    """What the claim comes to: how the variant is beside its parent."""
    expects: list[str]
    """What one expects it to change: some of `throughput`, `cpu`, `tail`, `memory`, `losses`, `start`,
    `stall`, `overlap`, `pauses`, `bursts` and `overload`."""


class Configuration(_Record):
    """An entry of the catalogue; its place in `Run.configurations` gives its colour in every chart.

    Nothing but name and summary is known of an external server.
    """

    name: str
    summary: str
    stack: str | None
    recycle: str | None
    keep_alive_s: float | None = None
    backlog: int | None = None
    variant_of: str | None = None
    variant: Variant | None = None
    """Only of a variant."""


class Ceiling(_Record):
    """What the generator reaches against the null server under one scenario and number of users."""

    scenario: str
    users: int
    """Of open loops and searches the most in flight: a ceiling is measured in a closed loop."""
    processes: int
    """Of the generator."""
    requests_per_s: float = Field(gt=0)
    at_least: bool
    """The generator used less than 90 % of its CPUs: the null server, or the scenario's waiting, was the
    limit."""
    cpu_us: float | None
    """The generator's work per request."""
    generator_busy: float | None
    """Share of its CPUs that it worked."""
    server_busy: float | None
    """Share of one CPU that the null server used."""
    measured: float
    """May lie before the run: ceilings are kept per host, launcher, version and packages."""


class Unavailable(_Record):
    """A configuration or a scenario that could not be measured here."""

    configuration: str | None = None
    scenario: str | None = None
    """In place of `configuration`."""
    reason: str
    remedy: str
    """The way to get it."""

    @property
    def name(self) -> str:
        """What could not be measured, for people."""
        return self.configuration or f"the scenario {self.scenario}"

    @model_validator(mode="after")
    def _of_one_thing(self) -> Self:
        if (self.configuration is None) == (self.scenario is None):
            raise ValueError("either a configuration or a scenario is unavailable")
        return self


class Database(_Record):
    """The database of a run."""

    where: Literal["given", "private", "compose"]
    version: str
    """As it says itself."""
    cpus: list[int] | None
    """That it was pinned to; null where it was not the suite's."""
    scenarios: list[str]
    """Those that need it."""


class Proxy(_Record):
    """The proxy that clients of a run go through; which one is in the plan."""

    version: str
    cpus: list[int]
    """That it was pinned to: never those of the servers."""
    configuration: str
    """What of its configuration clients and servers notice, with the addresses of an example."""


class OwnPackages(_Record):
    """What was installed for an app of one's own."""

    requirements_sha256: str | None
    """A hash of its requirements file with what that includes; null without one."""
    replaced: dict[str, dict[str, tuple[str, str | None]]]
    """By stack and package: the pinned version, and the one that the app's requirements put in its
    place."""


class Network(_Record):
    """The network that servers and generator meet in."""

    namespace: bool
    """The run has one of its own, in which nothing else is."""
    steered_to: list[int] | None
    """CPUs that process what the loopback device receives (receive packet steering), so that no server pays
    for waking the generator; null where the sender's CPU does."""
    note: str | None = None
    """Why it is not steered, and what would allow it."""
    sysctls: dict[str, int] = {}
    """`net.core.somaxconn`, the largest backlog, and `net.ipv4.tcp_migrate_req`, as far as the kernel has
    them."""


class Sittings(_Record):
    """What became of a run's rotation."""

    sittings: int
    """How many were measured, of all worker counts together."""
    widest: float | None = None
    """The widest interval that decides: the farther bound of a ratio to the best, as a share of the ratio;
    null where no two configurations can be compared."""
    stopped: Literal["precise", "limit", "most", "asked", "blocks"] | None = None
    """Why there are no more: all that decides is as precise as asked, the next one would have passed the time
    limit, `most_sittings` were measured, as many as asked were; `blocks`: closed loops were measured in
    blocks, and `reason` says why; null while it goes on."""
    seconds: float = 0.0
    """How long they took, starts of servers included."""
    reason: str | None = None


class Run(_Record):
    """`run.json`: one experiment."""

    methodology: int
    """The version of what the numbers mean ([methodology.md](methodology.md))."""
    run: str
    """The name of the folder."""
    status: Literal["running", "finished", "interrupted", "failed"]
    started: float
    ended: float | None
    """null while it runs."""
    plan: dict[str, Any]
    """Its `name`, and the plan as it was narrowed, with every default."""
    seed: int
    launcher: str
    """`processes`, `compose` or `external`."""
    host: Host
    cpu_split: CpuSplit
    stacks: dict[str, Stack]
    """Interpreter version and packages by name; none where the server is external."""
    suite: Stack
    """What the generator ran on; with `locustfile_requirements` every package of that environment."""
    git: Git | None
    """The revision of the suite; null where it was not a checkout."""
    configurations: list[Configuration]
    """The whole catalogue in its order, measured or not, then the variants that the plan names, then the
    aliases: charts take colours by place. Nothing but name and summary is known of an external server."""
    ceilings: list[Ceiling]
    """What the generator reaches against the null server. A load whose ceiling could not be measured has
    none."""
    unavailable: list[Unavailable]
    database: Database | None = None
    """null where no scenario needs one."""
    network: Network | None = None
    """null in runs from before it was recorded, and where the server is external."""
    proxy: Proxy | None = None
    """Only where clients go through one."""
    own_app: OwnPackages | None = None
    """Packages that were installed for an app of one's own; only with one."""
    locustfile_requirements: dict[str, str] | None = None
    """`{"sha256": …}`, a hash of that file; only where the plan has one."""
    rotation: Sittings | None = None
    """null where the plan has none."""
    cells_planned: int
    """Steps of searches, and sittings beyond the first ones, are counted as they are taken."""
    wall_s: float | None
    load_s: float | None
    """The time for which users ran, at least: warm-up and window of every finished cell."""

    @property
    def external(self) -> str | None:
        """The URL of an external server, which is not metered; None where servers were started."""
        external: dict[str, Any] | None = self.plan.get("external")
        return None if external is None else str(external.get("url"))

    @property
    def behind(self) -> str | None:
        """The kind of proxy that clients went through; None where they went to the servers."""
        behind: str | None = self.plan.get("proxy")
        return behind

    @property
    def app(self) -> str | None:
        """The app that was measured in place of the suite's, by its name and folder; None for the suite's."""
        own: dict[str, Any] | None = self.plan.get("own_app")
        return None if own is None else f"{own['app']} of {own['folder']}"


class ClosedLoad(_Record):
    """A closed loop: `users` that each wait for their answer."""

    kind: Literal["closed"]
    users: int = Field(gt=0)


class OpenLoad(_Record):
    """An open loop: `rate_per_s` arrivals per second in all, of which at most `users` are served at once."""

    kind: Literal["open"]
    arrivals: Literal["constant", "poisson"]
    rate_per_s: float = Field(gt=0)
    users: int = Field(gt=0)


class Search(_Record):
    """The search that a cell is a step of."""

    p99_ms: float = Field(gt=0)
    resolution: float = Field(gt=0)
    attempt: int = Field(1, gt=0)
    """How often the search had tried the rate."""


class Measured(_Record):
    """What the generator said of the window at its end; searches go by it, the analysis by the CSV files."""

    requests: int
    failures: int
    latency_us: dict[str, dict[str, float | None]]
    """By kind of latency.csv: `p50`, `p90`, `p99` (null where fewer than 10 lie beyond) and `max`."""
    arrivals: int | None
    """null in closed loops, as `completions`."""
    completions: int | None
    loaded_s: float | None = None
    """In a rotation: seconds of the cell's windows together, in which its `requests` ended."""
    cpu_s: float | None = None
    """In a rotation: CPU seconds of the server's processes in its windows."""
    idle_cpu_s: float | None = None
    """In a rotation: its CPU seconds in the windows of the others, while nobody loaded it."""
    idle_s: float | None = None
    """In a rotation: how long these windows were together."""


class Window(_Record):
    """The measured part of a cell: whole Unix seconds."""

    start: float
    end: float


class Server(_Record):
    """`server.json`, and the CPUs. Of an external server only `configuration` and `url` are known."""

    configuration: str | None = None
    command: list[str] | None
    environment: dict[str, str] | None = None
    """What the configuration sets; null in runs from before it was recorded."""
    url: str | None = None
    pid: int | None = None
    """Of its first process."""
    workers: int | None = None
    max_requests: int | None = None
    max_requests_jitter: int | None = None
    max_rss_mib: float | None = None
    deploys_by: str | None = None
    """How it was told of a new release: `HUP`, `inspector`, or `restart`; null where nobody meant to."""
    started: float | None
    ready_s: float | None
    whoami: dict[str, Any] | None
    """What a worker says of itself: `configuration`, `pid`, `python`, `loop`, `parser`, `versions`; `app`
    where it is one's own (that of a factory ends in `()`)."""
    cpus: Annotated[list[int], Field(min_length=1)] | None

    @property
    def app(self) -> str | None:
        """The app of one's own that was served; None for the suite's."""
        return (self.whoami or {}).get("app")


class Generator(_Record):
    """The Locust processes that made the load, and the CPUs they were pinned to."""

    cpus: list[int] = Field(min_length=1)
    processes: int = Field(gt=0)
    engine: str
    """`swarm` or `locust`."""


class Recycling(_Record):
    """When serve was to replace workers; all null in controls and probes."""

    max_requests: int | None
    max_requests_jitter: int | None
    max_rss_mib: float | None

    @property
    def wanted(self) -> bool:
        """Whether workers were to be replaced at all."""
        return self.max_requests is not None or self.max_rss_mib is not None


class Probe(_Record):
    """What else was done to the server."""

    kind: ProbeKind
    time: float | None
    """When the signal was sent; null where none was, which fails the cell."""
    pid: int | None
    """What was signalled; of `terminate` and `deploy` the server's first process."""
    renewed: list[int] | None = None
    """Of `deploy`: the workers that started with the new release."""


class ServerEnded(_Record):
    """The end of a server that ended before its cell."""

    time: float
    exit_status: int | None
    """Of its first process, as in workers.csv."""


class Rotation(_Record):
    """The sitting of a cell, which is its repeat: all that were alive, and how the load went round.

    A slice is `warm_s` of unrecorded load, a window of `slice_s`, and a gap of `gap_s` in which what is in
    flight ends.
    """

    targets: list[str]
    """The configurations, in the order in which they settled."""
    rounds: int
    slice_s: float = Field(gt=0)
    warm_s: float
    gap_s: float
    manners: list[Literal["polls", "sleeps"]]
    """How the generator waited for answers, one round after the other."""


class Front(_Record):
    """The proxy that clients of a cell went through."""

    kind: Kind
    cpu_s: float | None
    """CPU seconds that it used from the cell's beginning to its end, warm-up included; null where it was not
    there all the time."""


class Cell(_Record):
    """`cell.json`: one configuration under one load of one scenario, in one repeat."""

    configuration: str
    scenario: str
    load: Annotated[ClosedLoad | OpenLoad, Field(discriminator="kind")]
    search: Search | None
    workers: int | None
    """The plan's number; a variant with its own has that in `server`. null of an external server."""
    repeat: int
    block: int
    """Counts the starts of servers."""
    launcher: str | None = None
    recycling: Recycling | None
    """When serve was to replace workers: all null in controls and probes; null in other plans."""
    probe: Probe | None
    server_ended: ServerEnded | None
    """When the server ended, if it did before its cell; in plans of recycling only."""
    rotation: Rotation | None = None
    """null where the cell was measured in a block, alone."""
    proxy: Front | None = None
    """null where clients went to the server itself: in plans with a proxy, cells of recycling are there in
    both ways."""
    status: Literal["finished", "failed"]
    reason: str | None
    """Why it failed."""
    started: float
    ended: float
    warmup_s: float | None = None
    measured_s: float | None = None
    """As planned; `window` has what it was."""
    window: Window | None
    """The measured part, whole Unix seconds, in a rotation from the first window's to the last one's; null in
    a failed cell, where the next three may be, too."""
    server: Server | None
    generator: Generator | None
    measured: Measured | None

    @property
    def treatment(self) -> str:
        """What was done to the workers: "none" where the plan was not one of recycling."""
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
        if self.search is not None and self.load.kind == "closed":
            raise ValueError("a step of a search is an open loop")
        if self.treatment != "none" and self.load.kind == "closed":
            raise ValueError("a cell of recycling is an open loop")
        return self


Model = TypeVar("Model", Run, Cell)


def read(path: Path, model: type[Model]) -> Model:
    """Read one JSON file of a run; its texts are made `plain`, for they go to terminals, charts and pages.

    Raises:
        UserError: it is not JSON, of another schema, or lacks a key; the text names file and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    try:
        document = _plain(json.loads(text))
    except ValueError as error:
        what = "is empty" if not text.strip() else f"is not JSON ({error})"
        raise UserError(f"{path} {what}; restore it or run the cell again") from error
    version = document.get("schema") if isinstance(document, dict) else None
    if version != SCHEMA:
        raise UserError(
            f"{path} has results schema {version}, this version of Whichworker reads {SCHEMA}; "
            "report it with the version that measured it, or measure again"
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UserError(f"{path}: {where}: {first['msg']}") from error


def _plain(value: Any) -> Any:
    """A JSON document with every text of it, keys included, made `plain`."""
    if isinstance(value, dict):
        return {plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return plain(value) if isinstance(value, str) else value
