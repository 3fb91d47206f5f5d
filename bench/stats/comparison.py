"""Intervals, ratios and ranks: how certain a figure is, and whether two differ.

Everything is done on logarithms, because ratios are what is compared (Fleming & Wallace, "How not to lie
with statistics", CACM 29(3), 1986), with a 95 % confidence interval instead of a best run (Georges,
Buytaert & Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007). The intervals are
Student's: of one figure, of the differences of pairs measured in one round (Jain, "The Art of Computer Systems
Performance Analysis", 13.4.1), and Welch's for repeats that have nothing to do with each other (13.4.2).

A report takes thousands of them, of a few values each. `scipy.stats` has the same intervals, and takes a
millisecond for each and most of a second to load; its quantiles (`scipy.special`) take microseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95
# Differences of less than 2 % are no reason to choose a server, however certain they are.
MATERIAL = 1.02
UNKNOWN = float("nan")

Floats = npt.NDArray[np.float64]


def interval(values: npt.ArrayLike) -> tuple[float, float, float]:
    """Geometric mean of positive `values` and its 95 % interval, by Student's t on the logarithms.

    With one value the bounds are NaN; with none, or one that is missing or zero, all three are.
    """
    sample = np.asarray(values, dtype=float)
    if not _positive(sample):
        return UNKNOWN, UNKNOWN, UNKNOWN
    if len(sample) == 1:
        return float(sample[0]), UNKNOWN, UNKNOWN
    middle, low, high = np.exp(_students(np.log(sample)))
    return float(middle), float(low), float(high)


def mean(values: npt.ArrayLike) -> float:
    """Geometric mean of positive `values`, missing ones left out; NaN if none is known or one is zero."""
    return interval(_known(values))[0]


@dataclass(frozen=True)
class Ratio:
    """How many times `one` is `other`, with its 95 % interval; `rounds` is how many repeats it rests on."""

    ratio: float
    low: float
    high: float
    rounds: int

    @property
    def tie(self) -> bool:
        """Whether one may be within `MATERIAL` of the other; an unknown interval leaves it open."""
        return not self.beyond(MATERIAL)

    def beyond(self, margin: float) -> bool:
        """Whether the whole interval is further from 1 than the factor `margin`, on either side."""
        return self.low > margin or self.high < 1 / margin

    @property
    def inverse(self) -> "Ratio":
        """How many times `other` is `one`."""
        return Ratio(1 / self.ratio, 1 / self.high, 1 / self.low, self.rounds)


def compare(one: pd.Series, other: pd.Series) -> Ratio:
    """Compare two series indexed by repeat, pairwise within the repeats both have.

    Every repeat is one randomised block of all configurations, so what the machine did in that round
    cancels in the pair: Student's t on the differences of the logarithms. A ratio with a zero in it is unknown
    (NaN).
    """
    if not one.index.equals(other.index):
        one, other = one.align(other, join="inner")
    both = np.column_stack([one.to_numpy(dtype=float), other.to_numpy(dtype=float)])
    both = both[~np.isnan(both).any(axis=1)]
    if not _positive(both):
        return Ratio(UNKNOWN, UNKNOWN, UNKNOWN, len(both))
    first, second = np.log(both).T
    ratio, low, high = np.exp(_students(first - second))
    return Ratio(float(ratio), float(low), float(high), len(both))


def compare_by(pairs: Sequence[tuple[pd.Series, pd.Series]]) -> Ratio:
    """Compare two that were measured under several conditions, a pair of series for each.

    Where the conditions disagree there is no ratio that is theirs: the interval reaches from the least that
    any of them leaves open to the most, so that what is certain is certain under each. The ratio is the
    geometric mean.
    """
    found = [compare(one, other) for one, other in pairs]
    if len(found) == 1:
        return found[0]
    every = np.array([(each.ratio, each.low, each.high) for each in found])
    # An unknown one leaves all unknown.
    ratio, low, high = np.exp(np.log(every[:, 0]).mean()), every[:, 1].min(), every[:, 2].max()
    return Ratio(float(ratio), float(low), float(high), min(each.rounds for each in found))


def compare_unpaired(one: npt.ArrayLike, other: npt.ArrayLike) -> Ratio:
    """Compare repeats of two runs, which no round ties together: Welch's t on the logarithms.

    `rounds` is the smaller of the two numbers of repeats. Missing values are left out; a ratio with a zero
    in it is unknown (NaN), and so are the bounds where either side has one repeat.
    """
    first, second = _known(one), _known(other)
    rounds = min(len(first), len(second))
    if not (_positive(first) and _positive(second)):
        return Ratio(UNKNOWN, UNKNOWN, UNKNOWN, rounds)
    ratio, low, high = np.exp(_welch(np.log(first), np.log(second)))
    return Ratio(float(ratio), float(low), float(high), rounds)


def difference(one: npt.ArrayLike, other: npt.ArrayLike) -> tuple[float, float, float]:
    """`one` less `other` (means) with Welch's 95 % interval, for figures that may be zero."""
    first, second = _known(one), _known(other)
    if not (len(first) and len(second)):
        return UNKNOWN, UNKNOWN, UNKNOWN
    return _welch(first, second)


def _students(sample: Floats) -> tuple[float, float, float]:
    """The mean of a sample and its interval by Student's t; unknown bounds where it has one value."""
    middle, count = float(sample.mean()), len(sample)
    if count < 2:
        return middle, UNKNOWN, UNKNOWN
    half = _quantile(count - 1) * float(sample.std(ddof=1)) / np.sqrt(count)
    return middle, middle - half, middle + half


def _welch(one: Floats, other: Floats) -> tuple[float, float, float]:
    """The difference of the means and its interval; unknown bounds where a side has one value."""
    apart = float(one.mean() - other.mean())
    if min(len(one), len(other)) < 2:
        return apart, UNKNOWN, UNKNOWN
    first, second = float(one.var(ddof=1)) / len(one), float(other.var(ddof=1)) / len(other)
    if first + second == 0:  # repeats that are all equal have no variance: the interval is a point
        return apart, apart, apart
    # Welch's and Satterthwaite's degrees of freedom.
    freedom = (first + second) ** 2 / (first**2 / (len(one) - 1) + second**2 / (len(other) - 1))
    half = _quantile(freedom) * float(np.sqrt(first + second))
    return apart, apart - half, apart + half


@lru_cache(maxsize=1024)
def _quantile(freedom: float) -> float:
    """How many standard errors of a mean its interval reaches to either side."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _known(values: npt.ArrayLike) -> Floats:
    sample: Floats = np.asarray(values, dtype=float)
    known: Floats = sample[~np.isnan(sample)]
    return known


def _positive(sample: Floats) -> bool:
    """Whether there is something, and all of it has a logarithm."""
    return bool(len(sample)) and bool(np.all(sample > 0))


def rank(
    values: pd.DataFrame | Sequence[pd.DataFrame], *, higher_is_better: bool, margin: float = MATERIAL
) -> pd.Series:
    """Rank columns (configurations) of a frame indexed by repeat: 1 + how many are certainly better.

    Certainly means that the whole interval is further from 1 than the factor `margin`; with a frame for each
    of several conditions, under each of them (`compare_by`). Two that tie do not outrank each other and may
    share a rank. A column of which only one repeat is known, or that has a zero in it, has no rank (NA).
    """
    frames = [values] if isinstance(values, pd.DataFrame) else list(values)
    known = [name for name in frames[0] if all(_rankable(frame[name]) for frame in frames)]
    better: dict[Any, int] = dict.fromkeys(known, 1)
    for name in known:
        for rival in known:
            if rival == name:
                continue
            versus = compare_by([(frame[rival], frame[name]) for frame in frames])
            if versus.beyond(margin) and (versus.ratio > 1) == higher_is_better:
                better[name] += 1
    return pd.Series(better, dtype="Int64").reindex(list(frames[0].columns))


def _rankable(column: pd.Series) -> bool:
    return bool((column.dropna() > 0).all() and column.count() > 1)
