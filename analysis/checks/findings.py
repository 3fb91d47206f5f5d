"""What a finding is, and the words findings are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

import pandas as pd

from analysis.words import UNKNOWN, Workers, workers_of


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

    `severity` is `warning` where a number on the page is not what it seems, `note` where it only needs
    to be read with care. `loads` are those it was found at.
    """

    kind: str
    severity: Literal["warning", "note"]
    message: str
    spoils: str
    advice: str
    scenario: str | None = None
    configurations: tuple[str, ...] = ()
    loads: frozenset[Load] = frozenset()

    @property
    def text(self) -> str:
        """All of it in two sentences."""
        where = f"{self.scenario}: " if self.scenario else ""
        advice = self.advice[0].upper() + self.advice[1:]
        return f"{where}{self.message}. This spoils {self.spoils}. {advice}."

    def concerns(self, configuration: str, scenario: str, load: Load) -> bool:
        """Whether it was found in this configuration at this load."""
        return self.scenario == scenario and configuration in self.configurations and load in self.loads


def names(group: pd.DataFrame) -> tuple[str, ...]:
    """The configurations of some cells, in the order of their first cell."""
    return tuple(str(name) for name in group["configuration"].unique())


def loads(group: pd.DataFrame) -> frozenset[Load]:
    """The loads of some cells."""
    return frozenset(Load.of(row) for _, row in group.iterrows())


def each(group: pd.DataFrame, text: Callable[[pd.DataFrame], str]) -> str:
    """`text` of each configuration's rows, with its name."""
    return ", ".join(f"{name} {text(rows)}" for name, rows in group.groupby("configuration", sort=False))


def cells(count: int) -> str:
    """A number of cells in words."""
    return f"{count} cell" if count == 1 else f"{count} cells"


def at_loads(group: pd.DataFrame) -> str:
    """The loads of some cells in words, workers aside; many rates become a range."""
    found = loads(group)
    users = sorted({load.users for load in found if load.rate_per_s is None})
    parts = [f"{_or([str(each) for each in users])} {'user' if users == [1] else 'users'}"] if users else []
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
