"""Plans: which configurations are measured under which loads, and in which order.

A plan is a TOML file in ``bench/plans``. ``Plan`` is what it says, ``expand`` turns it into blocks (one
server start each) of cells (one load each).
"""

import random
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bench.errors import UsageError, unknown

PLANS = Path(__file__).parent / "plans"

T = TypeVar("T")


def _distinct(values: list[T]) -> list[T]:
    if len(set(values)) < len(values):
        raise ValueError("names the same value twice")
    return values


Counts = Annotated[list[PositiveInt], Field(min_length=1), AfterValidator(_distinct)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(_distinct)]


class Loads(BaseModel):
    """The closed loops a scenario is run under: one cell for each number of users."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: Counts


class Plan(BaseModel):
    """A plan as written. ``measured_s`` is whole because measured windows are whole Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    summary: str
    configurations: Literal["all"] | Names
    scenarios: Annotated[dict[str, Loads], Field(min_length=1)]
    workers: Counts
    repeats: PositiveInt
    warmup_s: Annotated[float, Field(gt=0, le=600)]
    measured_s: Annotated[int, Field(ge=1, le=3600)]


@dataclass(frozen=True)
class Cell:
    """One load on one configuration in one repeat."""

    configuration: str
    scenario: str
    users: int
    workers: int
    repeat: int
    block: int

    @property
    def path(self) -> PurePosixPath:
        """Where its folder lies below the run's."""
        load = f"c{self.users}-w{self.workers}"
        return PurePosixPath(self.configuration, self.scenario, load, f"r{self.repeat}")

    @property
    def load(self) -> str:
        """The load in words, for people."""
        return f"{self.scenario}, {self.users} user{'s' if self.users > 1 else ''}"


@dataclass(frozen=True)
class Block:
    """One start of a server and the cells it serves."""

    number: int
    configuration: str
    workers: int
    repeat: int
    cells: tuple[Cell, ...]


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
    return validate(content, str(path))


def validate(content: Mapping[str, Any], where: str) -> Plan:
    """A plan from its keys and values.

    Raises:
        UsageError: it is not a plan; names ``where`` it was found and the key.
    """
    try:
        return Plan.model_validate(content)
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
        valid = Loads.model_fields if table[:1] == ["scenarios"] else Plan.model_fields
        where = f"[{'.'.join(table)}] " if table else ""
        return where + unknown("key", key, valid)
    return f'key "{".".join(location)}": {details["msg"].removeprefix("Value error, ").lower()}'


def narrow(plan: Plan, changes: Mapping[str, Any]) -> Plan:
    """The plan with some of its values replaced, as asked for on the command line.

    ``changes`` maps the keys of a plan to their values, except that ``scenarios`` is a list of names and
    ``users`` the loads for all of them. A scenario the plan does not name gets every load the plan has.

    Raises:
        UsageError: a value is out of range; names the key.
    """
    changed = dict(changes)
    scenarios = {name: list(loads.users) for name, loads in plan.scenarios.items()}
    everywhere = sorted({users for loads in scenarios.values() for users in loads})
    chosen = changed.pop("scenarios", None) or list(scenarios)
    users = changed.pop("users", None)
    loads = {name: {"users": users or scenarios.get(name, everywhere)} for name in chosen}
    return validate(plan.model_dump() | changed | {"scenarios": loads}, "command line")


def resolve(plan: Plan, configurations: Sequence[str], scenarios: Collection[str]) -> Plan:
    """Check the plan's names against those that exist and spell out "all".

    Raises:
        UsageError: a name does not exist; offers the nearest one.
    """
    for name in plan.scenarios:
        if name not in scenarios:
            raise UsageError(unknown("scenario", name, scenarios))
    if plan.configurations == "all":
        return plan.model_copy(update={"configurations": list(configurations)})
    for name in plan.configurations:
        if name not in configurations:
            raise UsageError(unknown("configuration", name, configurations))
    return plan


def expand(plan: Plan, seed: int, max_workers: Mapping[str, int | None]) -> list[Block]:
    """Randomised complete blocks: every repeat holds each configuration once, in an order of its own.

    ``max_workers`` is the largest number of workers a configuration can have (``None``: any); blocks
    beyond it are left out. The order depends on the plan and the seed only, never on what this machine
    has, so that an interrupted run goes on with the same blocks. Within a block the loads keep the
    plan's order, the same for every configuration.
    """
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
                Cell(configuration, scenario, users, workers, repeat, number)
                for scenario, loads in plan.scenarios.items()
                for users in loads.users
            )
            blocks.append(Block(number, configuration, workers, repeat, cells))
    return blocks


# What a run spends besides load (seconds): the generator's own start, a change of server, and the files
# and the alignment to whole seconds of a cell.
_START_S, _BLOCK_S, _CELL_S = 2.0, 1.0, 0.3


def estimate_s(plan: Plan, blocks: Sequence[Block]) -> float:
    """How long the blocks will take, in seconds, environments and report not included."""
    if not blocks:
        return 0.0
    cells = sum(len(block.cells) for block in blocks)
    return _START_S + _BLOCK_S * len(blocks) + (plan.warmup_s + plan.measured_s + _CELL_S) * cells


def duration(seconds: float) -> str:
    """A time in words, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
