"""A soak as a table for people, and as the frame that they take away (soak.csv)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.soak.growth import RULES
from analysis.soak.judging import MEASURES, JudgedMeasure, LaneVerdict
from analysis.soak.reading import Soak
from analysis.table import Cell, TableRow, number, words
from analysis.words import Value, counted, figures, listed

MB = 1e6
_UNSURE = ("undecided", "slows", "short")
# What lasts for longer is told in days.
_DAYS_FROM_H = 72.0
FRAME = (
    "configuration", "scenario", "workers", "rate_per_s", "max_requests", "measure", "unit", "kind", "hours",
    "requests", "failures", "replaced", "begins", "ends", "most", "per_hour", "per_hour_low", "per_hour_high",
    "per_request", "per_request_low", "per_request_high", "limit", "reached_h", "reached_low_h",
    "reached_high_h", "swing_low", "swing_high", "keeps_below_n",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SoakRow(TableRow):
    """One server."""

    verdict: LaneVerdict

    def cells(self) -> tuple[Cell, ...]:
        verdict, lane = self.verdict, self.verdict.lane
        memory = verdict.memory
        n = lane.record.max_requests
        replaced = number(lane.replaced) if lane.record.recycles else words(None)
        low, high = (each / MB for each in verdict.swing_bytes)
        swing = words(None) if math.isnan(low) else Cell(f"{low:,.0f} to {high:,.0f} MB", high - low)
        below = verdict.keeps_below
        return (
            words(f"{lane.record.configuration}{lane.place}"),
            words("never") if not lane.record.recycles else number(n) if n else words("by memory"),
            number(lane.hours, ".2f"),
            words(RULES[memory.growth.kind][0]),
            _bytes(verdict),
            _hours(verdict),
            number(memory.most / MB, ",.0f", " MB"),
            swing,
            _held(verdict.measures["descriptors"]),
            _held(verdict.measures["threads"]),
            number(verdict.measures["p99"].ends, ",.3g", " ms"),
            words(_course(verdict.measures["p99"])),
            number(verdict.lost_per_million, ",.0f"),
            replaced,
            words("none does") if below == 0 else number(below),
        )


@dataclass(frozen=True, eq=False)
class Lasting:
    """The table of a soak."""

    soak: Soak
    verdicts: tuple[LaneVerdict, ...]
    columns = (
        "configuration", "N", "hours", "memory", "bytes per request", "limit reached after", "memory at most",
        "memory usually", "open files", "threads", "p99 at the end", "p99 over time", "lost per million",
        "replaced", "N that keeps below",
    )  # fmt: skip

    @property
    def rows(self) -> Sequence[SoakRow]:
        return [SoakRow(each) for each in self.verdicts]

    @property
    def title(self) -> str:
        return f"What lasts, after {figures(max(each.lane.hours for each in self.verdicts))} hours"

    @property
    def headline(self) -> str:
        """What it says in one sentence."""
        kept = [each for each in self.verdicts if not each.lane.record.recycles]
        leaking = [each for each in kept if each.leaks]
        unsure = sum(each.memory.growth.kind in _UNSURE for each in kept)
        unshown = [each.at_most(each.memory) for each in kept if _is_unshown(each)]
        told = f"{len(leaking) or 'None'} of {counted(len(kept), 'server')} leak{'s' * (len(leaking) < 2)}"
        sizes = [
            (each.per_request(each.memory).mean, each.lane.name)
            for each in leaking
            if each.memory.growth.counts
        ]
        if sizes:
            told += f", most of all {max(sizes)[1]}: {figures(max(sizes)[0])} B a request"
        if unshown:
            told += f"; {len(unshown)} would have shown one above {figures(max(unshown))} B a request"
        if unsure:
            told += f"; of {unsure} it cannot be told yet"
        recycled = [each for each in self.verdicts if each.lane.record.recycles]
        still = sum(bool(each.leaks) for each in recycled)
        undecided = sum(each.memory.growth.kind in _UNSURE for each in recycled)
        if recycled and leaking:
            does = [f"{still} do{'es' * (still < 2)}"] if still else [] if undecided else ["none does"]
            does += [f"of {undecided} it cannot be told yet"] if undecided else []
            told += f"; with workers replaced {', '.join(does)}"
        return f"{told}."

    @property
    def finding(self) -> str:
        """What it says in a few sentences."""
        parts = [_sentence(each) for each in self.verdicts if each.leaks]
        told = [
            each.lane.name
            for each in self.verdicts
            if each.memory.growth.kind in ("steady", "filling", "bounded") and not each.leaks
        ]
        if told:
            parts.append(f"{listed(told)} {'does' if len(told) == 1 else 'do'} not grow for ever.")
        parts += [_unshown(each) for each in self.verdicts if _is_unshown(each)]
        unsure = [each.lane.name for each in self.verdicts if each.memory.growth.kind in _UNSURE]
        if unsure:
            parts.append(f"Of {listed(unsure)} it cannot be told yet.")
        return " ".join(parts)

    @property
    def basis(self) -> str:
        """How to read it."""
        allowance = self.soak.allowance_bytes
        limit = "none was given (ALLOWANCE=)" if allowance is None else f"{allowance / MB:,.0f} MB"
        return (
            "Memory: PSS of all processes. Slopes with their 95 % interval, behind the warm-up of each "
            "start. Below, not before: by the most that a leak can have which was not shown (99 %). Limit: "
            f"{limit}, from the start of the server on. Usually: 90 % of the time. Open files: of the "
            "process that has most. Lost: requests without a good answer."
        )

    @property
    def frame(self) -> pd.DataFrame:
        """`FRAME`: a row for each server and measure."""
        rows = [_row(each, judged) for each in self.verdicts for judged in each.measures.values()]
        return pd.DataFrame(rows, columns=list(FRAME)).astype(
            {"max_requests": "Int64", "keeps_below_n": "Int64"}
        )


def _row(verdict: LaneVerdict, judged: JudgedMeasure) -> list[object]:
    lane, record = verdict.lane, verdict.lane.record
    is_memory = judged.measure == "memory"
    pace, each, reached = judged.per_hour, verdict.per_request(judged), judged.reached_h
    if not math.isnan(most := verdict.at_most(judged)):
        each, reached = Value(math.nan, math.nan, most), Value(math.nan, judged.soonest_h, math.nan)
    return [
        *(record.configuration, record.scenario, record.workers, record.load.rate_per_s, record.max_requests),
        *(judged.measure, MEASURES[judged.measure], judged.growth.kind, lane.hours),
        *(lane.requests, lane.failures, lane.replaced, judged.begins, judged.ends, judged.most),
        *(pace.mean, pace.low, pace.high, each.mean, each.low, each.high),
        *(judged.limit, reached.mean, reached.low, reached.high),
        *(verdict.swing_bytes if is_memory else (None, None)),
        verdict.keeps_below if is_memory else None,
    ]


def _is_unshown(verdict: LaneVerdict) -> bool:
    """Whether it shows no leak in its memory, and one that is small enough may be there."""
    return verdict.memory.growth.kind == "unshown" and not math.isnan(verdict.at_most(verdict.memory))


def _bytes(verdict: LaneVerdict) -> Cell:
    """What it takes more with each request, or what that is below."""
    value, most = verdict.per_request(verdict.memory), verdict.at_most(verdict.memory)
    if not math.isnan(value.mean):
        return Cell(f"{figures(value.mean)} B", value.mean, _span(value))
    return words(None) if math.isnan(most) else Cell(f"below {figures(most)} B", most)


def _span(value: Value) -> str:
    """The interval, which may be open."""
    if not math.isfinite(value.low):
        return ""
    return value.interval() if math.isfinite(value.high) else f"{figures(value.low)} or more"


def _hours(verdict: LaneVerdict) -> Cell:
    """When the limit of its memory is reached, or when at the soonest."""
    judged = verdict.memory
    reached, soonest = judged.reached_h, judged.soonest_h
    if judged.exceeded:
        return words("was exceeded")
    if math.isfinite(reached.mean):
        return Cell(f"{figures(reached.mean)} h", reached.mean, _span(reached))
    if math.isnan(soonest) or verdict.lane.record.recycles:
        return words(None)
    return Cell(f"not before {figures(soonest)} h", soonest)


def _held(judged: JudgedMeasure) -> Cell:
    """The most of open files or threads, and whether they grow."""
    course = _course(judged)
    if course == "grows" and not math.isnan(judged.reached_h.mean):
        course = f"grows, limit after {figures(judged.reached_h.mean)} h"
    return number(judged.most) if course == "steady" else Cell(f"{judged.most:,.0f}", judged.most, course)


def _course(judged: JudgedMeasure) -> str:
    """What became of a measure, in a word or two."""
    kind = judged.growth.kind
    said = {
        "filling": "grew, settles", "slows": "grows, slower", "short": "too short", "unshown": "none shown",
    }  # fmt: skip
    return said.get(kind, kind)


def _unshown(verdict: LaneVerdict) -> str:
    """How large a leak may be that was not shown, and when it would be too much."""
    most, soonest = verdict.at_most(verdict.memory), verdict.memory.soonest_h
    text = f"{verdict.lane.name} shows no leak: one would be below {figures(most)} B a request"
    if math.isnan(soonest) or verdict.memory.exceeded:
        return f"{text}."
    allowance = (verdict.allowance_bytes or 0) / MB
    return f"{text}, and at {allowance:,.0f} MB after {_time(soonest)} at the soonest."


def _time(hours: float) -> str:
    return f"{figures(hours)} hours" if hours < _DAYS_FROM_H else f"{figures(hours / 24)} days"


def _sentence(verdict: LaneVerdict) -> str:
    """What of a server grows, and when that is too much."""
    told = []
    for judged in verdict.leaks:
        if judged.measure == "memory":
            per = verdict.per_request(judged)
            told.append(f"{figures(per.mean)} B a request" + (f" ({span})" if (span := _span(per)) else ""))
        else:
            told.append(f"{figures(judged.per_hour.mean)} {MEASURES[judged.measure]} an hour")
        if not math.isnan(judged.reached_h.mean) and not judged.exceeded:
            told[-1] += f", at its limit after {figures(judged.reached_h.mean)} hours"
    lane = verdict.lane
    text = f"{lane.name} leaks {listed(told)}"
    if lane.record.recycles:
        return f"{text}, although its workers are replaced."
    below = verdict.keeps_below
    if below is None:
        return f"{text}."
    allowance = (verdict.allowance_bytes or 0) / MB
    if below == 0:
        return f"{text}; no N keeps it below {allowance:,.0f} MB."
    return f"{text}; N = {below:,} keeps it below {allowance:,.0f} MB."
