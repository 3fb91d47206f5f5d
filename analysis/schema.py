"""The JSON files of a run, as types: `run.json` and `cell.json` as docs/contracts.md states them."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from analysis.errors import AnalysisError
from analysis.words import plain

SCHEMA = 3


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Host(_Record):
    """The machine of a run; `machine_id` is a hash, `memory_bytes` in bytes."""

    hostname: str
    machine_id: str
    system: str
    cpu: str
    cpus: int
    memory_bytes: int | None
    container: bool


class CpuSplit(_Record):
    """Which CPUs served and which loaded; `trusted` is false where they had to share, `note` says why."""

    server: list[int]
    generator: list[int]
    trusted: bool
    note: str | None = None


class Stack(_Record):
    """An interpreter version and the packages that were installed beside it."""

    python: str
    packages: dict[str, str]


class Git(_Record):
    """The revision of the suite; null where it was not a checkout."""

    revision: str | None
    dirty: bool | None


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
    # Runs from before it was recorded have none.
    variant_of: str | None = None


class Ceiling(_Record):
    """What the generator reaches against the null server; `at_least`: the null server was the limit."""

    scenario: str
    users: int
    processes: int
    requests_per_s: float = Field(gt=0)
    at_least: bool
    cpu_us: float | None
    generator_busy: float | None
    server_busy: float | None
    measured: float


class Unavailable(_Record):
    """A configuration or a scenario that could not be measured here, why, and the way to get it."""

    configuration: str | None = None
    scenario: str | None = None
    reason: str
    remedy: str

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
    """What `scenarios` asked; `cpus` are those it was pinned to, null where it was not the suite's."""

    where: Literal["given", "private", "compose"]
    version: str
    cpus: list[int] | None
    scenarios: list[str]


class Run(_Record):
    """`run.json`: one experiment. Times are Unix seconds."""

    run: str
    methodology: int
    status: Literal["running", "finished", "interrupted", "failed"]
    started: float
    ended: float | None
    plan: dict[str, Any]
    seed: int
    launcher: str
    host: Host
    cpu_split: CpuSplit
    stacks: dict[str, Stack]
    suite: Stack
    git: Git | None
    configurations: list[Configuration]
    ceilings: list[Ceiling]
    unavailable: list[Unavailable]
    # Runs without such scenarios, and those from before there were any, have none.
    database: Database | None = None
    cells_planned: int
    wall_s: float | None
    load_s: float | None

    @property
    def external(self) -> str | None:
        """The URL of a server that ran already, and that nobody metered; null where servers were started."""
        external: dict[str, Any] | None = self.plan.get("external")
        return None if external is None else str(external.get("url"))


class ClosedLoad(_Record):
    """A closed loop of `users` that each wait for their answer."""

    kind: Literal["closed"]
    users: int = Field(gt=0)


class OpenLoad(_Record):
    """An open loop: `rate_per_s` arrivals per second in all, of which at most `users` are served at once."""

    kind: Literal["open"]
    arrivals: Literal["constant", "poisson"]
    rate_per_s: float = Field(gt=0)
    users: int = Field(gt=0)


class Search(_Record):
    """The limit on the from-schedule p99 that a search step was measured for, and how finely it searched.

    `attempt` counts how often the search had tried the rate then.
    """

    p99_ms: float = Field(gt=0)
    resolution: float = Field(gt=0)
    attempt: int = Field(1, gt=0)


class Measured(_Record):
    """What the generator said of the window; latencies in microseconds by kind, null where too few."""

    requests: int
    failures: int
    latency_us: dict[str, dict[str, float | None]]
    arrivals: int | None
    completions: int | None


class Window(_Record):
    """The measured part of a cell, in Unix seconds."""

    start: float
    end: float


class Server(_Record):
    """The server as it was started, and the CPUs it was pinned to; all null of an external one.

    `environment` is what its configuration sets, null in runs from before that was recorded.
    """

    command: list[str] | None
    environment: dict[str, str] | None = None
    started: float | None
    ready_s: float | None
    whoami: dict[str, Any] | None
    cpus: Annotated[list[int], Field(min_length=1)] | None

    @property
    def app(self) -> str | None:
        """Somebody's own app that was served, None for the suite's; that of a factory ends in `()`."""
        return (self.whoami or {}).get("app")


class Generator(_Record):
    """The Locust processes that made the load, and the CPUs they were pinned to."""

    cpus: list[int] = Field(min_length=1)
    processes: int = Field(gt=0)
    engine: str


class Recycling(_Record):
    """What the server was told: N requests, with so much jitter, or a size in MiB; all null in a control."""

    max_requests: int | None
    max_requests_jitter: int | None
    max_rss_mib: float | None

    @property
    def asked(self) -> bool:
        """Whether workers were to be replaced at all."""
        return self.max_requests is not None or self.max_rss_mib is not None


class Probe(_Record):
    """What else was done to the server; `time` (Unix s) and `pid` of the signal, null where none was sent."""

    kind: Literal["kill", "terminate"]
    time: float | None
    pid: int | None


class ServerEnded(_Record):
    """When the server ended before its cell did (Unix s), and with what exit status, null where unknown."""

    time: float
    exit_status: int | None


class Cell(_Record):
    """`cell.json`: configuration x scenario x load x repeat; `workers` is null of an external server."""

    configuration: str
    scenario: str
    load: Annotated[ClosedLoad | OpenLoad, Field(discriminator="kind")]
    search: Search | None
    workers: int | None
    repeat: int
    block: int
    recycling: Recycling | None
    probe: Probe | None
    server_ended: ServerEnded | None
    status: Literal["finished", "failed"]
    reason: str | None
    started: float
    ended: float
    window: Window | None
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
        return "recycled" if self.recycling.asked else "control"

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
        AnalysisError: it is not JSON, of another schema, or lacks a key; the text names file and key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AnalysisError(f"{path}: {error.strerror}") from error
    try:
        document = _plain(json.loads(text))
    except ValueError as error:
        what = "is empty" if not text.strip() else f"is not JSON ({error})"
        raise AnalysisError(f"{path} {what}; restore it or run the cell again") from error
    version = document.get("schema") if isinstance(document, dict) else None
    if version != SCHEMA:
        raise AnalysisError(
            f"{path} has results schema {version}, this version of Whichworker reads {SCHEMA}; "
            "report it with the version that measured it, or measure again"
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise AnalysisError(f"{path}: {where}: {first['msg']}") from error


def _plain(value: Any) -> Any:
    """A JSON document with every text of it, keys included, made `plain`."""
    if isinstance(value, dict):
        return {plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return plain(value) if isinstance(value, str) else value
