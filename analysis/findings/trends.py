"""Trends in a short series of equal time steps: where it settles, whether it drifts, where it jumps.

The series are throughputs per second, so a trend must also be larger than `least`: what is in flight may
be counted on either side of a second's end.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # which loads `scipy.stats` when that is used: it takes most of a second
from scipy.special import stdtrit

# Change of throughput from the first to the last second of a window that is called a drift.
DRIFT = 0.10
# Difference between the means before and after a second that is called a step.
STEP = 0.15
# A step, and a warm-up within the window, must be less likely than this to be noise.
CHANCE = 0.01

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trend:
    """A change as a share of the mean; `at` is the index from which on it jumped, None if it drifted."""

    change: float
    at: int | None


def settled(values: Floats, tolerance: float) -> int | None:
    """How many leading values do not belong to the rest; None if half or more: the series never settled.

    MSER (White, "An effective truncation heuristic for bias reduction in simulation output", Simulation
    69(6), 1997) drops as many as give the mean of the rest the smallest standard error, at most half. In
    series of so few values it drops sound ones too, so what it dropped last is taken back as long as it is
    within `tolerance` of the mean of the rest.
    """
    half = len(values) // 2
    errors = [float(np.var(values[drop:])) / (len(values) - drop) for drop in range(half + 1)]
    drop = int(np.argmin(errors))
    rest = float(values[drop:].mean())
    while drop and abs(values[drop - 1] - rest) <= tolerance:
        drop -= 1
    return drop if drop < half or drop == 0 else None


def apart(one: Floats, rest: Floats) -> bool:
    """Whether the mean of a few values is further from that of the rest than the rest's own noise explains.

    Student's t with the variance of `rest`, of which there must be two: `one` may be a single value.
    """
    error = rest.std(ddof=1) * np.sqrt(1 / len(one) + 1 / len(rest))
    off = abs(one.mean() - rest.mean())
    return bool(off > stdtrit(len(rest) - 1, 1 - CHANCE / 2) * error)


def trend(values: Floats, least: float) -> Trend | None:
    """The drift or the step in `values`, whichever describes them better; None if there is neither."""
    if not values.mean() > 0:
        return None
    drifted, stepped = _drift(values, least), _step(values, least)
    if drifted and stepped and stepped.at is not None:
        return stepped if _left_by_step(values, stepped.at) < _left_by_line(values) else drifted
    return drifted or stepped


def _drift(values: Floats, least: float) -> Trend | None:
    """By the slope of Theil and Sen (Sen, JASA 63, 1968), if its 95 % interval excludes zero."""
    slope = scipy.stats.theilslopes(values, np.arange(len(values)), alpha=0.95)
    if slope.low_slope <= 0 <= slope.high_slope:
        return None
    change = float(slope.slope) * (len(values) - 1)
    if abs(change) <= max(least, DRIFT * values.mean()):
        return None
    return Trend(change / float(values.mean()), None)


def _step(values: Floats, least: float) -> Trend | None:
    """At the split that leaves least variance (two values on each side), if Welch's t tells them apart."""
    splits = range(2, len(values) - 1)
    if not splits:
        return None
    at = min(splits, key=lambda split: _left_by_step(values, split))
    before, after = values[:at], values[at:]
    change = float(after.mean() - before.mean())
    if abs(change) <= max(least, STEP * values.mean()):
        return None
    # Bonferroni: the best of so many splits was picked.
    chance = _chance(before, after) * len(splits)
    return Trend(change / float(values.mean()), at) if chance < CHANCE else None


def _chance(before: Floats, after: Floats) -> float:
    """Of such a difference between the means of two samples of one population (Welch)."""
    if before.std() == after.std() == 0:
        return 0.0
    with warnings.catch_warnings():
        # Nearly equal values leave nearly no variance, which is what a clean step looks like.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        return float(scipy.stats.ttest_ind(before, after, equal_var=False).pvalue)


def _left_by_step(values: Floats, at: int) -> float:
    """Sum of squares around the means before and after `at`."""
    before, after = values[:at], values[at:]
    return float(((before - before.mean()) ** 2).sum() + ((after - after.mean()) ** 2).sum())


def _left_by_line(values: Floats) -> float:
    """Sum of squares around the straight line of least squares."""
    times = np.arange(len(values))
    return float(((values - np.polyval(np.polyfit(times, values, 1), times)) ** 2).sum())
