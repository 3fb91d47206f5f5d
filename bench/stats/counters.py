"""Cumulative counters that were sampled: how much they grew between two moments. Standard library only."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import nan
from statistics import median

# How far beyond its samples a counter may be continued, in sampling intervals.
MAX_REACH = 1.5


def at(times: Sequence[float], values: Sequence[float], moment: float) -> float:
    """The value at a moment, on the line through the samples next to it; level outside of them.

    ``times`` ascend, and there is at least one.
    """
    after = bisect_right(times, moment)
    if after in (0, len(times)):
        return values[max(0, after - 1)]
    slope = (values[after] - values[after - 1]) / (times[after] - times[after - 1])
    return slope * (moment - times[after - 1]) + values[after - 1]


def growth(
    times: Sequence[float],
    values: Sequence[float],
    start: float,
    end: float,
    *,
    born: float | None = None,
    died: float | None = None,
) -> float:
    """How much a counter grew from ``start`` to ``end``, interpolated linearly between its samples.

    It was zero until ``born`` and stands still after ``died``, where these are known. Otherwise the nearest
    slope is continued for at most ``MAX_REACH`` sampling intervals beyond the first or last sample; further
    out nothing is known and the answer is NaN.
    """
    if born is not None:
        times, values = [born, *times], [0.0, *values]
    if died is not None:
        times, values = [*times, died], [*values, values[-1]]
    if len(times) < 2:
        return nan
    before = 0.0 if born is not None else times[0] - start
    after = 0.0 if died is not None else end - times[-1]
    if not _reaches(times, max(before, after)):
        return nan

    def value(moment: float) -> float:
        if born is None and moment < times[0]:
            return values[0] - (values[1] - values[0]) / (times[1] - times[0]) * (times[0] - moment)
        if died is None and moment > times[-1]:
            return values[-1] + (values[-1] - values[-2]) / (times[-1] - times[-2]) * (moment - times[-1])
        return at(times, values, moment)

    return float(value(end) - value(start))


def rate(
    times: Sequence[float], values: Sequence[float], start: float, end: float, *, near_s: float
) -> float:
    """Growth per second between the samples nearest to ``start`` and ``end``.

    It is for counters that are sampled once or twice in a window. NaN where a sample is further than
    ``near_s`` seconds from its edge, or where both edges have the same one.
    """
    if not times:
        return nan
    first, last = (min(range(len(times)), key=lambda i: abs(times[i] - edge)) for edge in (start, end))
    if first == last or max(abs(times[first] - start), abs(times[last] - end)) > near_s:
        return nan
    return (values[last] - values[first]) / (times[last] - times[first])


def _reaches(times: Sequence[float], beyond_s: float) -> bool:
    """Whether samples at these times tell the value so many seconds before the first or after the last."""
    return beyond_s <= 0 or beyond_s <= MAX_REACH * median(
        later - earlier for earlier, later in pairwise(times)
    )
