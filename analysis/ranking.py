"""The table of a closed-loop scenario: who serves it best, at the load that decides, and how certainly.

It is ranked by throughput where every server was saturated, and by CPU per request otherwise: what a
server delivers when something else holds it back is no property of the server.
"""

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.checks.findings import Finding, Load
from analysis.checks.generator import generator_bound
from analysis.checks.limits import ERROR_RATE, SATURATED
from analysis.comparison import Ratio, compare, rank
from analysis.words import MARK, MISSING, Value, Workers, counted, figures, listed, with_workers, workers_of

COLUMNS = (
    "rank", "configuration", "requests/s", "p50 ms", "p99 ms", "CPU µs/request", "PSS MiB", "errors", "notes",
)  # fmt: skip
NOTES = {
    "generator-bound": "the generator was the limit",
    "unsaturated": "server not saturated",
    "loop-wait": "† holds the generator's wait",
    "books": "books do not balance",
    "warm-up": "warm-up not over",
    "drift": "drifted",
    "step": "jumped",
    "unsteady": "unsteady",
    "spread": "repeats differ",
    "failed": "cells failed",
    "loop-lag": "tail may be the generator's",
}
Metric = Literal["throughput", "cpu_us"]


@dataclass(frozen=True)
class Row:
    """A configuration's place in a table; `rank` is None where it cannot be ranked.

    `saturated` says whether the throughput is the server's own, None that nobody knows; `marked` that much of
    the latency is not.
    """

    rank: int | None
    configuration: str
    throughput: Value
    saturated: bool | None
    p50_us: float
    p99_us: float
    marked: bool
    cpu_us: Value
    pss_bytes: float
    error_rate: float
    notes: tuple[str, ...]

    def texts(self) -> list[str]:
        """One text for each of `COLUMNS`; "≥" before the throughput of a server that was not saturated."""
        bound = "≥ " if self.saturated is False and not math.isnan(self.throughput.mean) else ""
        mark = MARK if self.marked else ""
        return [
            MISSING if self.rank is None else str(self.rank),
            self.configuration,
            bound + self.throughput.text(),
            Value(self.p50_us).text(scale=1e-3) + mark,
            Value(self.p99_us).text(scale=1e-3) + mark,
            self.cpu_us.text(),
            Value(self.pss_bytes).text(scale=2**-20),
            MISSING if math.isnan(self.error_rate) else f"{self.error_rate:.2%}" if self.error_rate else "0",
            "; ".join(self.notes),
        ]


@dataclass(frozen=True)
class Table:
    """The ranking of one scenario at the load that decides it, best first."""

    scenario: str
    workers: Workers
    users: int
    metric: Metric
    rows: tuple[Row, ...]
    finding: str

    @property
    def title(self) -> str:
        """Scenario and load in words."""
        return f"{self.scenario}: {counted(self.users, 'user')}, {with_workers(self.workers)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of what `Row.texts` gives."""
        return COLUMNS

    @property
    def basis(self) -> str:
        """What the ranking goes by, and why."""
        if all(row.saturated is None for row in self.rows):
            return "Not ranked: what the server used is unknown, and so is whether it was saturated."
        if self.metric == "throughput":
            return "Ranked by requests/s: every server used its CPUs up."
        return "Ranked by CPU per request: not every server was saturated, so requests/s do not compare."

    @property
    def leaders(self) -> list[str]:
        """The configurations that none is certainly better than; several are a tie."""
        return [row.configuration for row in self.rows if row.rank == 1]

    def of(self, loads: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame with `scenario`, `workers` and `users` that this table is about."""
        return loads[
            (loads["scenario"] == self.scenario)
            & (loads["workers"] == self.workers)
            & (loads["users"] == self.users)
        ]


def table(summary: pd.DataFrame, panel: pd.DataFrame, findings: list[Finding]) -> Table:
    """Rank one scenario at the load most configurations finished, of several the highest.

    `summary` has the closed-loop cells of the run, `panel` the loads of one scenario and worker count.
    """
    finished = panel.groupby("users")["configuration"].count()
    users = int(finished[finished == finished.max()].index.max())
    scenario, workers = str(panel["scenario"].iloc[0]), workers_of(panel["workers"].iloc[0])
    empty = Table(scenario, workers, users, "throughput", (), "")
    chosen, cells = empty.of(panel).set_index("configuration"), empty.of(summary)
    metric: Metric = "throughput" if (chosen["busy"] >= SATURATED).all() else "cpu_us"
    values = cells.pivot(index="repeat", columns="configuration", values=metric)
    held_back = set(cells["configuration"][generator_bound(cells)]) if metric == "throughput" else set()
    sound = [name for name in chosen.index[~(chosen["error_rate"] > ERROR_RATE)] if name not in held_back]
    ranks = rank(values[sound], higher_is_better=metric == "throughput")
    rows = []
    for name, row in chosen.iterrows():
        concerning = [f for f in findings if f.concerns(str(name), scenario, Load(workers, users))]
        rows.append(_row(str(name), row, ranks.get(name, pd.NA), name in held_back, concerning))
    sign = -1 if metric == "throughput" else 1
    rows.sort(key=lambda row: (row.rank or math.inf, _sortable(sign * getattr(row, metric).mean)))
    finding = _sentence(f"{scenario} at {counted(users, 'user')}", metric, rows, values)
    if held_back:
        finding += f" The generator held {listed(sorted(held_back))} back, which ranks nothing."
    return Table(scenario, workers, users, metric, tuple(rows), finding)


def _row(name: str, row: pd.Series, place: object, held_back: bool, findings: list[Finding]) -> Row:
    """The numbers of a configuration, with a short reminder of each finding about them."""
    kinds = {finding.kind for finding in findings}
    notes = [note for kind, note in NOTES.items() if kind in kinds]
    if row["error_rate"] > ERROR_RATE:
        notes.append("not ranked: errors")
    saturated = None if pd.isna(row["busy"]) else bool(row["busy"] >= SATURATED)
    if saturated is None:
        notes.append("saturated: unknown")
    return Row(
        rank=None if pd.isna(place) else int(place),  # type: ignore[call-overload]
        configuration=name,
        throughput=Value(row["throughput"], row["throughput_low"], row["throughput_high"]),
        saturated=saturated and not held_back,
        p50_us=row["merged_p50_us"],
        p99_us=row["merged_p99_us"],
        marked="loop-wait" in kinds,
        cpu_us=Value(row["cpu_us"], row["cpu_us_low"], row["cpu_us_high"]),
        pss_bytes=row["pss_bytes"],
        error_rate=row["error_rate"],
        notes=tuple(notes),
    )


def _sentence(where: str, metric: Metric, rows: list[Row], values: pd.DataFrame) -> str:
    """What this table says, in one sentence; ties are said to be ties."""
    ranked = [row for row in rows if row.rank is not None]
    if not ranked and all(row.saturated is None for row in rows):
        return (
            f"{listed([_served(row) for row in rows])} in {where}; whether that is all they can is unknown."
        )
    if not ranked:
        return f"Nothing can be ranked in {where}: that takes two repeats without errors, better three."
    leaders = [row.configuration for row in ranked if row.rank == 1]
    rest = [row.configuration for row in ranked if row.rank != 1]
    if not rest:
        if len(leaders) == 1:
            return f"{leaders[0]} alone could be ranked in {where}."
        return f"No configuration is clearly best in {where}: {listed(leaders)} tie."
    leader, versus = _surest(leaders, rest[0], metric, values)
    lead = f"{times(versus, metric)} as {rest[0]}, the next"
    if len(leaders) == 1:
        return f"{leader} served {where} {lead}."
    return f"{listed(leaders)} tie in {where}; {leader} served {lead}."


def _served(row: Row) -> str:
    """What a server delivered of which nobody knows what it used."""
    return f"{row.configuration} served {row.throughput.text()} requests/s"


def _surest(leaders: list[str], rival: str, metric: Metric, values: pd.DataFrame) -> tuple[str, Ratio]:
    """The leader that is most certainly better than `rival`, which need not be certain of all that tie."""
    versus = {leader: compare(values[leader], values[rival]) for leader in leaders}
    if metric == "throughput":
        leader = max(leaders, key=lambda name: versus[name].low)
    else:
        leader = min(leaders, key=lambda name: versus[name].high)
    return leader, versus[leader]


def times(versus: Ratio, metric: Metric) -> str:
    """A ratio in words; for CPU per request the inverse, because less of it is more service."""
    ratio, low, high = versus.ratio, versus.low, versus.high
    what = "second"
    if metric == "cpu_us":
        ratio, low, high, what = 1 / ratio, 1 / high, 1 / low, "CPU-second"
    return f"{figures(ratio)}x (95 % interval {figures(low)} to {figures(high)}) as many requests per {what}"


def _sortable(value: float) -> float:
    return math.inf if math.isnan(value) else value
