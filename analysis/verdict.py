"""Which configuration won, where, and by how much: a table per scenario and one sentence for all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from analysis.checks.findings import Finding
from analysis.overview import overview
from analysis.ranking import COLUMNS as COLUMNS  # bench.cli reads it here
from analysis.ranking import Table, table
from analysis.rates import CapacityTable, RateTable, capacity_tables, rate_tables
from analysis.recycling import Recycling
from analysis.results import Results
from analysis.words import listed

Listed = TypeVar("Listed", Table, RateTable, CapacityTable)


@dataclass(frozen=True)
class Verdict:
    """The sentence the report opens with, and the tables behind it in the plan's order.

    `tables` are those of the closed loops, `rates` and `capacity` those of open loops and of searches.
    """

    finding: str
    tables: tuple[Table, ...]
    rates: tuple[RateTable, ...] = ()
    capacity: tuple[CapacityTable, ...] = ()


def judge(
    results: Results,
    summary: pd.DataFrame,
    loads: pd.DataFrame,
    rates: pd.DataFrame,
    searches: pd.DataFrame,
    capacity: pd.DataFrame,
    findings: list[Finding],
    recycling: Recycling | None,
) -> Verdict:
    """Rank every scenario and worker count; the frames are those of `Study`.

    Cells of recycling are ranked by nothing: what they say is `Recycling.finding`.
    """
    planned = list(results.run.plan.get("scenarios", []))
    order = {scenario: index for index, scenario in enumerate(planned)}
    closed = summary[summary["load_kind"] == "closed"]
    panels = [panel for _, panel in loads.groupby(["scenario", "workers"], observed=True)]
    tables = _planned(order, [table(closed, panel, findings) for panel in panels])
    ladders = _planned(order, rate_tables(rates[rates["treatment"] == "none"], findings))
    limits = _planned(order, capacity_tables(searches, capacity))
    if recycling is not None:
        return Verdict(recycling.finding, tables, ladders, limits)
    finding = _overall(tables) if tables else limits[0].finding if limits else ladders[0].finding
    return Verdict(finding, tables, ladders, limits)


def _planned(order: dict[str, int], tables: Iterable[Listed]) -> tuple[Listed, ...]:
    """Tables in the order in which the plan names their scenarios."""
    return tuple(
        sorted(tables, key=lambda one: (order.get(one.scenario, len(order)), one.scenario, one.workers))
    )


def _overall(tables: tuple[Table, ...]) -> str:
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
