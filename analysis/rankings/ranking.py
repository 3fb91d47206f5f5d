"""The table of a closed-loop scenario: which serves it best, at the load that decides, and how certainly.

It is ranked by throughput where every server was saturated, and by CPU per request otherwise: what a
server delivers when something else holds it back is no property of the server. What repeats make precise is
the ratio of two configurations, as a slow minute is slow for both: figures by themselves belong to the hour.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from analysis.cells.rotation import Control, controls, valued
from analysis.findings import KINDS
from analysis.findings.bottleneck import generator_bound, ranked_by
from analysis.findings.finding import Finding, Load
from analysis.table import Cell, TableRow, measured, number, words
from analysis.words import MARK, MIB, Value, Workers, counted, figures, listed, with_workers, workers_of
from bench.model.documents import NOTES
from bench.model.thresholds import ERROR_RATE, SATURATED, Metric
from bench.stats.comparison import Field, Ratio

RATIO, THROUGHPUT, CPU, ERRORS = "ratio to best", "requests/s", "CPU µs/request", "errors"
COLUMNS = (
    "rank", "configuration", RATIO, THROUGHPUT, "p50 ms", "p99 ms", CPU, "PSS MiB", ERRORS, NOTES,
)  # fmt: skip


@dataclass(frozen=True)
class RankedRow(TableRow):
    """A configuration's place in a table; `rank` is None where it cannot be ranked.

    `ratio` is how many times the service of the best it gives, by what ranks, with the interval of that
    comparison: 1 without one for the best itself, None where there is no rank. `saturated` says whether the
    throughput is the server's own, None that nobody knows; `marked` that much of the latency is not.
    """

    rank: int | None
    configuration: str
    ratio: Value | None
    throughput: Value
    saturated: bool | None
    p50_us: float
    p99_us: float
    marked: bool
    cpu_us: Value
    pss_bytes: float
    error_rate: float
    notes: tuple[str, ...]

    def cells(self) -> tuple[Cell, ...]:
        """A cell for each of `COLUMNS`; "≥" before the throughput of a server that was not saturated."""
        mark = MARK if self.marked else ""
        return (
            number(self.rank),
            words(self.configuration),
            words(None) if self.ratio is None else measured(self.ratio),
            measured(self.throughput, before="≥ " if self.saturated is False else ""),
            measured(Value(self.p50_us), scale=1e-3, mark=mark),
            measured(Value(self.p99_us), scale=1e-3, mark=mark),
            measured(self.cpu_us),
            measured(Value(self.pss_bytes), scale=1 / MIB),
            number(self.error_rate, ".2%" if self.error_rate else ".0f"),
            words("; ".join(self.notes)),
        )


@dataclass(frozen=True)
class Ranking:
    """The ranking of one scenario at the load that decides it, best first.

    `controls` are configurations that a rotation measured twice: their aliases are no rows. `twofold` says
    that the generator both polled and slept, and that only what holds under both ranks.
    """

    scenario: str
    workers: Workers
    users: int
    metric: Metric
    rows: tuple[RankedRow, ...]
    finding: str
    controls: tuple[Control, ...] = ()
    twofold: bool = False

    @property
    def title(self) -> str:
        """Scenario and load in words."""
        return f"{self.scenario}: {counted(self.users, 'user')}, {with_workers(self.workers)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of what `RankedRow.cells` gives."""
        return COLUMNS

    @property
    def basis(self) -> str:
        """What the ranking goes by, and why; then what the control says of it."""
        if _unserved(self.rows):
            return "Not ranked: there is nothing to rank by."
        if all(row.saturated is None for row in self.rows):
            return "Not ranked: what the server used is unknown, and so is whether it was saturated."
        text = "Ranked by CPU per request: not every server was saturated, so requests/s do not compare."
        if self.metric == "throughput":
            text = "Ranked by requests/s: every server used its CPUs up."
        if self.twofold:
            text += " What the generator's way of waiting decides ranks nothing."
        return " ".join([text, *(f"{control.text}." for control in self.controls)])

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


def table(
    summary: pd.DataFrame, panel: pd.DataFrame, findings: list[Finding], aliases: Mapping[str, str]
) -> Ranking:
    """Rank one scenario at the load most configurations finished, of several the highest.

    `summary` has the closed-loop cells of the run, `panel` the loads of one scenario and worker count,
    `aliases` the second names of configurations: in a rotation these are the control, and not ranked.
    """
    finished = panel.groupby("users")["configuration"].count()
    users = int(finished[finished == finished.max()].index.max())
    scenario, workers = str(panel["scenario"].iloc[0]), workers_of(panel["workers"].iloc[0])
    empty = Ranking(scenario, workers, users, "throughput", (), "")
    chosen, cells = empty.of(panel).set_index("configuration"), empty.of(summary)
    alone = set(aliases) if cells["rotated"].all() else set()
    ranked = chosen[~chosen.index.isin(alone)]
    # Of a rotation of which nothing but the control is left there is nothing better to show.
    ranked = chosen if ranked.empty else ranked
    metric = ranked_by(cells[cells["configuration"].isin(ranked.index)])
    held_back = set(cells["configuration"][generator_bound(cells)]) if metric == "throughput" else set()
    sound = [name for name in ranked.index[~(ranked["error_rate"] > ERROR_RATE)] if name not in held_back]
    contest = _Contest(metric, tuple(values[sound] for values in valued(cells, metric)))
    ranks = contest.ranks()
    best = contest.best(ranks)
    rows = []
    for name, row in ranked.iterrows():
        concerning = [f for f in findings if f.concerns(str(name), scenario, Load(workers, users))]
        place = ranks.get(str(name))
        ratio = None if best is None or place is None else contest.to_best(str(name), best)
        rows.append(_row(str(name), row, place, ratio, name in held_back, concerning))
    sign = -1 if metric == "throughput" else 1
    rows.sort(
        key=lambda row: (
            row.rank or math.inf,
            -row.ratio.mean if row.ratio else math.inf,
            _sortable(sign * getattr(row, metric).mean),
        )
    )
    finding = _sentence(f"{scenario} at {counted(users, 'user')}", rows, contest)
    if shown := sorted(held_back & set(ranked.index)):
        finding += f" The generator held {listed(shown)} back, which ranks nothing."
    return Ranking(
        scenario, workers, users, metric, tuple(rows), finding,
        tuple(controls(cells, metric, aliases)) if alone else (), twofold=contest.twofold,
    )  # fmt: skip


@dataclass(frozen=True)
class _Contest:
    """What configurations are ranked by: a frame indexed by repeat, or one for each way of waiting."""

    metric: Metric
    values: tuple[pd.DataFrame, ...]

    @property
    def twofold(self) -> bool:
        """Whether a rank must hold in two manners."""
        return len(self.values) > 1

    @cached_property
    def _field(self) -> Field:
        return Field(self.values)

    def versus(self, one: str, other: str) -> Ratio:
        """How many times the service of `other` `one` gives, whatever is measured."""
        ratio = self._field.compare(one, other)
        return ratio if self.metric == "throughput" else ratio.inverse

    def ranks(self) -> dict[str, int]:
        """The ranks of those that have one."""
        ranks = self._field.rank(higher_is_better=self.metric == "throughput")
        return {str(name): int(place) for name, place in ranks.items() if not pd.isna(place)}

    def best(self, ranks: Mapping[str, int]) -> str | None:
        """Of the first the one of which the mean is best."""
        leaders = [name for name, place in ranks.items() if place == 1]
        best = leaders[0] if leaders else None
        for name in leaders[1:]:
            if best is not None and self.versus(name, best).ratio > 1:
                best = name
        return best

    def to_best(self, name: str, best: str) -> Value | None:
        """A configuration's ratio to the best, with its interval; None where they share no repeat."""
        if name == best:
            return Value(1.0)
        ratio = self.versus(name, best)
        return None if math.isnan(ratio.ratio) else Value.of(ratio)


def _row(
    name: str,
    row: pd.Series,
    place: int | None,
    ratio: Value | None,
    held_back: bool,
    findings: list[Finding],
) -> RankedRow:
    """The numbers of a configuration, with a short reminder of each finding about them."""
    kinds = {finding.kind for finding in findings}
    unserved = row["error_rate"] == 1
    notes = [
        kind.note
        for kind in KINDS.values()
        if kind.note and kind.name in kinds and not (unserved and kind.name == "no-success")
    ]
    if unserved:
        notes.append("every request failed")
    elif row["error_rate"] > ERROR_RATE:
        notes.append("not ranked: errors")
    saturated = None if pd.isna(row["busy"]) else bool(row["busy"] >= SATURATED)
    if saturated is None:
        notes.append("saturated: unknown")
    return RankedRow(
        rank=place,
        configuration=name,
        ratio=ratio,
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


def _sentence(where: str, rows: list[RankedRow], contest: _Contest) -> str:
    """What this table says, in one sentence; ties are said to be ties."""
    ranked = [row for row in rows if row.rank is not None]
    if _unserved(rows):
        return f"No request succeeded in {where}."
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
    leader, versus = _surest(leaders, rest[0], contest)
    lead = f"{times(versus, contest.metric)} as {rest[0]}, the next"
    if len(leaders) == 1:
        return f"{leader} served {where} {lead}."
    return f"{listed(leaders)} tie in {where}; {leader} served {lead}."


def _unserved(rows: Iterable[RankedRow]) -> bool:
    """Whether every request to every configuration failed."""
    return all(row.error_rate == 1 for row in rows)


def _served(row: RankedRow) -> str:
    """What a server delivered of which nobody knows what it used."""
    return f"{row.configuration} served {row.throughput.text()} requests/s"


def _surest(leaders: list[str], rival: str, contest: _Contest) -> tuple[str, Ratio]:
    """The leader that is most certainly better than `rival`, which need not be certain of all that tie."""
    versus = {leader: contest.versus(leader, rival) for leader in leaders}
    leader = max(leaders, key=lambda name: versus[name].low)
    return leader, versus[leader]


def times(versus: Ratio, metric: Metric) -> str:
    """A ratio in words; of CPU per request it is the inverse, because less of it is more service."""
    what = "second" if metric == "throughput" else "CPU-second"
    interval = f"95 % interval {figures(versus.low)} to {figures(versus.high)}"
    return f"{figures(versus.ratio)}x ({interval}) as many requests per {what}"


def _sortable(value: float) -> float:
    return math.inf if math.isnan(value) else value
