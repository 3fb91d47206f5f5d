"""The slope of a series, with an interval that holds although each value resembles the one before.

The estimate is the median of the slopes of all pairs (Sen, "Estimates of the Regression Coefficient Based on
Kendall's Tau", JASA 63, 1968), which outliers do not move. Its interval comes from the variance of Kendall's
S. That holds for independent values; here it is multiplied by what the autocorrelation of the residuals'
ranks makes of it (Hamed & Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of
Hydrology 204, 1998), and few independent values widen it by Student's t, as Santer et al. do ("Statistical
significance of trends", Journal of Geophysical Research 105, 2000). Series may be interrupted: pairs are of
one part, and S is summed over parts, as over seasons (Hirsch, Slack & Smith, Water Resources Research 18,
1982).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95
LEAST = 8
"""Of fewer values no slope is told."""
_DEGREE = 2
# What is left of a series beside so much of it is the rounding of numbers.
_EXACT = 1e-9


@dataclass(frozen=True)
class Slope:
    """Growth for each unit of time, with its interval; `effective` is the number of independent values."""

    value: float
    low: float
    high: float
    effective: float

    @property
    def grows(self) -> bool:
        """Whether it certainly does."""
        return self.low > 0


def slope(
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    parts: npt.ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Slope | None:
    """The slope of some values over their ascending times; None of fewer than `LEAST`.

    `parts` says of each value which part of the series it belongs to; between parts there is no slope.
    """
    t, y = np.asarray(times, dtype=float), np.asarray(values, dtype=float)
    part = np.zeros(len(t), dtype=int) if parts is None else np.asarray(parts)
    if len(t) < LEAST:
        return None
    slopes = np.concatenate([_pairs(t[part == each], y[part == each]) for each in np.unique(part)])
    if not len(slopes):
        return None
    estimate = float(np.median(slopes))
    variance, factor = _variance(t, y, part)
    effective = len(t) / factor
    # With two independent values or fewer there is no telling.
    quantile = float(stdtrit(max(effective - 2, 1.0), (1 + confidence) / 2))
    low, high = _bounds(slopes, quantile * math.sqrt(variance * factor))
    return Slope(estimate, low, high, effective)


def _pairs(t: Floats, y: Floats) -> Floats:
    """The slope of each pair of a part."""
    i, j = np.triu_indices(len(t), 1)
    apart = t[j] - t[i]
    known = apart > 0
    slopes: Floats = (y[j] - y[i])[known] / apart[known]
    return slopes


def _bounds(slopes: Floats, spread: float) -> tuple[float, float]:
    """The slopes at `spread` pairs to either side of the median, in their order; infinite beyond all."""
    ordered = np.sort(slopes)
    count = len(ordered)
    low, high = math.floor((count - spread) / 2) - 1, math.ceil((count + spread) / 2)
    return (
        float(ordered[low]) if low >= 0 else -math.inf,
        float(ordered[high]) if high < count else math.inf,
    )


def _variance(t: Floats, y: Floats, part: npt.NDArray[np.int64]) -> tuple[float, float]:
    """The variance of S as if values were independent, and how much larger their likeness makes it."""
    variance, likeness, weight = 0.0, 0.0, 0
    for of_part in _of_parts(part):
        count = int(of_part.sum())
        variance += _independent(y[of_part])
        if count >= LEAST:
            likeness += count * _inflation(_residuals(t[of_part], y[of_part]))
            weight += count
    return variance, likeness / weight if weight else 1.0


def _of_parts(part: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.bool_]]:
    for each in np.unique(part):
        yield part == each


def _independent(y: Floats) -> float:
    """The variance of S of independent values, which may be equal (Kendall, Rank Correlation Methods)."""
    count = len(y)
    _, ties = np.unique(y, return_counts=True)
    of_ties = float((ties * (ties - 1) * (2 * ties + 5)).sum())
    return (count * (count - 1) * (2 * count + 5) - of_ties) / 18


def _residuals(t: Floats, y: Floats) -> Floats:
    """What a parabola leaves of the values: a series may be bent, which is no noise."""
    scaled = (t - t.mean()) / max(float(np.ptp(t)), 1e-12)
    left: Floats = y - np.polyval(np.polyfit(scaled, y, _DEGREE), scaled)
    rounding = np.ptp(left) < _EXACT * np.ptp(y)
    return np.zeros(len(y)) if rounding else left


def _inflation(residuals: Floats) -> float:
    """By how much the likeness of the ranks of residuals makes the variance of S larger; never smaller.

    Correlations count up to the first that may be none: beyond it they are noise (as Geyer's initial
    sequence, Statistical Science 7, 1992). What was fitted makes them seem smaller (Kendall, "Note on bias in
    the estimation of autocorrelation", Biometrika 41, 1954), a parabola more than the mean that was his.
    """
    count = len(residuals)
    ranks = np.asarray(pd.Series(residuals).rank(), dtype=np.float64)
    centred = ranks - ranks.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    total = 0.0
    for lag in range(1, count // 2):
        seen = float(centred[:-lag] @ centred[lag:]) / power
        likely = min(0.99, seen + (_DEGREE + (2 + _DEGREE) * max(0.0, seen)) / count)
        if likely < 1.96 / math.sqrt(count):
            break
        total += (count - lag) * (count - lag - 1) * (count - lag - 2) * likely
    return 1 + 2 * total / (count * (count - 1) * (count - 2))
