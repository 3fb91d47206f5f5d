"""Did a closed loop run evenly: warm when the window began, level within it, alike in every repeat?

Rotated cells are left out: they are loaded for less than a second at a time, and what a sitting drifts by,
drifts for all of its configurations alike.

Open loops are left out, too. Their throughput is given, and near saturation the service time of one second is
no more like the next than queues are: a trend cannot be told from chance. What they show instead is
whether they reached their rate.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from analysis.cells.summary import LOAD
from analysis.findings.finding import Finding, Kind, Measurements, by_configuration, finds, worst
from analysis.findings.trends import CHANCE, DRIFT, STEP, Floats, apart, settled, trend
from bench.stats.comparison import interval

# A window needs this many whole seconds for a trend to be told from chance: five are the fewest in which a
# rising series is unlikely enough (Theil-Sen's 95 % interval can exclude zero).
TREND_SECONDS_S = 5
# What the first seconds of the window must differ by from the rest for the warm-up not to be over.
WARMUP = 0.05
# A second may deviate this much from the mean of its window, ...
UNSTEADY = 0.15
# ... and the repeats of a cell this much from each other (largest over smallest).
SPREAD = 1.20

WARM_UP = Kind(
    "warm-up", "number", "Was it steady?", "warm-up not over",
    f"windows of `TREND_SECONDS_S` = {TREND_SECONDS_S:g} s or more: what MSER (White, *Simulation* 69(6), "
    f"1997) cuts differs from the rest by more than `WARMUP` = {WARMUP:g} and than noise (Student's t, "
    f"`CHANCE` = {CHANCE:g}). Shorter ones (a note): the first second over the mean of the others has its "
    "whole 95 % interval over the repeats beyond `WARMUP`",
    "seconds at the end of MSER's cut within 5 % of the rest are taken back; a series that never settles "
    "is left to the next two",
    topics=("latency", "steadiness"), note="warm-up not over",
)  # fmt: skip
DRIFTS = Kind(
    "drift", "number", "Was it steady?", "drift",
    "such windows: the slope of Theil and Sen (Sen, JASA 63, 1968) times the window is above "
    f"`DRIFT` = {DRIFT:g} of the mean, and its 95 % interval excludes 0",
    "the throughput depends on how long was measured",
    topics=("latency", "steadiness"), note="drifted",
)  # fmt: skip
STEPS = Kind(
    "step", "number", "Was it steady?", "step",
    f"such windows: both sides of the best split differ by more than `STEP` = {STEP:g}, and Welch's t, "
    "corrected for the number of splits, is below `CHANCE`; in place of a drift where less variance is left",
    "the throughput is the mean of two states",
    topics=("latency", "steadiness"), note="jumped",
)  # fmt: skip
SWINGS = Kind(
    "unsteady", "number", "Was it steady?", "unsteady",
    f"a second further than `UNSTEADY` = {UNSTEADY:g} from the mean, not explained by the above",
    "a stall, or noise",
    topics=("latency", "steadiness"), note="unsteady",
)  # fmt: skip
SPREADS = Kind(
    "spread", "note", "Was it steady?", "spread",
    f"`SPREAD` = {SPREAD:g}",
    "largest over smallest throughput of the repeats of a cell",
    topics=("circumstances",), note="repeats differ",
)  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How the throughput of one cell went.

    `cold_s` is how many seconds of the window are still warm-up, `off` how far these are from the rest (a
    share). `change` is that of a trend (a share of the mean; NaN if there is none), `at` the second after
    which it jumped (NaN if it drifted). `swing` is the largest deviation of a second from the mean that none
    of these explains (0 if tolerable).
    """

    cold_s: int
    off: float
    change: float
    at: float
    swing: float


def course(counts: Floats, warmup_s: int, users: int) -> Course:
    """Judge the successful requests of every whole second of a cell, of which `warmup_s` are warm-up."""
    window = counts[warmup_s:]
    short = len(window) < TREND_SECONDS_S
    cold = 0 if short else _cold(counts, warmup_s, users)
    found = None if short or cold else trend(window, users)
    return Course(
        cold_s=cold,
        off=float(window[:cold].mean() / window[cold:].mean() - 1) if cold else 0.0,
        change=found.change if found else math.nan,
        at=math.nan if found is None or found.at is None else found.at,
        swing=0.0 if cold or found is not None else _swing(window, users),
    )


def _cold(counts: Floats, warmup_s: int, users: int) -> int:
    """Seconds of the window that do not belong to the rest and, together, certainly differ from it."""
    tolerance = max(WARMUP * counts[warmup_s:].mean(), users)
    drop = settled(counts, tolerance)
    if drop is None or drop <= warmup_s:
        return 0
    early, rest = counts[warmup_s:drop], counts[drop:]
    if not rest.any():  # it ended serving, and did not begin
        return 0
    cold = abs(early.mean() - rest.mean()) > tolerance and apart(early, rest)
    return drop - warmup_s if cold else 0


def _swing(window: Floats, users: int) -> float:
    """The largest deviation of a second from the window's mean, as a share; 0 if tolerable."""
    mean = window.mean()
    deviation = float(np.abs(window - mean).max())
    # What `users` have in flight may fall on either side of a second's end.
    return 0.0 if deviation <= max(UNSTEADY * mean, users) else deviation / float(mean)


def courses(closed: pd.DataFrame, seconds: pd.DataFrame) -> dict[Any, Course]:
    """The `Course` of every closed-loop cell; `seconds` has `cell`, `second`, `requests`, `in_window`."""
    users = closed["users"].to_dict()
    ordered = seconds[seconds["cell"].isin(closed.index)].sort_values("second")
    requests = ordered["requests"].to_numpy(dtype=float)
    in_window = ordered["in_window"].to_numpy(dtype=bool)
    judged: dict[Any, Course] = {}
    for cell, rows in ordered.groupby("cell").indices.items():
        counts, inside = requests[rows], in_window[rows]
        begun = counts[: int(np.flatnonzero(inside)[-1]) + 1]
        judged[cell] = course(begun, int(np.argmax(inside)), int(users[cell]))
    return judged


@finds(WARM_UP, DRIFTS, STEPS, SWINGS)
def steadiness(measured: Measurements) -> Iterator[Finding]:
    """Cells that were still warming up, drifted, stepped or swung."""
    closed, seconds = measured.closed, measured.results.seconds
    judged = courses(closed, seconds)
    columns = [field.name for field in fields(Course)]
    every = pd.DataFrame([asdict(course) for course in judged.values()], list(judged), columns)
    cells = closed.join(every, how="inner")
    yield from _warming(cells[cells["cold_s"] > 0])
    yield from _warming_in_short_windows(closed, seconds)
    moved = cells[cells["change"].notna()]
    yield from _drifting(moved[moved["at"].isna()])
    yield from _stepping(moved[moved["at"].notna()])
    yield from _swinging(cells[cells["swing"] > 0])


@finds(SPREADS)
def spread(measured: Measurements) -> Iterator[Finding]:
    """Loads whose repeats differ; one without any success is another finding.

    Those of a rotation may: what it compares is measured within one sitting, and only ratios are its result.
    """
    closed = measured.closed[~measured.closed["rotated"]]
    served = closed[closed["requests"] > 0]
    throughput = served.groupby(["configuration", *LOAD])["throughput"]
    ratio = (throughput.max() / throughput.min()).rename("ratio").reset_index()
    for scenario, group in ratio[ratio["ratio"] > SPREAD].groupby("scenario"):
        yield SPREADS.found(
            "repeats of the same cell differ by up to "
            + by_configuration(group, lambda rows: f"{rows['ratio'].max():.2f}x"),
            spoils="the intervals there, which are wide",
            advice="measure more repeats, or on a quieter machine",
            scenario=scenario,
            cells=group,
        )


def _warming(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield WARM_UP.found(
            "the warm-up was not over when the window began: " + by_configuration(group, _first_seconds),
            spoils="throughput and latency there, which hold part of the warm-up",
            advice=f"add {group['cold_s'].max()} s or more to warmup_s",
            scenario=scenario,
            cells=group,
        )


def _warming_in_short_windows(closed: pd.DataFrame, seconds: pd.DataFrame) -> Iterator[Finding]:
    """Loads whose first second is off in the same direction in all repeats.

    In a window of few seconds a slow first one may be a warm-up or chance; the repeats tell which.
    """
    cold = closed.assign(off=first_seconds(closed, seconds)).dropna(subset="off")
    cold = cold.groupby(["configuration", *LOAD], observed=True).filter(lambda rows: beyond(rows["off"]))
    for scenario, group in cold.groupby("scenario"):
        yield WARM_UP.found(
            "the first second of the window was not like the others: "
            + by_configuration(group, lambda rows: f"{interval(rows['off'])[0] - 1:+.0%}"),
            spoils="throughput and latency there, which hold part of the warm-up",
            advice=f"use a longer warmup_s; windows of {TREND_SECONDS_S} s or more show where it ends",
            scenario=scenario,
            cells=group,
            group="note",
        )


def first_seconds(closed: pd.DataFrame, seconds: pd.DataFrame) -> pd.Series:
    """Requests of the first second over the mean of the others, for the cells with a short window."""
    off = {}
    inside = seconds[seconds["in_window"] & seconds["cell"].isin(closed.index)].sort_values("second")
    for cell, rows in inside.groupby("cell"):
        counts = rows["requests"].to_numpy(dtype=float)
        if 2 <= len(counts) < TREND_SECONDS_S and counts[1:].any():
            off[cell] = float(counts[0] / counts[1:].mean())
    return pd.Series(off, dtype=float).reindex(closed.index)


def beyond(off: pd.Series) -> bool:
    """Whether the whole interval over the repeats is further from 1 than `WARMUP`."""
    _, low, high = interval(off)
    return bool(low > 1 + WARMUP or high < 1 / (1 + WARMUP))


def _first_seconds(rows: pd.DataFrame) -> str:
    row = worst(rows, rows["off"])
    first = "its first second" if row["cold_s"] == 1 else f"its first {row['cold_s']} seconds"
    return f"{first} {row['off']:+.0%} against the rest"


def _drifting(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield DRIFTS.found(
            "throughput drifted within the window: "
            + by_configuration(
                group, lambda rows: f"{worst(rows, rows['change'])['change']:+.0%} from start to end"
            ),
            spoils="throughput there, which depends on how long was measured",
            advice="if it rises, use a longer warm-up; if it falls, a longer window shows where it ends: see "
            "memory and the chart over time",
            scenario=scenario,
            cells=group,
        )


def _stepping(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield STEPS.found(
            "throughput jumped within the window: " + by_configuration(group, _jump),
            spoils="throughput there, which is the mean of two different states",
            advice="see workers.csv and host.csv of these cells for what happened then; measure again",
            scenario=scenario,
            cells=group,
        )


def _jump(rows: pd.DataFrame) -> str:
    row = worst(rows, rows["change"])
    return f"{row['change']:+.0%} after second {int(row['at'])} (repeat {row['repeat']})"


def _swinging(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield SWINGS.found(
            "throughput swung within the window by up to "
            + by_configuration(group, lambda rows: f"{rows['swing'].max():.0%}"),
            spoils="throughput there, which depends on the moment, and the tail latency, which holds the "
            "stalls",
            advice="see the chart over time; a longer warm-up or window tells a trend from a stall",
            scenario=scenario,
            cells=group,
        )
