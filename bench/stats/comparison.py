"""Intervals, ratios and ranks: how certain a figure is, and whether two differ.

Everything is done on logarithms, because ratios are what is compared (Fleming & Wallace, "How not to lie
with statistics", CACM 29(3), 1986), with a 95 % confidence interval instead of a best run (Georges,
Buytaert & Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007). The intervals are
Student's: of one figure, of the differences of pairs measured in one round (Jain, "The Art of Computer
Systems Performance Analysis", 13.4.1), and Welch's for repeats that have nothing to do with each other
(13.4.2). Several that were measured in the same rounds share their scatter (`Field`).

A report takes thousands of intervals, of a few values each. Those of `scipy.stats` are the same and take a
millisecond each, and most of a second to load; its quantiles (`scipy.special`) take microseconds.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv, fdtri, stdtrit

CONFIDENCE = 0.95
# A pair answers for itself where chance would make it scatter so much in one of a hundred pairs.
OUTLYING = 0.99
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

    def within(self, margin: float) -> bool:
        """Whether the whole interval is no further from 1 than the factor `margin`."""
        return self.low >= 1 / margin and self.high <= margin

    @property
    def inverse(self) -> "Ratio":
        """How many times `other` is `one`."""
        return Ratio(1 / self.ratio, 1 / self.high, 1 / self.low, self.rounds)


def half_width(low: float, high: float) -> float:
    """How far the interval of a ratio reaches to either side, as a share: the geometric mean of both."""
    return math.sqrt(high / low) - 1


def compare(one: pd.Series, other: pd.Series) -> Ratio:
    """Compare two series indexed by repeat, pairwise within the repeats both have.

    Every repeat is one randomised block of all configurations, so what the machine did in that round
    cancels in the pair: Student's t on the differences of the logarithms. A ratio with a zero in it is
    unknown (NaN).
    """
    return _compare(one, other, None)


def _compare(one: pd.Series, other: pd.Series, noise: "_Noise | None") -> Ratio:
    if not one.index.equals(other.index):
        one, other = one.align(other, join="inner")
    both = np.column_stack([one.to_numpy(dtype=float), other.to_numpy(dtype=float)])
    both = both[~np.isnan(both).any(axis=1)]
    if not _positive(both):
        return Ratio(UNKNOWN, UNKNOWN, UNKNOWN, len(both))
    first, second = np.log(both).T
    if len(both) > 1 and noise is not None and noise.covers(first - second):
        middle = float((first - second).mean())
        half = noise.half(len(both))
        low, high = middle - half, middle + half
    else:
        middle, low, high = _students(first - second)
    ratio, low, high = np.exp([middle, low, high])
    return Ratio(float(ratio), float(low), float(high), len(both))


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


def compare_counts(one: npt.ArrayLike, other: npt.ArrayLike, *, elsewhere: tuple[int, int] = (0, 0)) -> Ratio:
    """Compare how many events there are to an occasion, by the number at each occasion, which may be zero.

    `elsewhere` are those of either side that belong to no occasion; they are spread over all. The interval is
    the exact one of the ratio of two Poisson rates (Przyborowski & Wilenski, Biometrika 31, 1940: given the
    total, one count is binomial), with events that come in clusters taken for as many fewer as their variance
    is larger than their mean. Infinite where `other` has none, unknown (NaN) where both have none.
    """
    counts = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    occasions = len(counts[0]), len(counts[1])
    totals = [float(each.sum()) + outside for each, outside in zip(counts, elsewhere, strict=True)]
    if not min(occasions) or not any(totals):
        return Ratio(UNKNOWN, UNKNOWN, UNKNOWN, min(occasions))
    first, second = (total / _cluster(counts) for total in totals)
    beyond = (1 - CONFIDENCE) / 2
    low = float(betaincinv(first, second + 1, beyond)) if first else 0.0
    high = float(betaincinv(first + 1, second, 1 - beyond)) if second else 1.0
    scale = occasions[1] / occasions[0]
    ratio, low, high = (_odds(share) * scale for share in (first / (first + second), low, high))
    return Ratio(ratio, low, high, min(occasions))


def _odds(share: float) -> float:
    return float("inf") if share == 1 else share / (1 - share)


def _cluster(samples: Sequence[Floats]) -> float:
    """By how much the variance of counts exceeds their mean, in the sample where it does most; at least 1."""
    spread = [
        float(np.var(each, ddof=1) / each.mean()) for each in samples if len(each) > 1 and each.sum() > 0
    ]
    return max([1.0, *spread])


def difference(one: npt.ArrayLike, other: npt.ArrayLike) -> tuple[float, float, float]:
    """`one` less `other` (means) with Welch's 95 % interval, for figures that may be zero."""
    first, second = _known(one), _known(other)
    if not (len(first) and len(second)):
        return UNKNOWN, UNKNOWN, UNKNOWN
    return _welch(first, second)


def arithmetic(values: npt.ArrayLike) -> tuple[float, float, float]:
    """Arithmetic mean of `values`, which may be zero or less, and its 95 % interval by Student's t.

    With one value the bounds are NaN; with none all three are.
    """
    known = _known(values)
    return _students(known) if len(known) else (UNKNOWN, UNKNOWN, UNKNOWN)


def _students(sample: Floats) -> tuple[float, float, float]:
    """The mean of a sample and its interval by Student's t; unknown bounds where it has one value."""
    middle, count = float(sample.mean()), len(sample)
    if count < 2:
        return middle, UNKNOWN, UNKNOWN
    half = _quantile(count - 1) * float(sample.std(ddof=1)) / float(np.sqrt(count))
    return middle, middle - half, middle + half


def _welch(one: Floats, other: Floats) -> tuple[float, float, float]:
    """The difference of the means and its interval; unknown bounds where a side has one value."""
    apart = float(one.mean() - other.mean())
    if min(len(one), len(other)) < 2:
        return apart, UNKNOWN, UNKNOWN
    first, second = float(one.var(ddof=1)) / len(one), float(other.var(ddof=1)) / len(other)
    if first + second == 0:  # repeats that are all equal have no variance: the interval is a point
        return apart, apart, apart
    # The degrees of freedom are Welch's and Satterthwaite's.
    freedom = (first + second) ** 2 / (first**2 / (len(one) - 1) + second**2 / (len(other) - 1))
    half = _quantile(freedom) * float(np.sqrt(first + second))
    return apart, apart - half, apart + half


@lru_cache(maxsize=1024)
def _quantile(freedom: float) -> float:
    """How many standard errors of a mean its interval reaches to either side, by Student's t."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


@lru_cache(maxsize=1024)
def _outlying(one: int, other: int) -> float:
    """The ratio of two variances, of so many degrees of freedom, that chance exceeds once in a hundred."""
    return float(fdtri(one, other, OUTLYING))


def _known(values: npt.ArrayLike) -> Floats:
    sample: Floats = np.asarray(values, dtype=float)
    known: Floats = sample[~np.isnan(sample)]
    return known


def _positive(sample: Floats) -> bool:
    """Whether there is something, and all of it has a logarithm."""
    return bool(len(sample)) and bool(np.all(sample > 0))


class Field:
    """Configurations that were measured in the same repeats: a column each, a row per repeat.

    There may be several frames of them, one for each condition that they were measured under.

    All of them scatter about as much from repeat to repeat once what a repeat did to all is taken off, and
    there are many of them but few repeats. So the scatter is estimated from all together, the residuals of a
    randomised complete block design (Jain, "The Art of Computer Systems Performance Analysis", 21; Fisher's
    least significant difference), which leaves (repeats - 1) x (configurations - 1) degrees of freedom: with
    five repeats of ten, Student's t is 2.0 instead of 2.8. A pair that certainly scatters more than the rest
    (F test at 1 %) answers for itself, as does one of two alone (`compare`).
    """

    def __init__(self, frames: pd.DataFrame | Sequence[pd.DataFrame]) -> None:
        self._frames = [frames] if isinstance(frames, pd.DataFrame) else list(frames)
        self._noise = [_Noise.of(frame) for frame in self._frames]

    def __contains__(self, name: object) -> bool:
        """Whether a configuration is known under every condition."""
        return all(name in frame for frame in self._frames)

    def compare(self, one: str, other: str) -> Ratio:
        """Compare two of them, within the repeats that both have.

        Where conditions disagree there is no ratio that is theirs: the interval reaches from the least that
        any of them leaves open to the most, so that what is certain is certain under each. The ratio is the
        geometric mean.
        """
        found = [
            _compare(frame[one], frame[other], noise)
            for frame, noise in zip(self._frames, self._noise, strict=True)
        ]
        if len(found) == 1:
            return found[0]
        every = np.array([(each.ratio, each.low, each.high) for each in found])
        # An unknown one leaves all unknown.
        ratio, low, high = np.exp(np.log(every[:, 0]).mean()), every[:, 1].min(), every[:, 2].max()
        return Ratio(float(ratio), float(low), float(high), min(each.rounds for each in found))

    def rank(
        self, names: Collection[str] | None = None, *, higher_is_better: bool, margin: float = MATERIAL
    ) -> pd.Series:
        """Rank those of `names`, or all: 1 + how many of them are certainly better.

        Certainly means that the whole interval is further from 1 than the factor `margin`, under each
        condition. Two that tie do not outrank each other and may share a rank. One of which only one repeat
        is known, or that has a zero in it, has no rank (NA).
        """
        chosen = [str(name) for name in self._frames[0] if names is None or name in names]
        known = [name for name in chosen if all(_rankable(frame[name]) for frame in self._frames)]
        better: dict[Any, int] = dict.fromkeys(known, 1)
        for name, rival in permutations(known, 2):
            versus = self.compare(rival, name)
            if versus.beyond(margin) and (versus.ratio > 1) == higher_is_better:
                better[name] += 1
        return pd.Series(better, dtype="Int64").reindex(chosen)


@dataclass(frozen=True)
class _Noise:
    """The variance of a logarithm from repeat to repeat, and the degrees of freedom that it is known with."""

    variance: float
    freedom: int

    @classmethod
    def of(cls, values: pd.DataFrame) -> "_Noise | None":
        """That of configurations which are known in every repeat; None of fewer than three."""
        known = values.loc[:, (values > 0).all()]
        repeats, count = known.shape
        if repeats < 2 or count < 3:
            return None
        logs = np.log(known.to_numpy(dtype=float))
        left = logs - logs.mean(axis=0) - logs.mean(axis=1, keepdims=True) + logs.mean()
        freedom = (repeats - 1) * (count - 1)
        return cls(float((left**2).sum()) / freedom, freedom)

    def covers(self, differences: Floats) -> bool:
        """Whether the differences of a pair scatter no more than chance lets those of the others."""
        limit = _outlying(len(differences) - 1, self.freedom)
        return bool(differences.var(ddof=1) <= 2 * self.variance * limit)

    def half(self, repeats: int) -> float:
        """Half the width of the interval of a mean difference, on logarithms."""
        return _quantile(self.freedom) * float(np.sqrt(2 * self.variance / repeats))


def _rankable(column: pd.Series) -> bool:
    return bool((column.dropna() > 0).all() and column.count() > 1)
