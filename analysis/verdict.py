"""Which configuration won, where, and by how much: a table per scenario and one sentence for all.

A scenario is ranked by throughput where every server was saturated, and by CPU per request otherwise:
what a server delivers when something else holds it back is no property of the server.
"""

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.checks import ERROR_RATE, SATURATED, Finding
from analysis.results import Results
from analysis.statistics import Ratio, compare, rank

COLUMNS = (
    "rank", "configuration", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "PSS MiB", "errors", "notes",
)  # fmt: skip
MISSING = "\N{EN DASH}"
NOTES = {
    "unsaturated": "server not saturated",
    "unsteady": "unsteady",
    "spread": "repeats differ",
    "failed": "cells failed",
    "loop-lag": "tail may be the generator's",
}
Metric = Literal["throughput", "cpu_us"]


@dataclass(frozen=True)
class Value:
    """A geometric mean over repeats and its 95 % interval; NaN where unknown."""

    mean: float
    low: float = math.nan
    high: float = math.nan

    def text(self, *, scale: float = 1.0) -> str:
        """To three significant digits, with the interval where there is one."""
        if math.isnan(self.mean):
            return MISSING
        mean = figures(self.mean * scale)
        if math.isnan(self.low):
            return mean
        return f"{mean} ({figures(self.low * scale)} to {figures(self.high * scale)})"


@dataclass(frozen=True)
class Row:
    """A configuration's place in a table; `rank` is None where it cannot be ranked."""

    rank: int | None
    configuration: str
    throughput: Value
    saturated: bool
    p50_us: float
    p99_us: float
    cpu_us: Value
    pss_bytes: float
    error_rate: float
    notes: tuple[str, ...]

    def texts(self) -> list[str]:
        """One text for each of `COLUMNS`; "≥" before the throughput of a server that was not saturated."""
        bound = "" if self.saturated or math.isnan(self.throughput.mean) else "≥ "
        return [
            MISSING if self.rank is None else str(self.rank),
            self.configuration,
            bound + self.throughput.text(),
            Value(self.p50_us).text(scale=1e-3),
            Value(self.p99_us).text(scale=1e-3),
            self.cpu_us.text(),
            Value(self.pss_bytes).text(scale=2**-20),
            MISSING if math.isnan(self.error_rate) else f"{self.error_rate:.2%}" if self.error_rate else "0",
            "; ".join(self.notes),
        ]


@dataclass(frozen=True)
class Table:
    """The ranking of one scenario at the load that decides it, best first."""

    scenario: str
    workers: int
    users: int
    metric: Metric
    rows: tuple[Row, ...]
    finding: str

    @property
    def title(self) -> str:
        """Scenario and load in words."""
        workers = f"{self.workers} worker" + "s" * (self.workers > 1)
        return f"{self.scenario}: {self.users} users, {workers}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of what `Row.texts` gives."""
        return COLUMNS

    @property
    def basis(self) -> str:
        """What the ranking goes by, and why."""
        if self.metric == "throughput":
            return "Ranked by requests/s: every server used its CPUs up."
        return "Ranked by CPU per request: not every server was saturated, so requests/s do not compare."

    @property
    def leaders(self) -> list[str]:
        """The configurations that none is certainly better than; several are a tie."""
        return [row.configuration for row in self.rows if row.rank == 1]


@dataclass(frozen=True)
class Verdict:
    """The sentence the report opens with, and the tables behind it in the plan's order."""

    finding: str
    tables: tuple[Table, ...]


def judge(results: Results, summary: pd.DataFrame, loads: pd.DataFrame, findings: list[Finding]) -> Verdict:
    """Rank every scenario and worker count; `summary` is per cell, `loads` per configuration and load."""
    planned = list(results.run.plan.get("scenarios", []))
    order = {scenario: index for index, scenario in enumerate(planned)}
    panels = sorted(
        loads.groupby(["scenario", "workers"], observed=True),
        key=lambda panel: (order.get(str(panel[0][0]), len(order)), *panel[0]),
    )
    tables = tuple(_table(summary, panel, findings) for _, panel in panels)
    return Verdict(_overall(tables), tables)


def _table(summary: pd.DataFrame, panel: pd.DataFrame, findings: list[Finding]) -> Table:
    """Rank one scenario at the load most configurations finished, of several the highest."""
    finished = panel.groupby("users")["configuration"].count()
    users = int(finished[finished == finished.max()].index.max())
    scenario, workers = str(panel["scenario"].iloc[0]), int(panel["workers"].iloc[0])
    chosen = panel[panel["users"] == users].set_index("configuration")
    metric: Metric = "throughput" if (chosen["busy"] >= SATURATED).all() else "cpu_us"
    cells = summary[
        (summary["scenario"] == scenario) & (summary["workers"] == workers) & (summary["users"] == users)
    ]
    values = cells.pivot(index="repeat", columns="configuration", values=metric)
    sound = chosen.index[~(chosen["error_rate"] > ERROR_RATE)]
    ranks = rank(values[sound], higher_is_better=metric == "throughput")
    rows = []
    for name, row in chosen.iterrows():
        concerning = [f for f in findings if f.concerns(str(name), scenario, workers, users)]
        rows.append(_row(str(name), row, ranks.get(name, pd.NA), concerning))
    sign = -1 if metric == "throughput" else 1
    rows.sort(key=lambda row: (row.rank or math.inf, _sortable(sign * getattr(row, metric).mean)))
    finding = _sentence(f"{scenario} at {users} users", metric, rows, values)
    return Table(scenario, workers, users, metric, tuple(rows), finding)


def _row(name: str, row: pd.Series, place: object, findings: list[Finding]) -> Row:
    """The numbers of a configuration, with a short reminder of each finding about them."""
    notes = [NOTES[finding.kind] for finding in findings if finding.kind in NOTES]
    if row["error_rate"] > ERROR_RATE:
        notes.append("not ranked: errors")
    return Row(
        rank=None if pd.isna(place) else int(place),  # type: ignore[call-overload]
        configuration=name,
        throughput=Value(row["throughput"], row["throughput_low"], row["throughput_high"]),
        saturated=bool(row["busy"] >= SATURATED),
        p50_us=row["merged_p50_us"],
        p99_us=row["merged_p99_us"],
        cpu_us=Value(row["cpu_us"], row["cpu_us_low"], row["cpu_us_high"]),
        pss_bytes=row["pss_bytes"],
        error_rate=row["error_rate"],
        notes=tuple(notes),
    )


def _sentence(where: str, metric: Metric, rows: list[Row], values: pd.DataFrame) -> str:
    """What this table says, in one sentence; ties are said to be ties."""
    ranked = [row for row in rows if row.rank is not None]
    if not ranked:
        return f"Nothing can be ranked in {where}: that takes two repeats without errors, better three."
    leaders = [row.configuration for row in ranked if row.rank == 1]
    rest = [row.configuration for row in ranked if row.rank != 1]
    if not rest:
        if len(leaders) == 1:
            return f"{leaders[0]} alone could be ranked in {where}."
        return f"No configuration is clearly best in {where}: {listed(leaders)} tie."
    versus = compare(values[leaders[0]], values[rest[0]])
    lead = f"{times(versus, metric)} as {rest[0]}, the next"
    if len(leaders) == 1:
        return f"{leaders[0]} served {where} {lead}."
    return f"{listed(leaders)} tie in {where}; {leaders[0]} served {lead}."


def times(versus: Ratio, metric: Metric) -> str:
    """A ratio in words; for CPU per request the inverse, because less of it is more service."""
    ratio, low, high = versus.ratio, versus.low, versus.high
    what = "second"
    if metric == "cpu_us":
        ratio, low, high, what = 1 / ratio, 1 / high, 1 / low, "CPU-second"
    return f"{figures(ratio)}x (95 % interval {figures(low)} to {figures(high)}) as many requests per {what}"


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


def listed(names: list[str]) -> str:
    """Names as one would say them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def figures(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{digits}f}"


def _sortable(value: float) -> float:
    return math.inf if math.isnan(value) else value
