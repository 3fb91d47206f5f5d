"""Which configuration won, where, and by how much: a table per scenario and one sentence for all."""

from dataclasses import dataclass

import pandas as pd

from analysis.checks.findings import Finding
from analysis.ranking import COLUMNS as COLUMNS  # bench.cli reads it here
from analysis.ranking import Table, table
from analysis.results import Results
from analysis.words import listed


@dataclass(frozen=True)
class Verdict:
    """The sentence the report opens with, and the tables behind it in the plan's order."""

    finding: str
    tables: tuple[Table, ...]


def judge(results: Results, summary: pd.DataFrame, loads: pd.DataFrame, findings: list[Finding]) -> Verdict:
    """Rank every scenario and worker count; `summary` is per cell, `loads` per configuration and load."""
    closed = summary[summary["load_kind"] == "closed"]
    tables = tuple(table(closed, panel, findings) for panel in _panels(results, loads))
    return Verdict(_overall(tables), tables)


def _panels(results: Results, loads: pd.DataFrame) -> list[pd.DataFrame]:
    """The loads of each scenario and worker count, in the order of the plan."""
    planned = list(results.run.plan.get("scenarios", []))
    order = {scenario: index for index, scenario in enumerate(planned)}
    panels = sorted(
        loads.groupby(["scenario", "workers"], observed=True),
        key=lambda panel: (order.get(str(panel[0][0]), len(order)), *panel[0]),
    )
    return [panel for _, panel in panels]


def _overall(tables: tuple[Table, ...]) -> str:
    """The finding of the run: the first scenario's, and whether the others agree."""
    ranked = [table for table in tables if table.leaders]
    if not ranked:
        return tables[0].finding
    opening = ranked[0].finding
    if len(ranked) == 1:
        return opening
    everywhere = [name for name in ranked[0].leaders if all(name in table.leaders for table in ranked)]
    if everywhere:
        verb = "leads" if len(everywhere) == 1 else "lead"
        return f"{opening} {listed(everywhere)} {verb} or tie{'s' * (len(everywhere) == 1)} everywhere."
    others = "; ".join(
        f"{table.title}: {listed(table.leaders)}" for table in ranked if table.leaders != ranked[0].leaders
    )
    return f"{opening} It is not best everywhere. First elsewhere: {others}."
