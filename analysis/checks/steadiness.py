"""Did a closed loop run evenly: warm when the window began, level within it, alike in every repeat?

Open loops are left out. Their throughput is given, and near saturation the service time of one second is
no more like the next than queues are: a trend cannot be told from chance. What they show instead is
whether they reached their rate.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from analysis.checks.findings import Finding, each, loads, names, worst
from analysis.checks.limits import SPREAD, TREND_SECONDS_S, UNSTEADY, WARMUP, WARMUP_SHORT
from analysis.checks.trends import Floats, apart, settled, trend
from analysis.summary import LOAD


@dataclass(frozen=True)
class Course:
    """How the throughput of one cell went.

    `cold_s` is how many seconds of the window are still warm-up, `off` how far these are from the rest (a
    share). `change` is that of a trend (a share of the
    mean; NaN if there is none), `at` the second after which it jumped (NaN if it drifted). `swing` is the
    largest deviation of a second from the mean that none of these explains (0 if tolerable).
    """

    short: bool
    cold_s: int
    off: float
    change: float
    at: float
    swing: float


def course(counts: Floats, warmup_s: int, users: int) -> Course:
    """Judge the successful requests of every whole second of a cell, of which `warmup_s` are warm-up."""
    window = counts[warmup_s:]
    short = len(window) < TREND_SECONDS_S
    cold = _cold_short(window, users) if short else _cold(counts, warmup_s, users)
    found = None if short or cold else trend(window, users)
    explained = found is not None or (cold and not short)
    return Course(
        short=short,
        cold_s=cold,
        off=float(window[:cold].mean() / window[cold:].mean() - 1) if cold else 0.0,
        change=found.change if found else math.nan,
        at=math.nan if found is None or found.at is None else found.at,
        swing=0.0 if explained else _swing(window, users),
    )


def _cold(counts: Floats, warmup_s: int, users: int) -> int:
    """Seconds of the window that do not belong to the rest and, together, certainly differ from it."""
    tolerance = max(WARMUP * counts[warmup_s:].mean(), users)
    drop = settled(counts, tolerance)
    if drop is None or drop <= warmup_s:
        return 0
    early, rest = counts[warmup_s:drop], counts[drop:]
    cold = abs(early.mean() - rest.mean()) > tolerance and apart(early, rest)
    return drop - warmup_s if cold else 0


def _cold_short(window: Floats, users: int) -> int:
    """1 if the first second of a short window differs from the mean of the others."""
    if len(window) < 2:
        return 0
    rest = window[1:].mean()
    return int(abs(window[0] - rest) > max(WARMUP_SHORT * rest, users) and rest > 0)


def _swing(window: Floats, users: int) -> float:
    """The largest deviation of a second from the window's mean, as a share; 0 if tolerable."""
    mean = window.mean()
    deviation = float(np.abs(window - mean).max())
    # What `users` have in flight may fall on either side of a second's end.
    return 0.0 if deviation <= max(UNSTEADY * mean, users) else deviation / float(mean)


def courses(closed: pd.DataFrame, seconds: pd.DataFrame) -> dict[Any, Course]:
    """The `Course` of every closed-loop cell; `seconds` has `cell`, `second`, `requests`, `in_window`."""
    users = closed["users"].to_dict()
    judged: dict[Any, Course] = {}
    for cell, rows in seconds[seconds["cell"].isin(closed.index)].groupby("cell"):
        ordered = rows.sort_values("second")
        counts = ordered["requests"].to_numpy(dtype=float)
        inside = ordered["in_window"].to_numpy(dtype=bool)
        begun = counts[: int(np.flatnonzero(inside)[-1]) + 1]
        judged[cell] = course(begun, int(np.argmax(inside)), int(users[cell]))
    return judged


def steadiness(closed: pd.DataFrame, seconds: pd.DataFrame) -> Iterator[Finding]:
    """Cells that were still warming up, drifted, stepped or swung."""
    judged = courses(closed, seconds)
    columns = [field.name for field in fields(Course)]
    every = pd.DataFrame([asdict(course) for course in judged.values()], list(judged), columns)
    cells = closed.join(every, how="inner")
    yield from _warming(cells[cells["cold_s"] > 0])
    moved = cells[cells["change"].notna()]
    yield from _drifting(moved[moved["at"].isna()])
    yield from _stepping(moved[moved["at"].notna()])
    yield from _unsteady(cells[cells["swing"] > 0])


def _warming(cells: pd.DataFrame) -> Iterator[Finding]:
    for (scenario, short), group in cells.groupby(["scenario", "short"]):
        yield Finding(
            "warm-up", "note" if short else "warning",
            "the warm-up was not over when the window began: " + each(group, _first_seconds),
            "throughput and latency there, which hold part of the warm-up",
            f"add {group['cold_s'].max()} s or more to warmup_s"
            + (f"; windows of {TREND_SECONDS_S} s or more tell a warm-up from a stall" if short else ""),
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _first_seconds(rows: pd.DataFrame) -> str:
    row = worst(rows, rows["off"])
    first = "its first second" if row["cold_s"] == 1 else f"its first {row['cold_s']} seconds"
    return f"{first} {row['off']:+.0%} against the rest"


def _drifting(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield Finding(
            "drift", "warning",
            "throughput drifted within the window: "
            + each(group, lambda rows: f"{worst(rows, rows['change'])['change']:+.0%} from start to end"),
            "throughput there, which depends on how long was measured",
            "a longer warm-up if it rises; if it falls, a longer window shows where it ends: see memory "
            "and the chart over time",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _stepping(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield Finding(
            "step", "warning",
            "throughput jumped within the window: " + each(group, _jump),
            "throughput there, which is the mean of two different states",
            "see workers.csv and host.csv of these cells for what happened then; measure again",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _jump(rows: pd.DataFrame) -> str:
    row = worst(rows, rows["change"])
    return f"{row['change']:+.0%} after second {int(row['at'])} (repeat {row['repeat']})"


def _unsteady(cells: pd.DataFrame) -> Iterator[Finding]:
    for scenario, group in cells.groupby("scenario"):
        yield Finding(
            "unsteady", "warning",
            "throughput swung within the window by up to "
            + each(group, lambda rows: f"{rows['swing'].max():.0%}"),
            "throughput there, which depends on the moment, and the tail latency, which holds the stalls",
            "see the chart over time; a longer warm-up or window tells a trend from a stall",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def spread(closed: pd.DataFrame) -> Iterator[Finding]:
    """Loads whose repeats differ."""
    throughput = closed.groupby(["configuration", *LOAD])["throughput"]
    ratio = (throughput.max() / throughput.min()).rename("ratio").reset_index()
    for scenario, group in ratio[ratio["ratio"] > SPREAD].groupby("scenario"):
        yield Finding(
            "spread", "note",
            "repeats of the same cell differ by up to "
            + each(group, lambda rows: f"{rows['ratio'].max():.2f}x"),
            "the intervals there, which are wide",
            "more repeats, or a quieter machine",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
