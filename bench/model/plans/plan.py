"""Plans: which configurations are measured under which loads.

A plan is a TOML file, in ``bench/plans`` or elsewhere. ``Plan`` is what it says; ``narrowing`` changes it as
the command line asks, ``naming`` holds its names against those that exist, and ``bench.experiment.blocks``
turns it into cells.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from bench.model import thresholds
from bench.model.errors import UsageError, unknown
from bench.model.files import ROOT, check_plain, shortened
from bench.model.plans.deployed import Deployed, check_external
from bench.model.plans.generators import GeneratorsTable
from bench.model.plans.loads import Loads, check_recycled
from bench.model.plans.machines import machine
from bench.model.plans.own_app import BEFORE, OwnApp
from bench.model.plans.problems import first
from bench.model.plans.proxy import CHOICES, Kind, ProxyKind, Setting, Socket, check_proxy, ways
from bench.model.plans.recycling import Probe, RecyclingTable, check_probes
from bench.model.plans.rotation import RotationTable
from bench.model.plans.settings import ConnectionsTable, beside_variants, having_variants
from bench.model.plans.soak import NOT_WITH_SOAK, SoakTable, check_soak
from bench.model.requirements import Requirements
from bench.model.tables import Counts, Names, PlanTable, Window
from targets.catalogue.configurations import Configuration

STARTUP_S = 30.0
"""How long a server may take to start, unless a plan says otherwise."""
IMPORT_S = 60.0
"""How long an app or locustfiles may take to be imported, unless a plan says otherwise."""
PLANS = ROOT / "bench" / "plans"

# An alias becomes the name of a folder.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

LIMITS = ("startup_timeout_s", "import_timeout_s")
"""Keys that do not change what is measured: a run may go on with others."""

# Seconds; beyond a day it is a mistake.
Limit = Annotated[float, Field(gt=0, le=86400)]
Threshold = Annotated[str, AfterValidator(thresholds.check)]


class Plan(PlanTable):
    """A plan as written.

    ``catalogue``, ``locustfiles`` (a folder, or one file) and ``locustfile_requirements`` are relative to the
    project's root where they lie below it, so that a recorded plan reads the same everywhere.
    """

    summary: str
    """One sentence."""
    configurations: Literal["all"] | Names
    """Names, or `"all"`, which includes the aliases."""
    variants: bool = False
    """true: `"all"` includes variants."""
    recycling: RecyclingTable | None = None
    """Open loops run twice, with workers replaced and, as the control, without."""
    scenarios: dict[str, Loads]
    """`[scenarios.NAME]`: what each is loaded with."""
    workers: Counts | None
    """Numbers of workers."""
    repeats: PositiveInt
    """Rounds, each with every configuration once, in a random order."""
    warmup_s: Annotated[float, Field(gt=0, le=600)]
    """Seconds of load before each measured window."""
    measured_s: Window
    """Length of the window, whole seconds; at most, of a cell of recycling."""
    probes: Annotated[list[Probe], AfterValidator(check_probes)] = Field(default_factory=list)
    """What else is done to servers, in plans of recycling."""
    aliases: dict[str, str] = Field(default_factory=dict)
    """`again = "sanic"`: a further name, for an A/A comparison."""
    thresholds: dict[str, Annotated[list[Threshold], Field(min_length=1)]] = Field(default_factory=dict)
    """`all` or a scenario `= ["p99_ms < 50", "failures == 0"]`: what its cells must satisfy, or the run exits
    with 1."""
    # Recorded only where they are, so that runs from before there were any can go on.
    settings: bool = Field(default=False, exclude_if=lambda value: not value)
    """true: configurations are measured beside their [variants](settings.md)."""
    rotation: RotationTable | None = Field(default=None, exclude_if=lambda value: value is None)
    """Closed loops [go round](methodology.md#rotation) among all."""
    connections: ConnectionsTable | None = Field(default=None, exclude_if=lambda value: value is None)
    """In plans of settings: pauses, bursts and overload."""
    soak: SoakTable | None = Field(default=None, exclude_if=lambda value: value is None)
    """Its open loops [last for hours](soak.md), on all servers at once."""
    requirements: Requirements | None = Field(default=None, exclude_if=lambda value: value is None)
    """What is required of a configuration."""
    own_app: OwnApp | None = Field(default=None, exclude_if=lambda value: value is None)
    """[An app of one's own](own-app.md); needs `locustfiles`."""
    external: Deployed | None = Field(default=None, exclude_if=lambda value: value is None)
    """A server that [runs already](external.md), in place of configurations: `{"url": …, "name": …}`."""
    generators: GeneratorsTable | None = Field(default=None, exclude_if=lambda value: value is None)
    """[Other machines](machines.md#load-from-other-machines) make the load."""
    server: Annotated[str, AfterValidator(machine)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    """`user@host`: servers run [there](machines.md#servers-on-another-machine), reached by ssh."""
    proxy: ProxyKind | None = Field(default=None, exclude_if=lambda value: value is None)
    """`nginx` or `haproxy`: clients [go through it](proxy.md)."""
    proxy_retries: Setting | None = Field(default=None, exclude_if=lambda value: value is None)
    """Does it send again what was not answered? `default` or `off`."""
    proxy_keepalive: Setting | None = Field(default=None, exclude_if=lambda value: value is None)
    """Does it keep its connections to servers? `default` or `off`."""
    proxy_socket: Socket | None = Field(default=None, exclude_if=lambda value: value is None)
    """How it reaches servers: `tcp` or `unix`."""
    proxy_tls: bool = Field(default=False, exclude_if=lambda value: not value)
    """true: clients reach it by TLS."""
    startup_timeout_s: Limit | None = Field(default=None, exclude_if=lambda value: value is None)
    """Seconds that a server may take to start, else 30."""
    import_timeout_s: Limit | None = Field(default=None, exclude_if=lambda value: value is None)
    """Seconds that the import of the app, or of all locustfiles, may take, else 60."""
    catalogue: str | None = None
    """Another catalogue file than the suite's."""
    locustfiles: str | None = None
    """Another folder of scenarios than the suite's, or one file."""
    scenario_options: list[str] = Field(default_factory=list, exclude_if=lambda value: not value)
    """Words for their own options."""
    locustfile_requirements: str | None = Field(default=None, exclude_if=lambda value: value is None)
    """A file for pip: what they need beside the suite's packages."""

    @field_serializer("requirements")
    def _as_given(self, requirements: Requirements | None) -> dict[str, Any] | None:
        return None if requirements is None else requirements.recorded()

    @field_validator("aliases")
    @classmethod
    def _folder_names(cls, aliases: dict[str, str]) -> dict[str, str]:
        for alias in aliases:
            if not _ALIAS.fullmatch(alias):
                raise ValueError(f'"{alias}" cannot be the name of a folder; use letters, digits and "-"')
        return aliases

    @field_validator("thresholds")
    @classmethod
    def _of_scenarios(cls, limits: dict[str, list[str]], info: ValidationInfo) -> dict[str, list[str]]:
        scenarios = info.data.get("scenarios", limits)
        names = ["all", *scenarios, *(probe.scenario for probe in info.data.get("probes", []))]
        for name in limits:
            if name not in names:
                raise ValueError(unknown("scenario", name, names))
        return limits

    @field_validator("catalogue", "locustfiles", "locustfile_requirements")
    @classmethod
    def _existing(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None:
            return None
        path = ((info.context or ROOT) / name).resolve()
        if info.field_name == "catalogue" and not path.is_file():
            raise ValueError(f"there is no file {path}")
        if info.field_name == "locustfile_requirements" and not path.is_file():
            raise ValueError(f"there is no file {path} (SCENARIO_REQUIREMENTS=)")
        if info.field_name == "locustfiles" and not path.exists():
            raise ValueError(f"there is no file or folder {path}")
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        if self.recycling is None:
            self._check_without_recycling()
        else:
            self._check_recycling()
        if self.soak is not None:
            check_soak({key: getattr(self, key) for key in NOT_WITH_SOAK}, self.scenarios.values())
        if not self.scenarios and not self.probes:
            raise ValueError("[scenarios] names none")
        if self.scenario_options and self.locustfiles is None:
            raise ValueError("scenario_options are for a locustfile of your own: give SCENARIO= too")
        if self.own_app is not None and self.locustfiles is None:
            raise ValueError("an app of your own needs a locustfile for its own routes: give SCENARIO= too")
        if self.locustfile_requirements is not None and self.locustfiles is None:
            raise ValueError(
                "packages for locustfiles belong to a locustfile of your own: give SCENARIO= too"
            )
        if self.connections is not None and not self.settings:
            raise ValueError("[connections] belong to a plan of settings: it needs `settings = true`")
        keys = {key: getattr(self, key) for key in (*CHOICES, "proxy_tls")}
        held = {"external": self.external is not None, "connections": self.connections is not None}
        check_proxy(self.proxy, keys, **held)
        if self.proxy is None and any(probe.kind == "swap" for probe in self.probes):
            raise ValueError('probes of the kind "swap" need a proxy: give PROXY=nginx or PROXY=haproxy')
        if self.server is not None and self.external is not None:
            raise ValueError("servers on another machine (SERVER=) go without URL=: leave out one")
        if self.server is not None and self.proxy_socket == "unix":
            raise ValueError("no Unix socket leads to servers on another machine: leave out PROXY_SOCKET=")
        if self.settings and self.own_app is not None and self.own_app.baseline is not None:
            raise ValueError("settings compare variants, BASELINE= two versions of an app: leave out one")
        if self.external is not None:
            check_external(
                recycling=self.recycling is not None,
                own_app=self.own_app is not None,
                startup=self.startup_timeout_s is not None,
                aliases=bool(self.aliases),
                limits=self.thresholds,
            )
        elif self.workers is None:
            raise ValueError('"workers" may be unknown of an external server only')
        return self

    def _check_without_recycling(self) -> None:
        if self.probes:
            raise ValueError("[[probes]] need [recycling], which this plan has not")
        for name, loads in self.scenarios.items():
            if loads.recycling is not None:
                raise ValueError(f"[scenarios.{name}.recycling] needs [recycling], which this plan has not")

    def _check_recycling(self) -> None:
        only = check_recycled(self.scenarios, rotates=self.rotation is not None)
        if self.rotation is not None:
            return
        for name, limits in self.thresholds.items():
            if any(limit.startswith("requests_per_second") for limit in limits):
                rate = '"requests_per_second" is for closed loops'
                raise ValueError(f'[thresholds] {name}: {rate}, and {only}; use "achieved"')

    @property
    def packages(self) -> Path | None:
        """The requirements file of its locustfiles, if they need more than the suite has."""
        return None if self.locustfile_requirements is None else ROOT / self.locustfile_requirements

    @property
    def rotated_ways(self) -> tuple[Kind | None, ...]:
        """The ways by which clients of a rotation reach each server, which listens in one place."""
        return (self.proxy,) if self.proxy_socket == "unix" else ways(self.proxy)

    def original(self, configuration: str) -> str:
        """The configuration that a name of this plan stands for: an alias's or a baseline's, else itself."""
        return self.aliases.get(configuration, self.befores.get(configuration, configuration))

    @property
    def befores(self) -> dict[str, str]:
        """The names under which configurations serve the baseline of an app of one's own, and theirs."""
        if self.own_app is None or self.own_app.baseline is None or self.configurations == "all":
            return {}
        own = (name for name in self.configurations if name not in self.aliases)
        return {f"{name}{BEFORE}": name for name in own if not name.endswith(BEFORE)}

    def named(self, configurations: Mapping[str, Configuration]) -> list[str]:
        """The names of its configurations, "all" spelled out: those of a catalogue, and its aliases.

        In a plan of settings variants are beside what they are variants of.
        """
        if self.configurations != "all":
            names = self.configurations
        elif self.settings:
            names = [*having_variants(configurations), *self.aliases]
        else:
            own = (name for name, each in configurations.items() if self.variants or each.variant_of is None)
            names = [*own, *self.aliases]
        return beside_variants(names, configurations) if self.settings else names

    def recycling_in(self, scenario: str) -> RecyclingTable | None:
        """When workers are replaced in the cells of a scenario; ``None`` in plans that are not of it."""
        return None if self.recycling is None else self.recycling.altered(self.scenarios[scenario].recycling)

    @property
    def both(self) -> bool:
        """Whether its closed loops compare the servers, and its open loops replace their workers."""
        return self.recycling is not None and self.rotation is not None

    @property
    def recycling_repeats(self) -> int:
        """How often each cell of recycling is measured."""
        own = None if self.recycling is None else self.recycling.repeats
        return self.repeats if own is None else own

    @property
    def recycling_s(self) -> int:
        """The most that the window of a cell of recycling may take (seconds)."""
        own = None if self.recycling is None else self.recycling.measured_s
        return self.measured_s if own is None else own

    def without_recycling(self) -> "Plan":
        """The plan with the closed loops alone, where it has both; else itself."""
        if not self.both:
            return self
        closed = {
            name: loads.model_copy(update={"open": [], "recycling": None})
            for name, loads in self.scenarios.items()
            if loads.users is not None
        }
        return self.model_copy(update={"recycling": None, "scenarios": closed, "probes": []})

    @property
    def startup_s(self) -> float:
        """How long a server may take to start (seconds)."""
        return STARTUP_S if self.startup_timeout_s is None else self.startup_timeout_s

    @property
    def import_s(self) -> float:
        """How long the app, and all locustfiles together, may take to be imported (seconds)."""
        return IMPORT_S if self.import_timeout_s is None else self.import_timeout_s

    @property
    def loaded(self) -> list[str]:
        """The scenarios that are run, by loads or by probes, each once."""
        return list(dict.fromkeys([*self.scenarios, *(probe.scenario for probe in self.probes)]))

    def without_scenarios(self, names: Collection[str]) -> "Plan":
        """The plan without some of its scenarios."""
        if not names:
            return self
        kept = {name: loads for name, loads in self.scenarios.items() if name not in names}
        probes = [probe for probe in self.probes if probe.scenario not in names]
        limits = {name: demands for name, demands in self.thresholds.items() if name not in names}
        return self.model_copy(update={"scenarios": kept, "probes": probes, "thresholds": limits})

    @property
    def most_users(self) -> int:
        """The most connections that any of its cells holds."""
        of_loads = [loads.most_users for loads in self.scenarios.values()]
        return max([*of_loads, *(probe.users for probe in self.probes)])


def names() -> list[str]:
    """The plans that come with the suite."""
    return sorted(path.stem for path in PLANS.glob("*.toml"))


def load(name: str) -> Plan:
    """Read a plan by its name, or by the path of a ``.toml`` file.

    Raises:
        UsageError: there is no such plan, or the file is not a plan; names the file and the key.
    """
    path = Path(name) if name.endswith(".toml") else PLANS / f"{name}.toml"
    check_plain(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if name.endswith(".toml"):
            raise UsageError(f"no plan at {name}") from None
        raise UsageError(unknown("plan", name, names())) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of an integer of thousands of digits
        raise UsageError(f"{path}: not TOML: {error}") from error
    return validate(content, str(path), path.parent)


def validate(content: Mapping[str, Any], where: str, folder: Path = ROOT) -> Plan:
    """A plan from its keys and values; its paths are relative to ``folder``.

    Raises:
        UsageError: it is not a plan; names ``where`` it was found and the key.
    """
    try:
        return Plan.model_validate(content, context=folder)
    except ValidationError as error:
        raise UsageError(f"{where}: {shortened(first(error, Plan.model_fields), 1000)}") from error
