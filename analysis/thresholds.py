"""What a plan demands of every cell, and the cells that do not comply.

A plan states it as `[thresholds] all = ["failures == 0"]`, `index = ["p99_ms < 50"]`; the key is `all` or a
scenario, the number is in the unit that the metric's name ends in.
"""

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.errors import AnalysisError
from analysis.results import Results

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
# A metric: its column in the summary, and what divides that to give the metric's unit.
COLUMNS = {
    "requests_per_second": ("throughput", 1.0),
    "failures": ("failures", 1.0),
    "error_rate": ("error_rate", 1.0),
    "cpu_us": ("cpu_us", 1.0),
    "pss_mib": ("pss_bytes", 2.0**20),
    "achieved": ("achieved", 1.0),
}
# Those of service time in closed loops, and from the schedule in open ones.
LATENCIES = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")


@dataclass(frozen=True)
class Threshold:
    """A demand such as `p99_ms < 50` on the cells of one scenario, or of all (`scenario` None)."""

    metric: str
    comparison: str
    limit: float
    scenario: str | None = None

    @property
    def text(self) -> str:
        """As the plan has it."""
        return f"{self.metric} {self.comparison} {self.limit:g}"

    def concerns(self, cell: pd.Series) -> bool:
        """Whether it speaks of a cell at all: only open loops have arrivals to achieve."""
        applies = self.metric != "achieved" or cell["load_kind"] == "open"
        return applies and self.scenario in (None, cell["scenario"])

    def value(self, cell: pd.Series) -> float:
        """What the cell has to show, in the metric's unit; NaN where it is unknown."""
        if self.metric in LATENCIES:
            kind = "schedule_" if cell["load_kind"] == "open" else ""
            column, unit = kind + self.metric.replace("_ms", "_us"), 1000.0
        else:
            column, unit = COLUMNS[self.metric]
        return float(cell[column]) / unit

    def kept(self, value: float) -> bool:
        """Whether a value complies; one that is unknown is no evidence that it does."""
        return not math.isnan(value) and COMPARISONS[self.comparison](value, self.limit)


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
        return f"{self.path}: {self.threshold.metric} {found}, demanded: {self.threshold.text}"

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
        AnalysisError: run.json has a threshold this version cannot read.
    """
    thresholds = list(_thresholds(results))
    asked = summary[summary["search_p99_ms"].isna()].join(results.cells["path"])
    return [
        Violation(str(cell["path"]), threshold, value)
        for _, cell in asked.iterrows()
        for threshold in thresholds
        if threshold.concerns(cell) and not threshold.kept(value := threshold.value(cell))
    ]


def _thresholds(results: Results) -> Iterator[Threshold]:
    """The thresholds of run.json's plan."""
    for where, texts in results.run.plan.get("thresholds", {}).items():
        for text in texts:
            yield _parse(text, None if where == "all" else where, results)


def _parse(text: str, scenario: str | None, results: Results) -> Threshold:
    try:
        metric, comparison, limit = text.split()
        threshold = Threshold(metric, comparison, float(limit), scenario)
    except ValueError:
        threshold = None
    if threshold is None or comparison not in COMPARISONS or metric not in {*COLUMNS, *LATENCIES}:
        raise AnalysisError(
            f'{results.directory / "run.json"}: the threshold "{text}" is none that this version knows; '
            "mend the plan in it, or report it with the version that measured it"
        )
    return threshold
