"""Two runs that tried settings: which fates changed in the second one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.settings.model import FATES, MEASURES, Judged, Measure, Setting, Settings, times
from analysis.table import Cell, TableRow, words
from analysis.words import MISSING, counted, listed
from bench.model.documents import NOTES
from bench.stats.comparison import CONFIDENCE, Ratio

# What every setting has, and a second run finds again; tails and losses scatter.
_STEADY: tuple[Measure, ...] = ("throughput", "cpu_us", "pss_bytes")


@dataclass(frozen=True)
class ChangedRow(TableRow):
    """A setting in both runs, by the measure that decides in the second one, else in the first."""

    one: Judged
    other: Judged

    @property
    def changed(self) -> bool:
        """Whether its fate is another."""
        return self.one.fate != self.other.fate

    @property
    def measure(self) -> Measure | None:
        """What decides."""
        decisive = self.other.decisive or self.one.decisive
        return None if decisive is None else decisive.measure

    @property
    def overlap(self) -> bool | None:
        """Whether the intervals of both runs have something in common; None where one is unknown."""
        return None if self.measure is None else self.overlaps.get(self.measure)

    @property
    def both(self) -> dict[Measure, tuple[Ratio, Ratio]]:
        """The ratios of each measure that both runs have."""
        found = {each.measure: (_of(self.one, each.measure), each.ratio) for each in self.other.measured}
        return {measure: (one.ratio, other) for measure, (one, other) in found.items() if one is not None}

    @property
    def overlaps(self) -> dict[Measure, bool]:
        """Of each measure whose intervals both runs know, whether these have something in common."""
        return {
            measure: one.low <= other.high and other.low <= one.high
            for measure, (one, other) in self.both.items()
            if not math.isnan(one.low) and not math.isnan(other.low)
        }

    @property
    def apart(self) -> dict[Measure, float]:
        """Of each measure that both runs know, the larger ratio over the smaller, less 1."""
        ratios = {measure: (one.ratio, other.ratio) for measure, (one, other) in self.both.items()}
        return {
            measure: max(both) / min(both) - 1
            for measure, both in ratios.items()
            if all(0 < each < math.inf for each in both)
        }

    def cells(self) -> tuple[Cell, ...]:
        overlap = {True: "the intervals overlap", False: "the intervals lie apart", None: None}[self.overlap]
        return (
            words(self.other.name),
            words(self.one.fate),
            words(self.other.fate),
            words(None if self.measure is None else MEASURES[self.measure].head),
            *(words(_ratio(_of(each, self.measure))) for each in (self.one, self.other)),
            words(overlap),
        )


@dataclass(frozen=True)
class Changed:
    """The settings that both runs tried, of which `rows` are those whose fate changed.

    `only_one` and `only_other` were tried in one of the runs alone.
    """

    every: tuple[ChangedRow, ...]
    only_one: tuple[str, ...]
    only_other: tuple[str, ...]

    title: ClassVar[str] = "Settings whose fate has changed"
    columns: ClassVar[tuple[str, ...]] = ("configuration", "fate in A", "fate in B", "by", "A", "B", NOTES)

    @property
    def rows(self) -> Sequence[ChangedRow]:
        """Those whose fate changed, in the order in which fates are told."""
        changed = [each for each in self.every if each.changed]
        return sorted(changed, key=lambda row: FATES.index(row.other.fate))

    @property
    def finding(self) -> str:
        """How many fates stayed."""
        apart = sum(each.overlap is False for each in self.rows)
        same = len(self.every) - len(self.rows)
        text = f"Of {counted(len(self.every), 'setting')} that both runs tried the fate of {same} is the same"
        if not self.rows:
            return f"{text}. {self.agreement}"
        changed = f"of {len(self.rows)} another; the intervals of {apart} of these lie apart"
        return f"{text}, {changed}. {self.agreement}"

    @property
    def agreement(self) -> str:
        """How far the runs agree in all measures, whatever these come to."""
        overlaps = [each for row in self.every for each in row.overlaps.values()]
        text = f"In {sum(overlaps)} of {counted(len(overlaps), 'measure')} the intervals of both overlap"
        apart = {
            head: [row.apart[measure] for row in self.every if measure in row.apart]
            for measure, head in ((measure, MEASURES[measure].head) for measure in _STEADY)
        }
        told = [
            f"{head} {np.median(each):.1%} (at most {max(each):.1%})" for head, each in apart.items() if each
        ]
        return f"{text}; ratios lie apart, in the median: {listed(told)}." if told else f"{text}."

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            f"Ratios to the parent with the {CONFIDENCE:.0%} interval. Where the intervals of both runs "
            "overlap, they do not contradict each other: a fate changes as well where an interval just "
            "reaches a limit."
        )

    def document(self) -> dict[str, Any]:
        """All of it for a JSON file; null is unknown."""
        return {
            "settings": len(self.every),
            "changed": [
                {
                    "variant": row.other.name,
                    "parent": row.other.parent,
                    "measure": row.measure,
                    "fates": [row.one.fate, row.other.fate],
                    "ratios": [_known(_of(each, row.measure)) for each in (row.one, row.other)],
                    "overlap": row.overlap,
                }
                for row in self.rows
            ],
            "overlaps": {row.other.name: row.overlaps for row in self.every},
            "apart": {row.other.name: row.apart for row in self.every},
            "only_one": list(self.only_one),
            "only_other": list(self.only_other),
        }


def changed(one: Settings, other: Settings) -> Changed | None:
    """What became of the settings of one run in another; None where one of them tried none."""
    before = {each.name: each for each in one.judged if not each.unmeasured}
    after = {each.name: each for each in other.judged if not each.unmeasured}
    if not before or not after:
        return None
    return Changed(
        tuple(ChangedRow(before[name], each) for name, each in after.items() if name in before),
        tuple(name for name in before if name not in after),
        tuple(name for name in after if name not in before),
    )


def _of(judged: Judged, measure: Measure | None) -> Setting | None:
    """What a run knows of a measure."""
    return next((each for each in judged.measured if each.measure == measure), None)


def _ratio(setting: Setting | None) -> str:
    if setting is None:
        return MISSING
    return "none" if math.isnan(setting.ratio.ratio) else times(setting.ratio)


def _known(setting: Setting | None) -> list[float | None] | None:
    if setting is None:
        return None
    values = (setting.ratio.ratio, setting.ratio.low, setting.ratio.high)
    return [each if math.isfinite(each) else None for each in values]
