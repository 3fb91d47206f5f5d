"""Two runs, cell by cell: what became better or worse from one to the other.

The repeats of two runs share no round, so they are compared unpaired (`comparison.compare_unpaired`, Welch).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from analysis.cells.capacity import searches, uncertainty
from analysis.cells.summary import summarise
from analysis.findings.completeness import damages
from analysis.findings.finding import Load
from analysis.reading import results
from analysis.reading.results import Results
from analysis.words import with_workers, workers_of
from bench.model import matching
from bench.model.errors import UserError
from bench.model.thresholds import ERROR_RATE, SATURATED
from bench.stats.comparison import MATERIAL, UNKNOWN, Ratio, compare_unpaired, difference, mean

MARGIN = 0.05
# The share of intervals that lie on the wrong side of the truth by chance alone.
BY_CHANCE = 0.025

Verdict = Literal["same", "better", "worse"]


class UnlikeError(UserError):
    """The runs were measured under conditions whose numbers do not compare."""


@dataclass(frozen=True)
class Key:
    """A configuration under a load; with a `search_p99_ms` all the steps of a search.

    `treatment` is what was done to its workers in plans of recycling, as in `Results.cells`.
    """

    configuration: str
    scenario: str
    load: Load
    search_p99_ms: float | None = None
    treatment: str = "none"

    @property
    def text(self) -> str:
        """Scenario and load in words."""
        workers = with_workers(self.load.workers)
        if self.search_p99_ms is None:
            treatment = "" if self.treatment == "none" else f", {self.treatment}"
            return f"{self.scenario}: {self.load.text}, {workers}{treatment}"
        return f"{self.scenario}: p99 within {self.search_p99_ms:g} ms, {self.load.arrivals}, {workers}"


@dataclass(frozen=True)
class Metric:
    """A figure of a cell, in the unit of its column of the summary."""

    name: str
    higher_is_better: bool


THROUGHPUT = Metric("throughput", higher_is_better=True)
RATE = Metric("rate_per_s", higher_is_better=True)
SERVICE_P99 = Metric("p99_us", higher_is_better=False)
SCHEDULE_P99 = Metric("schedule_p99_us", higher_is_better=False)
CPU = Metric("cpu_us", higher_is_better=False)
ERRORS = Metric("error_rate", higher_is_better=False)


@dataclass(frozen=True)
class Difference:
    """One figure of one cell in both runs.

    `one` and `other` are geometric means over repeats (of `error_rate` the share of all requests), `ratio` is
    `other` over `one` with its interval, NaN where unknown. `same` means not told apart. Without a verdict
    `reason` says why there is none.
    """

    key: Key
    metric: str
    one: float
    other: float
    ratio: float
    low: float
    high: float
    verdict: Verdict | None
    regression: bool
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """What differs from run `one` to run `other`; `unlike` is what their conditions differ in."""

    one: str
    other: str
    margin: float
    unlike: tuple[str, ...]
    differences: tuple[Difference, ...]
    only_one: tuple[Key, ...]
    only_other: tuple[Key, ...]
    damaged: tuple[str, ...] = ()
    """What is left out of either, in sentences."""

    @property
    def regressions(self) -> list[Difference]:
        """What became worse, certainly and by more than the margin."""
        return [each for each in self.differences if each.regression]

    @property
    def judged(self) -> int:
        """How many comparisons had an interval to go by."""
        return sum(each.verdict is not None for each in self.differences)

    @property
    def by_chance(self) -> float:
        """How many intervals alone would call worse, and as many better, if nothing differed."""
        return self.judged * BY_CHANCE

    def document(self) -> dict[str, Any]:
        """All of it for a JSON file; null is unknown."""
        return {
            "one": self.one,
            "other": self.other,
            "margin": self.margin,
            "unlike": list(self.unlike),
            "comparisons": self.judged,
            "expected_worse_by_chance": self.by_chance,
            "regressions": len(self.regressions),
            "differences": [
                _document(each.key)
                | {name: _known(value) for name, value in vars(each).items() if name != "key"}
                for each in self.differences
            ],
            "only_one": [_document(key) for key in self.only_one],
            "only_other": [_document(key) for key in self.only_other],
            "damaged": list(self.damaged),
        }


def compare(one: Path, other: Path, *, margin: float = MARGIN, across: bool = False) -> Comparison:
    """Compare the run in folder `one` with that in folder `other`.

    `margin` is the change, as a share, that the whole interval of something worse must exceed to be called a
    regression. Cells that failed count as absent.

    Raises:
        UnlikeError: host, CPU split, launcher or methodology differ, and not `across`.
        UserError: see `results.load`.
    """
    first, second = results.load(one), results.load(other)
    unlike = tuple(matching.unlike(first.run, second.run))
    if unlike and not across:
        raise UnlikeError(
            f"{one.name} and {other.name} were measured under unlike conditions: {'; '.join(unlike)}. "
            "Compare them all the same with --across, and trust CPU per request most"
        )
    before, after = _cells(first), _cells(second)
    differences = [
        each for key in before if key in after for each in _differences(key, before[key], after[key], margin)
    ]
    return Comparison(
        one.name,
        other.name,
        margin,
        unlike,
        tuple(differences),
        tuple(key for key in before if key not in after),
        tuple(key for key in after if key not in before),
        tuple(f"{run.run.run}: {each.message}" for run in (first, second) for each in damages(run)),
    )


def _cells(run: Results) -> dict[Key, pd.DataFrame]:
    """The rows of every repeat of every cell, configurations in the order of the catalogue."""
    summary = summarise(run)
    found: dict[Key, list[pd.Series]] = {}
    for _, row in summary[summary["search_p99_ms"].isna()].iterrows():
        key = Key(row["configuration"], row["scenario"], Load.of(row), treatment=row["treatment"])
        found.setdefault(key, []).append(row)
    for _, row in searches(summary).iterrows():
        load = Load(workers_of(row["workers"]), int(row["users"]), str(row["arrivals"]))
        key = Key(row["configuration"], row["scenario"], load, float(row["p99_ms"]))
        found.setdefault(key, []).append(row)
    place = {name: index for index, name in enumerate(run.configurations)}
    ordered = sorted(found, key=lambda key: place.get(key.configuration, len(place)))
    return {key: pd.DataFrame(found[key]) for key in ordered}


def _differences(key: Key, one: pd.DataFrame, other: pd.DataFrame, margin: float) -> Iterator[Difference]:
    """Every figure of a cell that both runs have."""
    if key.search_p99_ms is not None:
        yield _search(key, one, other, margin)
        return
    is_open = key.load.rate_per_s is not None
    if not is_open:
        idle = one["busy"].mean() < SATURATED or other["busy"].mean() < SATURATED
        unknown = one["busy"].isna().all() or other["busy"].isna().all()
        reason = "a server was not saturated" if idle else None
        if unknown:
            reason = "whether a server was saturated is unknown"
        yield _ratio(key, THROUGHPUT, one, other, margin, reason=reason)
    yield _ratio(key, SCHEDULE_P99 if is_open else SERVICE_P99, one, other, margin)
    yield _ratio(key, CPU, one, other, margin)
    yield _errors(key, one, other)


def _search(key: Key, one: pd.DataFrame, other: pd.DataFrame, margin: float) -> Difference:
    """The highest rates found; they are known to within the bracket in which each search ended."""
    bounded = not (one["at_least"].any() or other["at_least"].any())
    reason = None if bounded else "a rate is a lower bound"
    least = uncertainty(pd.concat([one, other]))
    return _ratio(key, RATE, one, other, margin, reason=reason, least=least)


def _ratio(
    key: Key,
    metric: Metric,
    one: pd.DataFrame,
    other: pd.DataFrame,
    margin: float,
    *,
    reason: str | None = None,
    least: float = MATERIAL,
) -> Difference:
    """Judge one figure by its ratio: it differs if the whole interval is further than `least` from 1."""
    versus = compare_unpaired(other[metric.name], one[metric.name])
    reason = reason or _unjudged(versus)
    verdict: Verdict | None = None
    regression = False
    if reason is None:
        verdict = "same"
        if versus.beyond(least):
            verdict = "better" if (versus.ratio > 1) == metric.higher_is_better else "worse"
        regression = verdict == "worse" and versus.beyond(1 + margin)
    return Difference(
        key, metric.name, mean(one[metric.name]), mean(other[metric.name]),
        versus.ratio, versus.low, versus.high, verdict, regression, reason,
    )  # fmt: skip


def _unjudged(versus: Ratio) -> str | None:
    """Why a ratio cannot be judged, if so."""
    if math.isnan(versus.ratio):
        return "a figure is unknown"
    return "there is a single repeat" if math.isnan(versus.low) else None


def _errors(key: Key, one: pd.DataFrame, other: pd.DataFrame) -> Difference:
    """Failed requests, by the difference of their shares: it must be certainly above `ERROR_RATE`.

    Most shares are zero, of which there are no ratios; the margin has no part in this.
    """
    _, low, high = difference(other["error_rate"], one["error_rate"])
    reason = "there is a single repeat" if math.isnan(low) else None
    verdict: Verdict | None = None
    if reason is None:
        verdict = "worse" if low > ERROR_RATE else "better" if high < -ERROR_RATE else "same"
    return Difference(
        key,
        ERRORS.name,
        _share(one),
        _share(other),
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
        verdict,
        verdict == "worse",
        reason,
    )


def _share(cells: pd.DataFrame) -> float:
    """Failures over all requests of all repeats; NaN if there were none."""
    requests = int((cells["failures"] + cells["requests"]).sum())
    return int(cells["failures"].sum()) / requests if requests else UNKNOWN


def _document(key: Key) -> dict[str, Any]:
    """A key as plain values."""
    return {
        "configuration": key.configuration,
        "scenario": key.scenario,
        **asdict(key.load),
        "search_p99_ms": key.search_p99_ms,
        "treatment": key.treatment,
    }


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
