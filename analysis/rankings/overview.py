"""All rankings of a run: its tables, one sentence for all, and what share of the best each reaches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import pandas as pd

from analysis.findings.errors import nothing_served
from analysis.findings.finding import Finding
from analysis.rankings.ranking import Ranking, table
from analysis.rankings.rates import CapacityTable, RateTable, capacity_tables, rate_tables
from analysis.reading.results import Results
from analysis.recycling import Recycling
from analysis.table import Cell, TableRow, number, words
from analysis.words import counted, listed, span

Listed = TypeVar("Listed", Ranking, RateTable, CapacityTable)
# More rankings than that nobody compares table by table; so many names are in a sentence.
FEW = 4


@dataclass(frozen=True)
class Place(TableRow):
    """What a configuration comes to: the number of `rankings` that rank it, and how many of them it leads.

    `mean` is the geometric mean of its shares of the best, `least` the smallest of them; NaN without any.
    """

    configuration: str
    leads: int
    rankings: int
    mean: float
    least: float

    def cells(self) -> tuple[Cell, ...]:
        shares = [number(share, ".2f") for share in (self.mean, self.least)]
        return words(self.configuration), number(self.leads), number(self.rankings), *shares


@dataclass(frozen=True)
class Overview:
    """A column for each of `tables`, by its place in them, and a row for each configuration, best first.

    `shares` are what configurations reach of the best of the ranking (1), by what ranks it: requests per
    second, or per CPU-second. NaN where nothing ranks them. `ranks` are those of the tables.
    """

    tables: tuple[Ranking, ...]
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


def overview(tables: Sequence[Ranking]) -> Overview | None:
    """The overview of the rankings of a run; None where `FEW` or fewer rank anything."""
    ranked = tuple(table for table in tables if table.leaders)
    if len(ranked) <= FEW:
        return None
    shares = pd.DataFrame({place: _shares(table) for place, table in enumerate(ranked)})
    ranks = pd.DataFrame({place: _ranks(table) for place, table in enumerate(ranked)}).reindex(shares.index)
    means = np.log(shares).mean(axis=1)
    order = means.sort_values(ascending=False, kind="stable").index
    return Overview(ranked, shares.loc[order], ranks.loc[order])


def _shares(table: Ranking) -> dict[str, float]:
    """By configuration; those that are not ranked are left out."""
    return {row.configuration: row.ratio.mean for row in table.rows if row.ratio is not None}


def _ranks(table: Ranking) -> dict[str, int]:
    return {row.configuration: row.rank for row in table.rows if row.rank is not None}


@dataclass(frozen=True)
class Rankings:
    """The sentence the report opens with, and the tables behind it in the plan's order.

    `tables` are those of the closed loops, `rates` and `capacity` those of open loops and of searches.
    """

    finding: str
    tables: tuple[Ranking, ...]
    rates: tuple[RateTable, ...] = ()
    capacity: tuple[CapacityTable, ...] = ()


def rankings(
    results: Results,
    summary: pd.DataFrame,
    loads: pd.DataFrame,
    rates: pd.DataFrame,
    searches: pd.DataFrame,
    capacity: pd.DataFrame,
    findings: list[Finding],
    recycling: Recycling | None,
) -> Rankings:
    """Rank every scenario and worker count; the frames are those of `Study`.

    Cells of recycling are ranked by nothing: what they say is `Recycling.finding`, which opens the report of
    a run that compared no servers. Where no request of the run succeeded, that is all there is to say.
    """
    planned = list(results.run.plan.get("scenarios", []))
    order = {scenario: index for index, scenario in enumerate(planned)}
    closed = summary[summary["load_kind"] == "closed"]
    panels = [panel for _, panel in loads.groupby(["scenario", "workers"], observed=True)]
    aliases = results.run.plan.get("aliases", {})
    tables = _planned(order, [table(closed, panel, findings, aliases) for panel in panels])
    ladders = _planned(order, rate_tables(rates[rates["treatment"] == "none"], findings))
    limits = _planned(order, capacity_tables(searches, capacity))
    if (nothing := nothing_served(results, summary)) is not None:
        return Rankings(nothing, tables, ladders, limits)
    if recycling is not None and not tables:
        return Rankings(recycling.finding, tables, ladders, limits)
    finding = _overall(tables) if tables else limits[0].finding if limits else ladders[0].finding
    return Rankings(finding, tables, ladders, limits)


def _planned(order: dict[str, int], tables: Iterable[Listed]) -> tuple[Listed, ...]:
    """Tables in the order in which the plan names their scenarios."""
    return tuple(
        sorted(tables, key=lambda one: (order.get(one.scenario, len(order)), one.scenario, one.workers))
    )


def _overall(tables: tuple[Ranking, ...]) -> str:
    """The finding of the run: the first scenario's, and whether the others agree."""
    ranked = [table for table in tables if table.leaders]
    if not ranked:
        return tables[0].finding
    opening = ranked[0].finding
    if len(ranked) == 1:
        return opening
    glance = overview(ranked)
    if glance is not None:
        return f"{opening} {glance.finding}"
    everywhere = [name for name in ranked[0].leaders if all(name in table.leaders for table in ranked)]
    if everywhere:
        verb = "leads" if len(everywhere) == 1 else "lead"
        return f"{opening} {listed(everywhere)} {verb} or tie{'s' * (len(everywhere) == 1)} everywhere."
    others = "; ".join(
        f"{table.title}: {listed(table.leaders)}" for table in ranked if table.leaders != ranked[0].leaders
    )
    return f"{opening} It is not best everywhere. First elsewhere: {others}."
