"""A/A: configurations that a run measured under two names, and how often the suite called them different."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from statistics import median

import pandas as pd

from analysis.cells.rotation import valued
from analysis.cells.summary import REPEATED
from analysis.findings.finding import Load
from analysis.reading.results import Results
from analysis.table import Cell, TableRow, number, words
from analysis.words import counted, figures
from bench.model.documents import NOTES
from bench.stats.comparison import CONFIDENCE, Field, Ratio

# What is compared: throughput is given in open loops, and their latency counts from the schedule.
METRICS = {
    "closed": {"throughput": "requests/s", "cpu_us": "CPU/request", "p50_us": "p50", "p99_us": "p99"},
    "open": {"cpu_us": "CPU/request", "schedule_p50_us": "p50", "schedule_p99_us": "p99"},
}
LABELS = tuple(dict.fromkeys(label for labels in METRICS.values() for label in labels.values()))
COLUMNS = (
    "figure", "comparisons", "called different", "intervals without 1", "median difference", NOTES,
)  # fmt: skip
# Of these a rotation has a figure for each manner of the generator, and compares as rankings do.
_BY_MANNER = ("throughput", "cpu_us")


@dataclass(frozen=True)
class Pair:
    """One comparison of a configuration with itself."""

    alias: str
    original: str
    scenario: str
    load: Load
    metric: str
    versus: Ratio

    @property
    def different(self) -> bool:
        """Whether the suite cried wolf."""
        return not self.versus.tie

    @property
    def beside_truth(self) -> bool:
        """Whether the interval excludes 1, by however little."""
        return self.versus.beyond(1)

    @property
    def where(self) -> str:
        """Which pair at which load."""
        return f"{self.alias}, {self.scenario} at {self.load.text}"


@dataclass(frozen=True)
class Tally(TableRow):
    """How often one figure of a configuration was called different from itself."""

    figure: str
    pairs: tuple[Pair, ...]

    @property
    def different(self) -> list[Pair]:
        """The pairs about which the suite cried wolf."""
        return [pair for pair in self.pairs if pair.different]

    def cells(self) -> tuple[Cell, ...]:
        apart = exp(median(abs(log(pair.versus.ratio)) for pair in self.pairs)) - 1
        notes = "; ".join(f"{pair.where}: {figures(pair.versus.ratio)}x" for pair in self.different)
        return (
            words(self.figure),
            number(len(self.pairs)),
            number(len(self.different)),
            number(sum(pair.beside_truth for pair in self.pairs)),
            number(apart, ".1%"),
            words(notes or None),
        )


@dataclass(frozen=True)
class Alike:
    """All comparisons of configurations with themselves; empty where the run has no aliases."""

    pairs: tuple[Pair, ...]
    columns = COLUMNS

    @property
    def rows(self) -> tuple[Tally, ...]:
        """A tally of each figure that was compared."""
        of = {metric: tuple(pair for pair in self.pairs if pair.metric == metric) for metric in LABELS}
        return tuple(Tally(metric, pairs) for metric, pairs in of.items() if pairs)

    @property
    def title(self) -> str:
        """How often the suite was wrong, by the figure that decides where there is one."""
        first = self.rows[0]
        return (
            f"A/A: {len(first.different)} of {counted(len(first.pairs), 'comparison')} of {first.figure} "
            "called different"
        )

    @property
    def finding(self) -> str:
        """What was compared, and what chance lets one expect."""
        return (
            "The same configuration was measured under two names, so every difference is noise. "
            f"Of intervals of {CONFIDENCE:.0%}, one in {round(1 / (1 - CONFIDENCE))} is beside the truth."
        )

    @property
    def basis(self) -> str:
        """The rule."""
        return (
            "Called different by the rule of the rankings: within repeats, the whole 95 % interval beyond "
            "the practical margin."
        )


def alike(results: Results, summary: pd.DataFrame) -> Alike:
    """Compare every alias of the plan with its original, at every load that both finished twice or more."""
    named: dict[str, str] = results.run.plan.get("aliases", {})
    return Alike(tuple(_pairs(named, summary[summary["search_p99_ms"].isna()])))


def _pairs(named: dict[str, str], summary: pd.DataFrame) -> Iterator[Pair]:
    for (kind, *_), group in summary.groupby(REPEATED, dropna=False):
        for metric, label in METRICS[str(kind)].items():
            field = Field(_values(group, metric))
            for alias, original in named.items():
                if alias not in field or original not in field:
                    continue
                versus = field.compare(alias, original)
                if not pd.isna(versus.low):
                    row = group.iloc[0]
                    yield Pair(alias, original, str(row["scenario"]), Load.of(row), label, versus)


def _values(cells: pd.DataFrame, metric: str) -> list[pd.DataFrame]:
    """A row per repeat and a column per configuration; a frame for each manner where a figure has both."""
    if metric in _BY_MANNER:
        return valued(cells, metric)
    return [cells.pivot(index="repeat", columns="configuration", values=metric)]
