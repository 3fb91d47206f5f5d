"""Before and after: two versions of an app of one's own, or of its packages, served by the same servers.

Both were measured in the same rotation, so that what the machine did meanwhile cancels in their ratio.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from analysis.cells.summary import failed_share
from analysis.study import Study
from analysis.table import Cell, TableRow, number, words
from analysis.table import Verdict as Sign
from analysis.words import Value, counted
from bench.model.plans.own_app import BEFORE
from bench.model.thresholds import ERROR_RATE, SATURATED
from bench.stats.comparison import MATERIAL, Ratio, compare, half_width

# An app that serves certainly less than this share of what it served before is a regression.
MARGIN = 0.05


@dataclass(frozen=True)
class Change(TableRow):
    """What became of a configuration in a scenario: how many times what it served before it serves now.

    `broken` says why there is nothing to compare.
    """

    configuration: str
    scenario: str
    load: str
    metric: str
    versus: Ratio | None
    broken: str | None = None

    @property
    def regression(self) -> bool:
        """Whether it is certainly worse by more than the margin, or does not serve any more."""
        return self.broken is not None or (self.versus is not None and self.versus.high < 1 - MARGIN)

    @property
    def said(self) -> str:
        """What that is, in words."""
        if self.broken is not None:
            return f"REGRESSION: {self.broken}"
        if self.versus is None:
            return "not compared: requests failed before, or a version was not measured"
        if self.regression:
            return "REGRESSION"
        if not self.versus.low > 0:
            return "not compared: an interval takes two sittings, better five"
        if self.versus.low > MATERIAL:
            return "better"
        return "worse, within the margin" if self.versus.high < 1 / MATERIAL else "same"

    @property
    def text(self) -> str:
        """In a sentence."""
        where = f"{self.configuration}, {self.scenario} at {self.load}"
        if self.versus is None:
            return f"{where}: {self.broken or self.said}"
        return f"{where}: {Value.of(self.versus).times()} the requests per {self.metric} of before"

    @property
    def interval(self) -> str | None:
        """The 95 % interval of the ratio; None where it has none."""
        return None if self.versus is None else Value.of(self.versus).interval() or None

    def cells(self) -> tuple[Cell, ...]:
        versus = self.versus
        sign: Sign = "bad" if self.regression else "good" if self.said == "better" else "unknown"
        return (
            words(self.configuration),
            words(f"{self.scenario}, {self.load}"),
            number(None if versus is None else versus.ratio, ".3f", "x"),
            words(self.interval),
            Cell(self.said, verdict=sign),
        )


@dataclass(frozen=True)
class Before:
    """All changes of a run, in the order of its rankings."""

    rows: tuple[Change, ...]

    columns = ("configuration", "load", "after/before", "95 % interval", "verdict")
    title = "Before and after"
    basis = (
        f"Requests that the new version serves for each that the old one serves, in the same rotation. A "
        f"regression is certainly below {1 - MARGIN:g}x."
    )

    @property
    def regressions(self) -> list[Change]:
        """Those that are worse for certain."""
        return [row for row in self.rows if row.regression]

    @property
    def finding(self) -> str:
        """The answer in a sentence."""
        compared = [row for row in self.rows if row.versus is not None and row.versus.low > 0]
        if found := self.regressions:
            return f"The app became worse: {'; '.join(row.text for row in found)}."
        if not compared:
            return "Nothing could be compared with the version before."
        widest = max(
            half_width(row.versus.low, row.versus.high) for row in compared if row.versus is not None
        )
        return (
            f"No regression beyond {MARGIN:.0%} in {counted(len(compared), 'comparison')}, "
            f"known to ±{widest:.1%} or better."
        )


def before(study: Study) -> Before | None:
    """The comparison of two versions of an app; None where the run measured only one."""
    own = study.results.run.plan.get("own_app") or {}
    if not own.get("baseline"):
        return None
    closed = study.summary[study.summary["load_kind"] == "closed"]
    rows = [
        change
        for _, cells in closed.groupby(["scenario", "users", "workers"], observed=True)
        for change in changes(cells)
    ]
    return Before(tuple(rows))


def changes(cells: pd.DataFrame) -> Iterator[Change]:
    """What became of each configuration under one load, from the summary of its cells.

    Versions are compared by requests per second where both kept their server busy, else by requests per
    CPU-second, which a server that waits for its load does not change.
    """
    mine = {str(name): group for name, group in cells.groupby("configuration", observed=True)}
    for name in mine:
        if f"{name}{BEFORE}" not in mine:
            continue
        now, old = (mine[each].set_index("repeat") for each in (name, f"{name}{BEFORE}"))
        busy = all(each["busy"].mean() >= SATURATED for each in (now, old))
        where = (
            name,
            str(now["scenario"].iloc[0]),
            f"{counted(int(now['users'].iloc[0]), 'user')}, {counted(int(now['workers'].iloc[0]), 'worker')}",
            "second" if busy else "CPU-second",
        )
        if failed_share(old) > ERROR_RATE:
            yield Change(*where, None)
        elif failed_share(now) > ERROR_RATE:
            yield Change(
                *where,
                None,
                f"{failed_share(now):.2%} of its requests fail, of those before {failed_share(old):.2%}",
            )
        else:
            one, other = (each["throughput"] if busy else 1e6 / each["cpu_us"] for each in (now, old))
            ratio = compare(one[now["requests"] > 0], other[old["requests"] > 0])
            yield Change(*where, None if math.isnan(ratio.ratio) else ratio)
