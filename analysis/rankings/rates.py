"""The tables of open loops: latency at each rate of arrivals, and the highest rate within a limit."""

import math
from dataclasses import dataclass

import pandas as pd

from analysis.cells.capacity import SEARCH, uncertainty
from analysis.findings.finding import Finding, Load
from analysis.findings.open_loop import REACHED
from analysis.table import Cell, TableRow, measured, number, words
from analysis.words import MARK, Value, Workers, figures, listed, with_workers, workers_of
from bench.model.documents import NOTES
from bench.model.thresholds import ERROR_RATE

# What makes one table of rates.
LADDER = ["scenario", "workers", "arrivals", "users"]


@dataclass(frozen=True)
class Rung:
    """A configuration at one rate; latencies in microseconds, of all repeats together, NaN where unknown.

    `error_rate` is the share of the requests that failed.
    """

    achieved: float
    error_rate: float
    p50_us: float
    p99_us: float
    service_p99_us: float
    marked: bool

    @property
    def reached(self) -> bool:
        """Whether (nearly) every arrival was completed; else latency says how long was measured."""
        return not self.achieved < REACHED

    @property
    def kept_up(self) -> bool:
        """Whether nearly every arrival was answered, and with success."""
        return self.reached and not self.error_rate > ERROR_RATE

    @property
    def cell(self) -> Cell:
        """Median and p99 from the schedule, and behind them the p99 of the service time alone, in ms."""
        if not self.reached:
            return words(f"{self.achieved:.0%} served")
        if self.error_rate == 1:
            return words("all failed")
        if math.isnan(self.p50_us):
            return words(None)
        p50, p99, service = (
            Value(latency_us).text(scale=1e-3)
            for latency_us in (self.p50_us, self.p99_us, self.service_p99_us)
        )
        failed = f", {self.error_rate:.1%} failed" if self.error_rate > ERROR_RATE else ""
        mark = MARK if self.marked else ""
        return Cell(f"{p50} / {p99}", self.p50_us, f"service {service}", f"{mark}{failed}")


@dataclass(frozen=True)
class RateRow(TableRow):
    """A configuration at every rate of its table; None where it was not measured."""

    configuration: str
    rungs: tuple[Rung | None, ...]

    def cells(self) -> tuple[Cell, ...]:
        return words(self.configuration), *(words(None) if rung is None else rung.cell for rung in self.rungs)


@dataclass(frozen=True)
class RateTable:
    """Latency of one scenario against the rate of arrivals, best first."""

    scenario: str
    workers: Workers
    arrivals: str
    users: int
    rates_per_s: tuple[float, ...]
    rows: tuple[RateRow, ...]

    @property
    def title(self) -> str:
        """Scenario and load in words."""
        return f"{self.scenario}: {self.arrivals} arrivals, {with_workers(self.workers)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of what `RateRow.cells` gives."""
        return ("configuration", *(f"{rate:,.0f}/s" for rate in self.rates_per_s))

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            "p50 / p99 in ms from the schedule, in parentheses the p99 of the service time alone; at most "
            f"{self.users} in flight. Where a rate was not reached: the share of the arrivals served."
        )

    @property
    def finding(self) -> str:
        """What the highest rate that most servers reached shows."""
        reached = [self._kept_up(place) for place in range(len(self.rates_per_s))]
        most = max(map(len, reached))
        if not most:
            return f"No server kept up with any of the rates in {self.scenario}."
        place = max(place for place, rungs in enumerate(reached) if len(rungs) == most)
        rungs = sorted(reached[place], key=lambda pair: pair[1].p99_us)
        opening = (
            f"At {self.rates_per_s[place]:,.0f} requests/s ({self.arrivals}) in {self.scenario} "
            f"{most} of {len(self.rows)} servers kept up"
        )
        if math.isnan(rungs[0][1].p99_us):
            return f"{opening}."
        shown = [f"{figures(rung.p99_us / 1e3)} ms with {name}" for name, rung in (rungs[0], rungs[-1])]
        return f"{opening}; p99 from the schedule is {' and '.join(dict.fromkeys(shown))}."

    def _kept_up(self, place: int) -> list[tuple[str, Rung]]:
        rungs = [(row.configuration, row.rungs[place]) for row in self.rows]
        return [(name, rung) for name, rung in rungs if rung is not None and rung.kept_up]


def rate_tables(rates: pd.DataFrame, findings: list[Finding]) -> tuple[RateTable, ...]:
    """A table per `LADDER` in `rates`, which has a row per configuration and load."""
    return tuple(_rate_table(ladder, findings) for _, ladder in rates.groupby(LADDER, observed=True))


def _rate_table(ladder: pd.DataFrame, findings: list[Finding]) -> RateTable:
    first = ladder.iloc[0]
    steps = tuple(sorted(float(rate) for rate in ladder["rate_per_s"].unique()))
    rows = []
    for name, group in ladder.groupby("configuration", observed=True):
        known = {float(row["rate_per_s"]): _rung(row, findings) for _, row in group.iterrows()}
        rows.append(RateRow(str(name), tuple(known.get(rate) for rate in steps)))
    return RateTable(
        scenario=str(first["scenario"]),
        workers=workers_of(first["workers"]),
        arrivals=str(first["arrivals"]),
        users=int(first["users"]),
        rates_per_s=steps,
        rows=tuple(sorted(rows, key=_order)),
    )


def _rung(row: pd.Series, findings: list[Finding]) -> Rung:
    concerning = [
        finding.kind
        for finding in findings
        if finding.concerns(str(row["configuration"]), str(row["scenario"]), Load.of(row))
    ]
    return Rung(
        achieved=row["achieved"],
        error_rate=row["error_rate"],
        p50_us=row["merged_schedule_p50_us"],
        p99_us=row["merged_schedule_p99_us"],
        service_p99_us=row["merged_p99_us"],
        marked="loop-wait" in concerning,
    )


def _order(row: RateRow) -> tuple[int, float]:
    """Who kept up with more rates comes first, of several who is faster at the highest of them."""
    reached = [rung for rung in row.rungs if rung is not None and rung.kept_up]
    p99_us = reached[-1].p99_us if reached else math.inf
    return -len(reached), math.inf if math.isnan(p99_us) else p99_us


@dataclass(frozen=True)
class CapacityRow(TableRow):
    """The highest rate of a configuration; a lower bound with `at_least`, NaN where none kept the limit."""

    rank: int | None
    configuration: str
    rate_per_s: Value
    at_least: bool

    def cells(self) -> tuple[Cell, ...]:
        rate = measured(self.rate_per_s, before="≥ " * self.at_least)
        note = "the server was not brought to the limit" * self.at_least
        if rate.missing:
            note = "not even the lowest rate that was tried, in some repeat"
        return number(self.rank), words(self.configuration), rate, words(note)


@dataclass(frozen=True)
class CapacityTable:
    """The highest rates of arrivals that keep the p99 from the schedule within `p99_ms`, best first."""

    scenario: str
    workers: Workers
    arrivals: str
    users: int
    p99_ms: float
    rows: tuple[CapacityRow, ...]
    finding: str
    columns = ("rank", "configuration", "requests/s", NOTES)

    @property
    def title(self) -> str:
        """What was searched for."""
        return (
            f"{self.scenario}: highest rate with p99 within {self.p99_ms:g} ms, {self.arrivals} arrivals, "
            f"{with_workers(self.workers)}"
        )

    @property
    def basis(self) -> str:
        """How it was found."""
        return (
            "By search: the rate was doubled until the p99 from the schedule broke the limit, then bisected; "
            f"at most {self.users} in flight. What one step of the search cannot tell apart ties."
        )

    @property
    def leaders(self) -> list[str]:
        """The configurations that none is certainly better than."""
        return [row.configuration for row in self.rows if row.rank == 1]


def capacity_tables(searches: pd.DataFrame, capacity: pd.DataFrame) -> tuple[CapacityTable, ...]:
    """A table per search of a run; `searches` has a row per repeat, `capacity` one over them."""
    found = dict(iter(searches.groupby(SEARCH, observed=True)))
    return tuple(_capacity_table(rows, found[key]) for key, rows in capacity.groupby(SEARCH, observed=True))


def _capacity_table(capacity: pd.DataFrame, found: pd.DataFrame) -> CapacityTable:
    first = capacity.iloc[0]
    rows = [
        CapacityRow(
            None if pd.isna(row["rank"]) else int(row["rank"]),
            str(row["configuration"]),
            Value(row["rate_per_s"], row["rate_per_s_low"], row["rate_per_s_high"]),
            bool(row["at_least"]),
        )
        for _, row in capacity.iterrows()
    ]
    rows.sort(key=lambda row: (row.rank or math.inf, -row.rate_per_s.mean if row.rate_per_s.mean > 0 else 0))
    scenario, limit_ms = str(first["scenario"]), float(first["p99_ms"])
    return CapacityTable(
        scenario=scenario,
        workers=workers_of(first["workers"]),
        arrivals=str(first["arrivals"]),
        users=int(first["users"]),
        p99_ms=limit_ms,
        rows=tuple(rows),
        finding=_capacity_sentence(f"{scenario} within a p99 of {limit_ms:g} ms", rows, found),
    )


def _span(rates_per_s: list[float]) -> str:
    """One rate, or the lowest and the highest: repeats that disagree may leave far ones untold apart."""
    lowest, highest = figures(min(rates_per_s)), figures(max(rates_per_s))
    return highest if lowest == highest else f"{lowest} to {highest}"


def _capacity_sentence(where: str, rows: list[CapacityRow], found: pd.DataFrame) -> str:
    """Who serves the highest rate, and how many times that of the next; `found` is the search by repeats."""
    ranked = [row for row in rows if row.rank is not None]
    if not ranked:
        return f"Nothing can be ranked by the highest rate of {where}."
    leaders = [row for row in ranked if row.rank == 1]
    up_to = f"{where} up to {_span([row.rate_per_s.mean for row in leaders])} requests/s"
    opening = f"{leaders[0].configuration} serves {up_to}"
    if len(leaders) > 1:
        opening = f"{listed([row.configuration for row in leaders])} tie: they serve {up_to}"
    rest = [row for row in ranked if row.rank != 1]
    if not rest:
        return f"{opening}."
    ratio = leaders[0].rate_per_s.mean / rest[0].rate_per_s.mean
    return (
        f"{opening}, {figures(ratio)}x as many as {rest[0].configuration}, the next; the search knows its "
        f"answers to within {uncertainty(found) - 1:.0%}."
    )
