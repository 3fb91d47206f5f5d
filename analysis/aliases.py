"""A/A: configurations that a run measured under two names, and how often the suite called them different."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from statistics import median

import pandas as pd

from analysis.checks.findings import Load
from analysis.comparison import CONFIDENCE, Ratio, compare
from analysis.results import Results
from analysis.summary import OPEN_LOAD
from analysis.words import MISSING, counted, figures

# What is compared: throughput is given in open loops, and their latency counts from the schedule.
METRICS = {
    "closed": {"throughput": "requests/s", "cpu_us": "CPU/request", "p50_us": "p50", "p99_us": "p99"},
    "open": {"cpu_us": "CPU/request", "schedule_p50_us": "p50", "schedule_p99_us": "p99"},
}
LABELS = tuple(dict.fromkeys(label for labels in METRICS.values() for label in labels.values()))
COLUMNS = ("figure", "comparisons", "called different", "median difference", "notes")


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
    def where(self) -> str:
        """Which pair at which load."""
        return f"{self.alias}, {self.scenario} at {self.load.text}"


@dataclass(frozen=True)
class Tally:
    """How often one figure of a configuration was called different from itself."""

    figure: str
    pairs: tuple[Pair, ...]

    @property
    def different(self) -> list[Pair]:
        """The pairs about which the suite cried wolf."""
        return [pair for pair in self.pairs if pair.different]

    def texts(self) -> list[str]:
        """One text for each of `COLUMNS`."""
        apart = median(abs(log(pair.versus.ratio)) for pair in self.pairs)
        return [
            self.figure,
            str(len(self.pairs)),
            str(len(self.different)),
            f"{exp(apart) - 1:.1%}",
            "; ".join(f"{pair.where}: {figures(pair.versus.ratio)}x" for pair in self.different) or MISSING,
        ]


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
        return "Compared by the rule of the rankings: within repeats, 95 % interval, practical margin."


def alike(results: Results, summary: pd.DataFrame) -> Alike:
    """Compare every alias of the plan with its original, at every load that both finished twice or more."""
    named: dict[str, str] = results.run.plan.get("aliases", {})
    return Alike(tuple(_pairs(named, summary[summary["search_p99_ms"].isna()])))


def _pairs(named: dict[str, str], summary: pd.DataFrame) -> Iterator[Pair]:
    for (kind, *_), group in summary.groupby(["load_kind", *OPEN_LOAD], dropna=False):
        of = {str(name): rows.set_index("repeat") for name, rows in group.groupby("configuration")}
        for alias, original in named.items():
            if alias not in of or original not in of:
                continue
            for metric, label in METRICS[str(kind)].items():
                versus = compare(of[alias][metric], of[original][metric])
                if not pd.isna(versus.low):
                    row = group.iloc[0]
                    yield Pair(alias, original, str(row["scenario"]), Load.of(row), label, versus)
