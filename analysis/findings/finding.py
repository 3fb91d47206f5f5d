"""What a finding is, how a check is registered, and the words and paths that findings are made of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import pandas as pd

from analysis.reading.results import Results
from analysis.recycling import Recycling
from analysis.words import UNKNOWN, Workers, workers_of

# What a finding spoils: the answer (who is ranked, and how), one number, or nothing that is read with care.
Group = Literal["answer", "number", "note"]
GROUPS: tuple[Group, ...] = ("answer", "number", "note")
# What a notebook or a chart is about.
Topic = Literal["throughput", "latency", "steadiness", "cost", "open loops", "circumstances"]
# The parts of what `bench findings` lists, in their order.
Section = Literal[
    "Does the rotation hold?",
    "Whose number is it?",
    "Was it steady?",
    "Did the open loop happen?",
    "What else happened?",
    "Recycling",
    "A soak",
]
SECTIONS: tuple[Section, ...] = (
    "Does the rotation hold?", "Whose number is it?", "Was it steady?", "Did the open loop happen?",
    "What else happened?", "Recycling", "A soak",
)  # fmt: skip


@dataclass(frozen=True)
class Load:
    """What a cell was loaded with: `users` in a closed loop, or arrivals per second in an open one.

    In an open loop `users` is the most that may be in flight.
    """

    workers: Workers
    users: int
    arrivals: str | None = None
    rate_per_s: float | None = None

    @classmethod
    def of(cls, row: pd.Series) -> Self:
        """The load of a row that has `workers` and `users`, and in open loops `arrivals` and `rate_per_s`."""
        if pd.isna(row.get("rate_per_s")):
            return cls(workers_of(row["workers"]), int(row["users"]))
        return cls(
            workers_of(row["workers"]), int(row["users"]), str(row["arrivals"]), float(row["rate_per_s"])
        )

    @property
    def text(self) -> str:
        """The load without the workers, in words."""
        if self.rate_per_s is None:
            return f"{self.users} user{'s' * (self.users != 1)}"
        return f"{self.rate_per_s:,.0f} requests/s, {self.arrivals}"


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in one scenario; without a scenario, in the whole run.

    `group` is what it spoils; `loads` are those it was found at.
    """

    kind: str
    group: Group
    message: str
    spoils: str
    advice: str
    scenario: str | None = None
    configurations: tuple[str, ...] = ()
    loads: frozenset[Load] = frozenset()

    @property
    def severity(self) -> Literal["warning", "note"]:
        """`warning` where something on the page is not what it seems, `note` where it needs care."""
        return "note" if self.group == "note" else "warning"

    @property
    def text(self) -> str:
        """All of it in sentences."""
        where = f"{self.scenario}: " if self.scenario else ""
        advice = self.advice[0].upper() + self.advice[1:]
        return f"{where}{self.message}. This spoils {self.spoils}. {advice}."

    def concerns(self, configuration: str, scenario: str, load: Load) -> bool:
        """Whether it was found in this configuration at this load."""
        return self.scenario == scenario and configuration in self.configurations and load in self.loads


@dataclass(frozen=True)
class Kind:
    """What findings of one kind have in common.

    `title`, `threshold` and `why` are what `bench findings` lists, under `section`. `topics` name
    the notebooks and charts that show it; `note` is the reminder beside a configuration in a ranking.
    """

    name: str
    group: Group
    section: Section
    title: str
    threshold: str
    why: str
    topics: tuple[Topic, ...] = ()
    note: str | None = None

    def found(
        self,
        message: str,
        *,
        spoils: str,
        advice: str,
        scenario: object = None,
        cells: pd.DataFrame | None = None,
        group: Group | None = None,
    ) -> Finding:
        """A finding of this kind in some `cells`; `group` where it spoils more or less than others do."""
        return Finding(
            kind=self.name,
            group=group or self.group,
            message=message,
            spoils=spoils,
            advice=advice,
            scenario=None if scenario is None else str(scenario),
            configurations=() if cells is None else names(cells),
            loads=frozenset() if cells is None or scenario is None else loads(cells),
        )


@dataclass(frozen=True)
class Measurements:
    """All that a check may look at; `summary` has a row per finished cell."""

    results: Results
    summary: pd.DataFrame
    recycling: Recycling | None

    @cached_property
    def closed(self) -> pd.DataFrame:
        """The cells of closed loops."""
        return self.summary[self.summary["load_kind"] == "closed"]

    @cached_property
    def opened(self) -> pd.DataFrame:
        """The cells of open loops, steps of searches included."""
        return self.summary[self.summary["load_kind"] == "open"]

    @cached_property
    def served(self) -> pd.DataFrame:
        """The cells without recycling: where workers are replaced, lost requests are the answer."""
        return self.summary[self.summary["treatment"] == "none"]


Check = Callable[[Measurements], Iterator[Finding]]
KINDS: dict[str, Kind] = {}
CHECKS: list[Check] = []


def finds(*kinds: Kind) -> Callable[[Check], Check]:
    """Register a check, and the kinds of findings that it may give."""
    know(*kinds)

    def register(check: Check) -> Check:
        CHECKS.append(check)
        return check

    return register


def know(*kinds: Kind) -> None:
    """Register kinds of findings that no check of cells gives."""
    KINDS.update({kind.name: kind for kind in kinds})


def names(group: pd.DataFrame) -> tuple[str, ...]:
    """The configurations of some cells, in the order of their first cell."""
    return tuple(str(name) for name in group["configuration"].unique())


def loads(group: pd.DataFrame) -> frozenset[Load]:
    """The loads of some cells."""
    return frozenset(Load.of(row) for _, row in group.iterrows())


def by_configuration(group: pd.DataFrame, text: Callable[[pd.DataFrame], str]) -> str:
    """`text` of each configuration's rows, with its name."""
    return ", ".join(f"{name} {text(rows)}" for name, rows in group.groupby("configuration", sort=False))


def at_loads(group: pd.DataFrame) -> str:
    """The loads of some cells in words, workers aside; many rates become a range."""
    found = loads(group)
    users = sorted({load.users for load in found if load.rate_per_s is None})
    parts = [f"{_or([str(count) for count in users])} {'user' if users == [1] else 'users'}"] if users else []
    for arrivals in sorted({load.arrivals for load in found if load.arrivals is not None}):
        rates = sorted({load.rate_per_s for load in found if load.rate_per_s and load.arrivals == arrivals})
        texts = [f"{rate:,.0f}" for rate in rates]
        span = _or(texts) if len(texts) <= 3 else f"{texts[0]} to {texts[-1]}"
        parts.append(f"{span} requests/s ({arrivals})")
    return " and ".join(parts)


def _or(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def worst(rows: pd.DataFrame, by: pd.Series) -> pd.Series:
    """The row for which `by` is furthest from zero; unknown values aside."""
    return rows.iloc[int(by.abs().fillna(-1.0).to_numpy().argmax())]


def shares(values: pd.Series) -> str:
    """The range of some shares in whole percent; or that they are unknown."""
    if values.isna().all():
        return UNKNOWN
    low, high = f"{values.min():.0%}", f"{values.max():.0%}"
    return low if low == high else f"{low} to {high}"


def _where(path: Path) -> str:
    """`path` relative to the working directory, where it lies below that."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def in_first(directory: Path, cells: pd.DataFrame) -> str:
    """The folder of the first of some cells (rows of `Results.cells`) of the run in `directory`."""
    return _where(directory / str(cells["path"].iloc[0]))


def server_log(directory: Path, cells: pd.DataFrame) -> str:
    """What the server of the first of some cells has printed; an external one did so elsewhere."""
    if (cells["workers"] == UNKNOWN).all():
        return "what that server itself has logged"
    return f"{in_first(directory, cells)}/server.log"


def generator_log(directory: Path) -> str:
    """What the load generator and users' own code had to say in the run in `directory`."""
    return _where(directory / "generator.log")


def logs(directory: Path, cells: pd.DataFrame) -> list[str]:
    """The logs that there are of some cells, whose servers may never have started, and of their generator."""
    written = [directory / str(path) / "server.log" for path in cells["path"]]
    own = [_where(path) for path in written if path.is_file()][:1]
    external = (cells["workers"] == UNKNOWN).all()
    server = [server_log(directory, cells)] if external else own
    return server + [generator_log(directory)] * (directory / "generator.log").is_file()
