"""`run.json`: one experiment."""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from bench.model.plans.proxy import CHOICES
from bench.model.records.hosts import CpuSplit, Generators, Host, Network
from bench.model.records.schema import Cpus, Record
from bench.model.tables import Size


class Stack(Record):
    """An interpreter version and the packages that were installed beside it."""

    python: str
    packages: dict[str, str]
    """Version by name."""
    optimized: bool | None = None
    """Built with profile-guided optimisation? null: unknown."""


class Git(Record):
    """The revision of the suite."""

    revision: str | None
    dirty: bool | None


class Variant(Record):
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
    default: bool = False
    """It is its parent without the flags that state what a default would decide."""
    expects: list[str]
    """What one expects it to change: some of `throughput`, `cpu`, `tail`, `memory`, `losses`, `start`,
    `stall`, `overlap`, `replacing`, `pauses`, `bursts` and `overload`."""


class Configuration(Record):
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
    sysctls: dict[str, int] = Field(default_factory=dict)
    """That it sets, in cells of recycling."""


class Ceiling(Record):
    """What the generator reaches against the null server under one scenario and number of users."""

    scenario: str
    users: int
    """Of open loops the most in flight."""
    processes: int
    """Of the generator."""
    requests_per_s: float = Field(gt=0)
    at_least: bool
    """Less than 90 % of the generator's CPUs were busy."""
    cpu_us: float | None
    """The generator's."""
    generator_busy: float | None
    """Share of its CPUs."""
    server_busy: float | None
    """The null server's, of one CPU."""
    of_each: dict[str, float] | None = None
    """Of each generator, where they are on other machines."""
    measured: float
    """May lie before the run."""


class Unavailable(Record):
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


class Database(Record):
    """The database of a run."""

    where: Literal["given", "private", "compose"]
    version: str
    """As it says itself."""
    cpus: list[int] | None
    """Null where it was not the suite's."""
    scenarios: list[str]
    """Those that need it."""


class Proxy(Record):
    """The proxy that clients of a run go through; which one is in the plan."""

    version: str
    cpus: Cpus
    """That it was pinned to: never those of the servers."""
    configuration: str
    """What clients and servers notice of it, with the addresses of an example."""


class OwnPackages(Record):
    """What was installed for an app of one's own."""

    requirements_sha256: str | None
    """Of its requirements file."""
    replaced: dict[str, dict[str, tuple[str, str | None]]]
    """By stack and package: the pinned version, and the app's in its place."""


class Sittings(Record):
    """What became of a run's rotation."""

    sittings: int
    """How many were measured."""
    widest: float | None = None
    """Of the intervals that decide, to the farther bound, as a share."""
    stopped: Literal["precise", "limit", "most", "asked", "blocks"] | None = None
    """`precise` as asked; the next would pass the time `limit`; the `most`, or those `asked` for, are
    measured; `blocks` instead, for the `reason`; null while it goes on."""
    seconds: float = 0.0
    """Starts of servers included."""
    reason: str | None = None


class _Loads(Record):
    users: list[int] | None = None
    open: list[dict[str, Any]] | None = None
    search: dict[str, Any] | None = None


class _Kind(Record):
    kind: str


class _Precision(Record):
    precision: float | None = None


class _Soak(Record):
    hours: float = Field(gt=0)
    allowance: Size | None = None


class _OwnApp(Record):
    app: str
    folder: str
    baseline: dict[str, Any] | None = None


class _Url(Record):
    url: str


class _Planned(Record):
    """What is read of a recorded plan, whatever version of the suite recorded it."""

    name: str = ""
    summary: str | None = None
    configurations: list[str] | str = "all"
    scenarios: dict[str, _Loads] = Field(default_factory=dict)
    workers: list[int] | None = None
    repeats: int = 1
    aliases: dict[str, str] = Field(default_factory=dict)
    thresholds: dict[str, list[str]] = Field(default_factory=dict)
    probes: list[_Kind] = Field(default_factory=list)
    recycling: dict[str, Any] | None = None
    rotation: _Precision | None = None
    soak: _Soak | None = None
    requirements: dict[str, Any] | None = None
    own_app: _OwnApp | None = None
    external: _Url | None = None
    proxy: str | None = None
    startup_timeout_s: float | None = None
    catalogue: str | None = None


class Run(Record):
    """`run.json`: one experiment."""

    methodology: int
    run: str
    """Its folder."""
    status: Literal["running", "finished", "interrupted", "failed"]
    started: float
    ended: float | None
    """null while it runs."""
    plan: dict[str, Any]
    """Its `name`, and the plan as it was narrowed, with every default."""
    seed: int
    launcher: str
    """`processes`, `compose`, `external` or `ssh`."""
    host: Host
    """That of the generator."""
    server_host: Host | None = None
    """That of the servers; only where it is another one."""
    cpu_split: CpuSplit
    stacks: dict[str, Stack]
    """By name; none where the server is external."""
    suite: Stack
    """The generator's."""
    git: Git | None
    """The revision of the suite; null where it was not a checkout."""
    configurations: list[Configuration]
    """The catalogue, measured or not, with variants and aliases; colours go by place."""
    ceilings: list[Ceiling]
    """What the generator reaches against the null server."""
    unavailable: list[Unavailable]
    database: Database | None = None
    """null where no scenario needs one."""
    network: Network | None = None
    """null where the server is external, and in older runs."""
    proxy: Proxy | None = None
    """Only where clients go through one."""
    own_app: OwnPackages | None = None
    """Only with one."""
    locustfile_requirements: dict[str, str] | None = None
    """`{"sha256": …}` of that file; only where the plan has one."""
    generators: Generators | None = None
    """Only where they are on other machines."""
    rotation: Sittings | None = None
    """null where the plan has none."""
    cells_planned: int
    """Steps of searches and added sittings as they are taken."""
    wall_s: float | None
    load_s: float | None
    """Seconds under load."""

    @field_validator("plan")
    @classmethod
    def _as_it_is_read(cls, plan: dict[str, Any]) -> dict[str, Any]:
        try:
            _Planned.model_validate(plan)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        return plan

    @field_validator("configurations")
    @classmethod
    def _distinct(cls, configurations: list[Configuration]) -> list[Configuration]:
        if len({each.name for each in configurations}) < len(configurations):
            raise ValueError("a configuration is there twice")
        return configurations

    @property
    def external(self) -> str | None:
        """The URL of an external server, which is not metered; None where servers were started."""
        external: dict[str, Any] | None = self.plan.get("external")
        return None if external is None else str(external.get("url"))

    @property
    def over_wire(self) -> bool:
        """Whether servers and generator are on several machines."""
        return self.server_host is not None or self.generators is not None

    @property
    def served_by(self) -> Host:
        """The machine of the servers."""
        return self.host if self.server_host is None else self.server_host

    @property
    def behind(self) -> str | None:
        """The kind of proxy that clients went through; None where they went to the servers."""
        behind: str | None = self.plan.get("proxy")
        return behind

    @property
    def proxy_settings(self) -> list[str]:
        """What a plan says of its proxy beside its kind, in short: `keepalive=off`, `tls`."""
        told = [f"{key.removeprefix('proxy_')}={self.plan[key]}" for key in CHOICES if key in self.plan]
        return [*told, *(["tls"] if self.plan.get("proxy_tls") else [])]

    @property
    def app(self) -> str | None:
        """The app that was measured in place of the suite's, by its name and folder; None for the suite's."""
        own: dict[str, Any] | None = self.plan.get("own_app")
        return None if own is None else f"{own['app']} of {own['folder']}"
