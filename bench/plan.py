"""Plans: which configurations are measured under which loads.

A plan is a TOML file, in ``bench/plans`` or elsewhere. ``Plan`` is what it says; ``bench.blocks`` turns it
into cells.
"""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from bench import thresholds
from bench.errors import UsageError, unknown
from bench.processes import ROOT

PLANS = Path(__file__).parent / "plans"
ARRIVALS = ("constant", "poisson")

# An alias becomes the name of a folder.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

T = TypeVar("T")


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError("names the same value twice")
    return values


def _arrivals(kind: object) -> object:
    if kind not in ARRIVALS:
        raise ValueError(unknown("kind of arrivals", str(kind), ARRIVALS))
    return kind


Counts = Annotated[list[PositiveInt], Field(min_length=1), AfterValidator(_distinct)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]
Arrivals = Annotated[Literal["constant", "poisson"], BeforeValidator(_arrivals)]
Rate = Annotated[float, Field(ge=0.1, le=10_000_000)]
Milliseconds = Annotated[float, Field(gt=0, le=600_000)]
Threshold = Annotated[str, AfterValidator(thresholds.check)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class OpenLoads(_Table):
    """Open loops: one cell for each rate, arrivals per second in all, at most ``users`` served at once."""

    rates_per_s: Annotated[list[Rate], Field(min_length=1), AfterValidator(_distinct)]
    arrivals: Arrivals = "constant"
    users: PositiveInt = 256


class Search(_Table):
    """A search for the highest rate that keeps the from-schedule p99 within ``p99_ms``: `bench.search`."""

    p99_ms: Milliseconds
    from_rate_per_s: Rate
    arrivals: Arrivals = "constant"
    users: PositiveInt = 256
    # Rates have three significant digits, so that steps finer than 1 % may not exist.
    resolution: Annotated[float, Field(ge=0.01, le=1)] = 0.1


class Loads(_Table):
    """What a scenario is run under; ``users`` are closed loops, one cell for each number."""

    users: Counts | None = None
    open: list[OpenLoads] = []
    search: Search | None = None

    @model_validator(mode="after")
    def _some(self) -> "Loads":
        if self.users is None and not self.open and self.search is None:
            raise ValueError('has no load; give it "users", "open" or "search"')
        rates = [f"{rate:.10g}/s {loads.arrivals}" for loads in self.open for rate in loads.rates_per_s]
        for rate in rates:
            if rates.count(rate) > 1:
                raise ValueError(f"has the open load of {rate} twice")
        return self

    @property
    def most_users(self) -> int:
        """The most connections that any of its loads holds."""
        search = [self.search.users] if self.search else []
        return max([*(self.users or []), *(loads.users for loads in self.open), *search])


class Plan(_Table):
    """A plan as written. ``measured_s`` is whole because measured windows are whole Unix seconds.

    ``catalogue`` and ``locustfiles`` are relative to the project's root where they lie below it, so that
    a recorded plan reads the same everywhere.
    """

    summary: str
    configurations: Literal["all"] | Names
    scenarios: Annotated[dict[str, Loads], Field(min_length=1)]
    workers: Counts
    repeats: PositiveInt
    warmup_s: Annotated[float, Field(gt=0, le=600)]
    measured_s: Annotated[int, Field(ge=1, le=3600)]
    aliases: dict[str, str] = {}
    thresholds: dict[str, Annotated[list[Threshold], Field(min_length=1)]] = {}
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
        names = ["all", *info.data.get("scenarios", limits)]
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
        if info.field_name == "locustfiles" and not path.is_dir():
            raise ValueError(f"there is no folder {path}")
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)

    def original(self, configuration: str) -> str:
        """The configuration that a name of this plan stands for: an alias's target, else itself."""
        return self.aliases.get(configuration, configuration)


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
    return f'key "{".".join(location)}": {problem}'


def _keys(table: Sequence[str]) -> Collection[str]:
    """The valid keys of a table of a plan, such as ``scenarios.index.search``."""
    match table:
        case ["scenarios", _, "open", _]:
            return OpenLoads.model_fields
        case ["scenarios", _, "search"]:
            return Search.model_fields
        case ["scenarios", _]:
            return Loads.model_fields
        case _:
            return Plan.model_fields


def narrow(plan: Plan, changes: Mapping[str, Any]) -> Plan:
    """The plan with some of its values replaced, as asked for on the command line.

    ``changes`` maps the keys of a plan to their values, except that ``scenarios`` is a list of names, and
    that ``users``, ``rates_per_s`` and ``arrivals`` are loads that take the place of those of every
    scenario. A scenario the plan does not name gets every closed and open loop the plan has.

    Raises:
        UsageError: a value is out of range; names the key.
    """
    changed = dict(changes)
    loads = {key: changed.pop(key) for key in ("users", "rates_per_s", "arrivals") if key in changed}
    instead = _only(**loads) if loads else None
    chosen = changed.pop("scenarios", None) or list(plan.scenarios)
    changed["scenarios"] = {
        name: instead or plan.scenarios.get(name) or _everything(plan.scenarios.values()) for name in chosen
    }
    changed["thresholds"] = {
        name: limits for name, limits in plan.thresholds.items() if name == "all" or name in chosen
    }
    return validate(plan.model_dump() | changed, "command line")


def _only(
    users: list[int] | None = None, rates_per_s: list[float] | None = None, arrivals: str | None = None
) -> dict[str, Any]:
    """The loads of a scenario that the command line asks for; without rates, closed loops."""
    if rates_per_s is None:
        if arrivals is not None:
            raise UsageError("--arrivals says how --rates arrive; give --rates too")
        return {"users": users}
    loads: dict[str, Any] = {"rates_per_s": rates_per_s}
    if arrivals is not None:
        loads["arrivals"] = arrivals
    if users is not None:
        if len(users) != 1:
            raise UsageError("with --rates, --users is one number: the most that may be in flight")
        loads["users"] = users[0]
    return {"open": [loads]}


def _everything(scenarios: Collection[Loads]) -> dict[str, Any]:
    """Every closed and open loop of some scenarios, each once; searches belong to their scenario."""
    users = sorted({users for loads in scenarios for users in loads.users or []})
    loops = {
        (loads.arrivals, rate): {"arrivals": loads.arrivals, "rates_per_s": [rate], "users": loads.users}
        for scenario in scenarios
        for loads in scenario.open
        for rate in loads.rates_per_s
    }
    return {"users": users or None, "open": [loops[key] for key in sorted(loops)]}


def resolve(plan: Plan, configurations: Sequence[str], scenarios: Collection[str], where: str) -> Plan:
    """Check the plan's names against those that exist and spell out "all", which includes its aliases.

    ``where`` the plan was found stands in the errors about its own names.

    Raises:
        UsageError: a name does not exist; offers the nearest one.
    """
    for name in plan.scenarios:
        if name not in scenarios:
            raise UsageError(unknown("scenario", name, scenarios))
    for alias, original in plan.aliases.items():
        key = f'{where}: key "aliases.{alias}"'
        if alias in configurations:
            raise UsageError(f"{key}: {alias} is a configuration; an alias needs another name")
        if original not in configurations:
            raise UsageError(f"{key}: {unknown('configuration', original, configurations)}")
    known = [*configurations, *plan.aliases]
    if plan.configurations == "all":
        return plan.model_copy(update={"configurations": known})
    for name in plan.configurations:
        if name not in known:
            raise UsageError(unknown("configuration", name, known))
    return plan
