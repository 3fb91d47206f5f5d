"""Plans: which configurations are measured under which loads.

A plan is a TOML file, in ``bench/plans`` or elsewhere. ``Plan`` is what it says; ``bench.narrowing`` changes
it as the command line asks, ``bench.blocks`` turns it into cells.
"""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench import thresholds
from bench.deployed import Deployed
from bench.errors import UsageError, unknown
from bench.loads import Loads, OpenLoads, Search
from bench.own_app import OwnApp
from bench.processes import ROOT
from bench.recycling import Probe, RecyclingKeys, RecyclingTable, check_probes
from bench.requirements import RequirementsTable
from bench.tables import Counts, Names, Table, Window
from targets.configurations import Configuration

PLANS = Path(__file__).parent / "plans"

# An alias becomes the name of a folder.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Threshold = Annotated[str, AfterValidator(thresholds.check)]


class Plan(Table):
    """A plan as written.

    ``catalogue`` and ``locustfiles`` (a folder, or one file) are relative to the project's root where they
    lie below it, so that a recorded plan reads the same everywhere.
    """

    summary: str
    configurations: Literal["all"] | Names
    variants: bool = False
    recycling: RecyclingTable | None = None
    scenarios: dict[str, Loads]
    # None: not known, as the server is external.
    workers: Counts | None
    repeats: PositiveInt
    warmup_s: Annotated[float, Field(gt=0, le=600)]
    measured_s: Window
    probes: Annotated[list[Probe], AfterValidator(check_probes)] = Field(default_factory=list)
    aliases: dict[str, str] = Field(default_factory=dict)
    thresholds: dict[str, Annotated[list[Threshold], Field(min_length=1)]] = Field(default_factory=dict)
    # Recorded only where they are, so that runs from before there were any can go on.
    requirements: RequirementsTable | None = Field(default=None, exclude_if=lambda value: value is None)
    own_app: OwnApp | None = Field(default=None, exclude_if=lambda value: value is None)
    external: Deployed | None = Field(default=None, exclude_if=lambda value: value is None)
    catalogue: str | None = None
    locustfiles: str | None = None

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
        names = ["all", *scenarios, *(each.scenario for each in info.data.get("probes", []))]
        for name in limits:
            if name not in names:
                raise ValueError(unknown("scenario", name, names))
        return limits

    @field_validator("catalogue", "locustfiles")
    @classmethod
    def _existing(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None:
            return None
        path = ((info.context or ROOT) / name).resolve()
        if info.field_name == "catalogue" and not path.is_file():
            raise ValueError(f"there is no file {path}")
        if info.field_name == "locustfiles" and not path.exists():
            raise ValueError(f"there is no file or folder {path}")
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    @model_validator(mode="after")
    def _consistent(self) -> "Plan":
        if self.recycling is None:
            self._check_without_recycling()
        else:
            self._check_recycling()
        if not self.scenarios and not self.probes:
            raise ValueError("[scenarios] names none")
        if self.own_app is not None and self.locustfiles is None:
            raise ValueError("an app of your own needs a locustfile for its own routes: give SCENARIO= too")
        if self.external is not None:
            self._check_external()
        elif self.workers is None:
            raise ValueError('"workers" may be unknown of an external server only')
        return self

    def _check_without_recycling(self) -> None:
        if self.probes:
            raise ValueError("[[probes]] belong to plans of recycling, and this has no [recycling]")
        for name, loads in self.scenarios.items():
            if loads.recycling is not None:
                raise ValueError(f"[scenarios.{name}.recycling] changes [recycling], which this has not")

    def _check_recycling(self) -> None:
        """In a closed loop a server that stalls is asked for less, which would hide what it costs."""
        only = "a plan of recycling takes open loads only"
        for name, loads in self.scenarios.items():
            if loads.users is not None:
                raise ValueError(f'[scenarios.{name}] "users" are closed loops, and {only} (--rates)')
            if loads.search is not None:
                raise ValueError(f"[scenarios.{name}.search] is a search, and {only}")
        for name, limits in self.thresholds.items():
            if any(limit.startswith("requests_per_second") for limit in limits):
                rate = '"requests_per_second" is for closed loops'
                raise ValueError(f'[thresholds] {name}: {rate}, and {only}; use "achieved"')

    def _check_external(self) -> None:
        """Nobody starts, signals or meters that server."""
        cannot = "cannot be measured at a URL"
        if self.recycling is not None:
            raise ValueError(f"a plan of recycling {cannot}: only servers that bench starts replace workers")
        if self.own_app is not None:
            raise ValueError(f"an app that bench is to serve {cannot}: leave out APP= or URL=")
        if self.aliases:
            raise ValueError(f"a plan with [aliases] {cannot}: there is nothing to have another name")
        for name, limits in self.thresholds.items():
            for limit in limits:
                if limit.split()[0] in thresholds.METERED:
                    raise ValueError(f'[thresholds] {name}: "{limit}" {cannot}: nobody meters that server')

    def original(self, configuration: str) -> str:
        """The configuration that a name of this plan stands for: an alias's target, else itself."""
        return self.aliases.get(configuration, configuration)

    def recycling_in(self, scenario: str) -> RecyclingTable | None:
        """When workers are replaced in the cells of a scenario; ``None`` in plans that are not of it."""
        return None if self.recycling is None else self.recycling.altered(self.scenarios[scenario].recycling)

    @property
    def loaded(self) -> list[str]:
        """The scenarios that are run, by loads or by probes, each once."""
        return list(dict.fromkeys([*self.scenarios, *(probe.scenario for probe in self.probes)]))

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
    except tomllib.TOMLDecodeError as error:
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
        raise UsageError(f"{where}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """One validation error in one line: the key, what is wrong, the nearest valid key."""
    # A misspelt key is also a missing one: the misspelling is the better news. Of the errors of a
    # union ("all" or a list) the last branch is the one people mean.
    errors = sorted(error.errors(), key=lambda details: details["type"] != "extra_forbidden")
    same = [details for details in errors if details["loc"][:1] == errors[0]["loc"][:1]]
    details = same[-1] if errors[0]["type"] == "literal_error" else errors[0]
    location = [str(part) for part in details["loc"] if not str(part).startswith(("function-", "literal["))]
    if details["type"] == "extra_forbidden":
        *table, key = location
        where = f"[{'.'.join(table)}] " if table else ""
        return where + unknown("key", key, _keys(table))
    if details["type"] == "value_error":
        problem = str(details["ctx"]["error"])
    else:
        problem = details["msg"][:1].lower() + details["msg"][1:]
    # What lies between tables names them itself.
    return f'key "{".".join(location)}": {problem}' if location else problem


def _keys(table: Sequence[str]) -> Collection[str]:
    """The valid keys of a table of a plan, such as ``scenarios.index.search``."""
    match table:
        case ["scenarios", _, "open", _]:
            return OpenLoads.model_fields
        case ["scenarios", _, "search"]:
            return Search.model_fields
        case ["scenarios", _, "recycling"]:
            return RecyclingKeys.model_fields
        case ["scenarios", _]:
            return Loads.model_fields
        case ["recycling"]:
            return RecyclingTable.model_fields
        case ["probes", _]:
            return Probe.model_fields
        case ["requirements"]:
            return RequirementsTable.model_fields
        case ["own_app"]:
            return OwnApp.model_fields
        case _:
            return Plan.model_fields


def resolve(
    plan: Plan, configurations: Mapping[str, Configuration], scenarios: Collection[str], where: str
) -> Plan:
    """Check the plan's names against those that exist and spell out "all", which includes its aliases.

    Variants of other configurations are left out of "all" unless the plan says ``variants = true``.
    ``where`` the plan was found stands in the errors about its own names.

    Raises:
        UsageError: a name does not exist; offers the nearest one. Or a configuration cannot recycle
            without a key that is missing.
    """
    for name in plan.loaded:
        if name not in scenarios:
            raise UsageError(unknown("scenario", name, scenarios))
    if plan.requirements is not None:
        plan.requirements.check_scenarios(scenarios, where)
    for alias, original in plan.aliases.items():
        key = f'{where}: key "aliases.{alias}"'
        if alias in configurations:
            raise UsageError(f"{key}: {alias} is a configuration; an alias needs another name")
        if original not in configurations:
            raise UsageError(f"{key}: {unknown('configuration', original, configurations)}")
    known = [*configurations, *plan.aliases]
    if plan.configurations == "all":
        own = [name for name, each in configurations.items() if plan.variants or each.variant_of is None]
        plan = plan.model_copy(update={"configurations": [*own, *plan.aliases]})
    for name in plan.configurations:
        if name not in known:
            raise UsageError(unknown("configuration", name, known))
        for scenario in plan.scenarios:
            recycling = plan.recycling_in(scenario)
            lacking = recycling and recycling.lacks(configurations[plan.original(name)])
            if lacking:
                raise UsageError(f'{where}: [recycling] lacks "{lacking}", by which {name} replaces workers')
    return plan
