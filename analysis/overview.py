"""All rankings of a run beside each other: what share of the best each configuration reaches in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from analysis.ranking import Row, Table
from analysis.words import MISSING, counted, listed, span

# More rankings than that nobody compares table by table; so many names are in a sentence.
FEW = 4


@dataclass(frozen=True)
class Place:
    """What a configuration comes to: the number of `rankings` that rank it, and how many of them it leads.

    `mean` is the geometric mean of its shares of the best, `least` the smallest of them; NaN without any.
    """

    configuration: str
    leads: int
    rankings: int
    mean: float
    least: float

    def texts(self) -> list[str]:
        """One text for each of `Overview.columns`."""
        shares = [MISSING if np.isnan(share) else f"{share:.2f}" for share in (self.mean, self.least)]
        return [self.configuration, f"{self.leads:,}", f"{self.rankings:,}", *shares]


@dataclass(frozen=True)
class Overview:
    """A column for each of `tables`, by its place in them, and a row for each configuration, best first.

    `shares` are what configurations reach of the best of the ranking (1), by what ranks it: requests per
    second, or per CPU-second. NaN where nothing ranks them. `ranks` are those of the tables.
    """

    tables: tuple[Table, ...]
    shares: pd.DataFrame
    ranks: pd.DataFrame

    columns = ("configuration", "leads or ties", "of rankings", "mean share", "least share")

    @property
    def title(self) -> str:
        """What the rows are of."""
        return f"{counted(len(self.tables), 'ranking')} beside each other"

    @property
    def basis(self) -> str:
        """How to read the rows."""
        return "Shares are of the best in each ranking, by what ranks it. The report has the table of each."

    @property
    def rows(self) -> list[Place]:
        """A configuration each, best first."""
        rows = zip(
            self.shares.index,
            (self.ranks == 1).sum(axis=1),
            self.ranks.notna().sum(axis=1),
            np.exp(np.log(self.shares).mean(axis=1)),
            self.shares.min(axis=1),
            strict=True,
        )
        return [Place(*row) for row in rows]

    @property
    def finding(self) -> str:
        """Who leads how often, in a sentence."""
        leads = (self.ranks == 1).sum(axis=1)
        often = leads[leads > 0].sort_values(ascending=False, kind="stable")
        told, others = often[:FEW], often[FEW:]
        parts = [f"{name} in {self._of_all(str(name), int(count))}" for name, count in told.items()]
        if len(others):
            parts.append(f"{counted(len(others), 'other')} in {span(others.min(), others.max())}")
        return f"Of {counted(len(self.tables), 'ranking')}, these lead or tie for the best: {listed(parts)}."

    def _of_all(self, name: str, count: int) -> str:
        """A count of rankings, and of how many, where the configuration is not in all."""
        ranked = int(self.ranks.notna().sum(axis=1)[name])
        return f"{count:,}" if ranked == len(self.tables) else f"{count:,} of its {ranked:,}"

    def panels(self) -> list[list[int]]:
        """The places of the tables, those with as many workers together, the fewest first."""
        places = sorted(range(len(self.tables)), key=lambda place: str(self.tables[place].workers).zfill(4))
        return [list(group) for _, group in groupby(places, key=lambda place: self.tables[place].workers)]


def overview(tables: Sequence[Table]) -> Overview | None:
    """The overview of the rankings of a run; None where `FEW` or fewer rank anything."""
    ranked = tuple(table for table in tables if table.leaders)
    if len(ranked) <= FEW:
        return None
    shares = pd.DataFrame({place: _shares(table) for place, table in enumerate(ranked)})
    ranks = pd.DataFrame({place: _ranks(table) for place, table in enumerate(ranked)}).reindex(shares.index)
    means = np.log(shares).mean(axis=1)
    order = means.sort_values(ascending=False, kind="stable").index
    return Overview(ranked, shares.loc[order], ranks.loc[order])


def _shares(table: Table) -> dict[str, float]:
    """By configuration; those that are not ranked are left out."""
    values = {row.configuration: _value(table, row) for row in table.rows if row.rank is not None}
    best = max(values.values())
    return {name: value / best for name, value in values.items()}


def _value(table: Table, row: Row) -> float:
    """What a row is ranked by, turned so that more is better."""
    return row.throughput.mean if table.metric == "throughput" else 1 / row.cpu_us.mean


def _ranks(table: Table) -> dict[str, int]:
    return {row.configuration: row.rank for row in table.rows if row.rank is not None}
