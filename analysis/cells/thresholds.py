"""The cells that do not keep the thresholds of their plan."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.reading.results import Results
from bench.model.errors import UserError
from bench.model.thresholds import LATENCIES, Threshold

# The column of a metric in the summary, and what divides that to give the metric's unit.
COLUMNS = {
    "requests_per_second": ("throughput", 1.0),
    "failures": ("failures", 1.0),
    "error_rate": ("error_rate", 1.0),
    "cpu_us": ("cpu_us", 1.0),
    "pss_mib": ("pss_bytes", 2.0**20),
    "achieved": ("achieved", 1.0),
}


@dataclass(frozen=True)
class Violation:
    """A cell that does not comply; `value` is NaN where it is unknown."""

    path: str
    threshold: Threshold
    value: float

    @property
    def text(self) -> str:
        """The cell, what it shows and what was demanded, in one line."""
        found = f"is {self.value:,.6g}" if not math.isnan(self.value) else f"is unknown ({self._reason})"
        return f"{self.path}: {self.threshold.metric} {found}, demanded: {self.threshold}"

    @property
    def _reason(self) -> str:
        if self.threshold.metric in LATENCIES:
            return "too few requests in the window"
        if self.threshold.metric == "pss_mib":
            return "not given by the system or not sampled in the window"
        return "no request succeeded, or the samples do not cover the window"


def violations(results: Results, summary: pd.DataFrame) -> list[Violation]:
    """The finished cells that do not keep the plan's thresholds, in the order of `summary`.

    Steps of a search are exempt, since they go over a limit on purpose; so are cells that failed, which have
    no numbers and make a run fail anyway.

    Raises:
        UserError: run.json has a threshold this version cannot read.
    """
    thresholds = list(_thresholds(results))
    judged = summary[summary["search_p99_ms"].isna()].join(results.cells["path"])
    return [
        Violation(str(cell["path"]), threshold, value)
        for _, cell in judged.iterrows()
        for scenario, threshold in thresholds
        if _concerns(threshold, scenario, cell) and not threshold.kept(value := _value(threshold, cell))
    ]


def _concerns(threshold: Threshold, scenario: str, cell: pd.Series) -> bool:
    """Whether a threshold of a scenario, or of "all", is about a cell: only open loops achieve arrivals."""
    applies = threshold.metric != "achieved" or cell["load_kind"] == "open"
    return applies and scenario in ("all", cell["scenario"])


def _value(threshold: Threshold, cell: pd.Series) -> float:
    """The metric of a cell, in its unit; NaN where it is unknown."""
    if threshold.metric in LATENCIES:
        kind = "schedule_" if cell["load_kind"] == "open" else ""
        column, unit = kind + threshold.metric.replace("_ms", "_us"), 1000.0
    else:
        column, unit = COLUMNS[threshold.metric]
    return float(cell[column]) / unit


def _thresholds(results: Results) -> Iterator[tuple[str, Threshold]]:
    """The thresholds in run.json's plan, each behind the scenario that it is about, or "all"."""
    for scenario, texts in results.run.plan.get("thresholds", {}).items():
        for text in texts:
            try:
                yield scenario, Threshold.parse(text)
            except ValueError as error:
                raise UserError(
                    f'{results.directory / "run.json"}: this version cannot read the threshold "{text}"; '
                    "mend the plan in it, or report it with the version that measured it"
                ) from error
