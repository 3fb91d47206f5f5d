"""The table of a server: a row for each setting that was tried, with what it is worth."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from analysis.settings.model import MEASURES, Fate, Judged, Measure, Setting, Settings, found, times
from analysis.table import Cell, TableRow, Verdict, words
from analysis.words import counted, figures
from bench.model.documents import NOTES
from bench.stats.comparison import CONFIDENCE, MATERIAL, half_width

CONNECTIONS = "connections"
"""The column of what connections met, whose cells say what each figure is."""
NOT_SHOWN: Fate = "not shown"
_SIGNS: dict[Fate, Verdict] = {
    "worth it": "good",
    "makes no difference": "fair",
    "costs": "bad",
    NOT_SHOWN: "unknown",
}
# Those that a sign is put beside, the one that decides first.
_TOLD: tuple[Fate, ...] = ("costs", "worth it")
_NO_BREAK = "\N{NO-BREAK SPACE}"
# An interval that reaches further from its ratio than that is told by its ends.
_EVEN = 0.5


@dataclass(frozen=True)
class SettingRow(TableRow):
    """A setting, with a column for each of `measures`."""

    judged: Judged
    measures: tuple[Measure, ...]

    def cells(self) -> tuple[Cell, ...]:
        known = {each.measure: each for each in self.judged.measured}
        fate = self.judged.fate
        return (
            words(self.judged.name),
            Cell(fate, verdict=_SIGNS[fate]),
            *(
                _ratio(known.get(measure))
                for measure in self.measures
                if not MEASURES[measure].of_connections
            ),
            *([_connections(self.judged)] if _of_connections(self.measures) else []),
            words(self.judged.remarks),
        )


@dataclass(frozen=True)
class SettingsTable:
    """The settings of one server, `parent`; `compared` counts the intervals of all servers together.

    The first table of several, `explained`, says how to read all of them.
    """

    parent: str
    judged: tuple[Judged, ...]
    compared: int
    explained: bool = True

    explanation: ClassVar[str] = (
        f"Ratios of each variant to its parent, compared pairwise within each sitting or repeat, with the "
        f"{CONFIDENCE:.0%} interval. Worth it: certainly more than {MATERIAL - 1:.0%} better in something "
        "that the setting is expected to change, and certainly worse in nothing of that. No difference: the "
        f"whole interval within {MATERIAL - 1:.0%} in all of that."
    )

    @property
    def title(self) -> str:
        """Whose settings."""
        return f"{self.parent}: {counted(len(self.judged), 'setting')}"

    @property
    def finding(self) -> str:
        """What they come to."""
        return found(self.judged)

    @property
    def basis(self) -> str:
        """How fates come about, and of how many comparisons."""
        if not self.explained:
            return "Read it like the table before."
        chance = f"One in {round(1 / (1 - CONFIDENCE))} intervals is beside the truth by chance"
        return f"{self.explanation} {chance}; there are {self.compared}, which widens none."

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What at least one of them tells."""
        known = {each.measure for judged in self.judged for each in judged.measured}
        return tuple(measure for measure in MEASURES if measure in known)

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of what `SettingRow.cells` gives."""
        heads = [MEASURES[each].head for each in self.measures if not MEASURES[each].of_connections]
        heads += [CONNECTIONS] if _of_connections(self.measures) else []
        return "configuration", "fate", *heads, NOTES

    @property
    def rows(self) -> Sequence[SettingRow]:
        """What is worth it first."""
        return [SettingRow(each, self.measures) for each in self.judged]


def tables(settings: Settings) -> tuple[SettingsTable, ...]:
    """A table for each server whose settings were tried."""
    parents = settings.parents
    return tuple(
        SettingsTable(parent, tuple(settings.of(parent)), settings.compared, explained=parent == parents[0])
        for parent in parents
    )


def _of_connections(measures: Sequence[Measure]) -> bool:
    """Whether one of some measures is of connections: they share a column, as few variants have any."""
    return any(MEASURES[each].of_connections for each in measures)


def _connections(judged: Judged) -> Cell:
    """What connections met, measure by measure; signed as the one that costs, else one that is worth it."""
    found = [each for each in judged.measured if MEASURES[each.measure].of_connections]
    if not found:
        return words(None)
    told = [f"{MEASURES[each.measure].head} {_ratio(each).text}" for each in found]
    fates = {each.fate for each in found}
    sign: Verdict = next((_SIGNS[fate] for fate in _TOLD if fate in fates), "")
    return Cell("; ".join(told), verdict=sign)


def _ratio(setting: Setting | None) -> Cell:
    """A ratio with how far its interval reaches to either side; a sign where it is better or worse."""
    if setting is None:
        return words(None)
    ratio, fate = setting.ratio, setting.fate
    if math.isnan(ratio.ratio):
        return words("none lost" if setting.measure.startswith("lost") else "none")
    sign = _SIGNS[fate] if fate in _TOLD else ""
    known = ratio.low > 0 and math.isfinite(ratio.high)
    half = half_width(ratio.low, ratio.high) if known else math.inf
    text = f"{figures(ratio.ratio)}x{_NO_BREAK}±{half:.1%}" if half <= _EVEN else times(ratio)
    return Cell(text, ratio.ratio, verdict=sign)
