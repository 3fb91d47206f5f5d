"""A/A: configurations that a run measured under two names, and how often the suite called them different."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.checks.findings import Load
from analysis.comparison import Ratio, compare
from analysis.results import Results
from analysis.summary import OPEN_LOAD
from analysis.words import counted, figures

# What is compared: throughput is given in open loops, and their latency counts from the schedule.
METRICS = {
    "closed": {"throughput": "requests/s", "cpu_us": "CPU/request", "p50_us": "p50", "p99_us": "p99"},
    "open": {"cpu_us": "CPU/request", "schedule_p50_us": "p50", "schedule_p99_us": "p99"},
}
COLUMNS = ("scenario", "load", "pair", "metric", "ratio", "95 % interval", "verdict")


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

    def texts(self) -> list[str]:
        """One text for each of `COLUMNS`."""
        interval = f"{figures(self.versus.low)} to {figures(self.versus.high)}"
        return [
            self.scenario,
            f"{self.load.text}, {counted(self.load.workers, 'worker')}",
            f"{self.alias} / {self.original}",
            self.metric,
            figures(self.versus.ratio),
            interval,
            "different" if self.different else "tie",
        ]


@dataclass(frozen=True)
class Alike:
    """All comparisons of configurations with themselves; empty where the run has no aliases."""

    rows: tuple[Pair, ...]
    columns = COLUMNS

    @property
    def title(self) -> str:
        """How often the suite was wrong."""
        called = sum(pair.different for pair in self.rows)
        return f"A/A: of {counted(len(self.rows), 'comparison')}, {called} called different"

    @property
    def finding(self) -> str:
        """What was compared."""
        return "The same configuration was measured under two names, so every difference is noise."

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
