"""Intervals, ratios and ranks: how certain a figure is, and whether two differ.

Everything is done on logarithms, because ratios are what is compared (Fleming & Wallace, "How not to lie
with statistics", CACM 29(3), 1986), with a 95 % confidence interval instead of a best run (Georges,
Buytaert & Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007). The intervals are
Student's: of one figure, of the differences of pairs measured in one round (Jain, "The Art of Computer
Systems Performance Analysis", 13.4.1), and Welch's for repeats that have nothing to do with each other
(13.4.2). Several that were measured in the same rounds lend each other some of their scatter (`Field`).

A report takes thousands of intervals, of a few values each. Those of `scipy.stats` are the same and take a
millisecond each, and most of a second to load; its quantiles (`scipy.special`) take microseconds.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import betaincinv, stdtrit

CONFIDENCE = 0.95
# What the scatter of all weighs beside a configuration's own, in degrees of freedom (`_Scatter`) ...
PRIOR = 1.0
# ... if there are so many: fewer tell no more of a pair than the pair itself.
LEAST = 6
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


def _compare(one: pd.Series, other: pd.Series, half: Callable[[int], float] | None) -> Ratio:
    """As `compare`; `half` is half the width of the interval, on logarithms, by the number of pairs."""
    if not one.index.equals(other.index):
        one, other = one.align(other, join="inner")
    both = np.column_stack([one.to_numpy(dtype=float), other.to_numpy(dtype=float)])
    both = both[~np.isnan(both).any(axis=1)]
    if not _positive(both):
        return Ratio(UNKNOWN, UNKNOWN, UNKNOWN, len(both))
    first, second = np.log(both).T
    middle, low, high = _students(first - second)
    if half is not None and len(both) > 1:
        low, high = middle - half(len(both)), middle + half(len(both))
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

    What a repeat did to all of them is known from all of them (a randomised complete block design: Jain, "The
    Art of Computer Systems Performance Analysis", 21), and what is left is the scatter of each. As there are
    few repeats, it is moderated by that of the others (`_Scatter`): with five repeats of eight, the interval
    of a ratio is a tenth narrower than Student's of the two alone, as they have it where there are fewer than
    `LEAST` (`compare`).
    """

    def __init__(self, frames: pd.DataFrame | Sequence[pd.DataFrame]) -> None:
        self._frames = [frames] if isinstance(frames, pd.DataFrame) else list(frames)
        self._scatter = [_Scatter.of(frame) for frame in self._frames]

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
            _compare(frame[one], frame[other], None if scatter is None else partial(scatter.half, one, other))
            for frame, scatter in zip(self._frames, self._scatter, strict=True)
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
class _Scatter:
    """What of a logarithm varies from repeat to repeat, for each configuration by itself.

    One server may vary more from start to start than another, so each has a variance of its own, which few
    repeats know badly. It is moderated as that of a gene among many (Smyth, "Linear Models and Empirical
    Bayes Methods", SAGMB 3(1), 2004): a mean of its own and that of all, weighted by degrees of freedom.
    Smyth estimates how many the latter is worth. That takes many genes: from eight servers the estimate is
    infinite most of the time, and the interval of one which varies twice as much then holds the truth in
    87 % of runs. So it is `PRIOR`, as if each had been started once more and had varied as all do.
    """

    own: Mapping[str, float]
    """The variance of each configuration, by itself."""
    freedoms: Mapping[str, float]
    """The degrees of freedom that it is known with."""
    whole: frozenset[str]
    """Those that are known in every repeat, ..."""
    common: float
    """... and the mean of their variances."""
    most: int
    """The degrees of freedom of all of them together: no difference is known with more."""

    @classmethod
    def of(cls, values: pd.DataFrame) -> "_Scatter | None":
        """That of the columns known in two repeats or more; None unless `LEAST` are in every repeat."""
        table = values.to_numpy(dtype=float)
        logs = np.log(np.where(table > 0, table, np.nan))
        known = (~np.isnan(logs)).sum(axis=0)
        whole, several = known == len(logs), known > 1
        repeats, count = len(logs), int(whole.sum())
        if repeats < 2 or count < LEAST:
            return None
        left = logs - logs[:, whole].mean(axis=1, keepdims=True)
        own = np.nanvar(left[:, several], axis=0, ddof=1)
        # What was taken off is a mean, which varies itself, and which those in every repeat are part of:
        # Grubbs, "On Estimating Precision of Measuring Instruments", JASA 43(242), 1948.
        common = float(own[whole[several]].mean()) * count / (count - 1)
        own = np.maximum(own - common / count, 0.0)
        own[whole[several]] *= count / (count - 2)
        # Of equals, the sum of two such estimates varies as with so many degrees of freedom each.
        freedoms = (known[several] - 1) * (count - 1) / (count + 1)
        names = [str(name) for name in values.columns[several]]
        return cls(
            dict(zip(names, own.tolist(), strict=True)),
            dict(zip(names, freedoms.tolist(), strict=True)),
            frozenset(map(str, values.columns[whole])),
            common,
            (repeats - 1) * (count - 1),
        )

    def half(self, one: str, other: str, repeats: int) -> float:
        """Half the width of the interval of a mean difference, on logarithms, by Student's t."""
        shares = {name: self.freedoms[name] / (PRIOR + self.freedoms[name]) for name in (one, other)}
        rest = 2 - sum(shares.values())
        variance = rest * self.common + sum(share * self.own[name] for name, share in shares.items())
        if variance == 0:  # repeats that are all equal have no variance: the interval is a point
            return 0.0
        weights = dict.fromkeys(self.whole, rest / len(self.whole))
        for name, share in shares.items():
            weights[name] = weights.get(name, 0.0) + share
        # The degrees of freedom of such a sum are Satterthwaite's (Biometrics Bulletin 2(6), 1946).
        spread = sum((weight * self.own[name]) ** 2 / self.freedoms[name] for name, weight in weights.items())
        freedom = min(variance**2 / spread, self.most) if spread else self.most
        return _quantile(freedom) * math.sqrt(variance / repeats)


def _rankable(column: pd.Series) -> bool:
    return bool((column.dropna() > 0).all() and column.count() > 1)
