"""When nothing was answered, and how long requests took beside replacements and away from them.

All of it about one cell: times are arrays of Unix seconds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.recycling.limits import NEAR_S

Floats = npt.NDArray[np.float64]
UNKNOWN = float("nan")


@dataclass(frozen=True)
class Gaps:
    """The times without a completed request in a window, in their order; together they fill it."""

    begin: Floats
    end: Floats

    @property
    def longest_s(self) -> float:
        """The longest of all."""
        return float((self.end - self.begin).max())

    def longest_over_s(self, begin: Floats, end: Floats) -> Floats:
        """The longest that overlaps each of some intervals, NaN for one that is not in the window."""
        first = np.searchsorted(self.end, begin, side="left")
        after = np.searchsorted(self.begin, end, side="right")
        length = self.end - self.begin
        return np.array(
            [length[i:j].max() if i < j else UNKNOWN for i, j in zip(first, after, strict=True)], dtype=float
        )


def gaps(completed: Floats, start: float, end: float) -> Gaps:
    """The gaps between requests that were `completed` from `start` to `end` of a window."""
    inside = np.sort(completed[(completed > start) & (completed < end)])
    edges = np.concatenate([[start], inside, [end]])
    return Gaps(edges[:-1], edges[1:])


def slowest_over_s(due: Floats, ended: Floats, begin: Floats, end: Floats) -> Floats:
    """For each interval the longest time from due to ended of requests that overlap it; NaN: none does."""
    if not len(due):
        return np.full(len(begin), UNKNOWN)
    order = np.argsort(due)
    due, ended = due[order], ended[order]
    # Requests due earlier than this before an interval began had ended by then.
    reach = float((ended - due).max())
    first = np.searchsorted(due, begin - reach, side="left")
    after = np.searchsorted(due, end, side="right")
    slowest = np.full(len(begin), UNKNOWN)
    for place, (i, j) in enumerate(zip(first, after, strict=True)):
        in_flight = ended[i:j] >= begin[place]
        if in_flight.any():
            slowest[place] = (ended[i:j] - due[i:j])[in_flight].max()
    return slowest


def slowest_outside_s(due: Floats, ended: Floats, begin: Floats, end: Floats) -> float:
    """The longest time of the requests that come near none of the intervals (`NEAR_S`); NaN: all do."""
    opens, closes = merged(begin - NEAR_S, end + NEAR_S)
    following = np.searchsorted(closes, due, side="left")
    opening = np.append(opens, np.inf)[following]
    outside = opening > ended
    return float((ended - due)[outside].max()) if outside.any() else UNKNOWN


def merged(begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """The union of some intervals as intervals that do not touch, in their order."""
    if not len(begin):
        return begin, end
    order = np.argsort(begin)
    begin, reached = begin[order], np.maximum.accumulate(end[order])
    fresh = np.append(True, begin[1:] > reached[:-1])
    last = np.append(np.flatnonzero(fresh)[1:] - 1, len(begin) - 1)
    return begin[fresh], reached[last]


def none_left(ready: Floats, died: Floats, start: float, end: float) -> tuple[int, float]:
    """How often and how long (s) in all no worker was ready; `died` is NaN for those that live on."""
    alive = ~np.isnan(ready)
    opens, closes = merged(ready[alive], np.where(np.isnan(died), np.inf, died)[alive])
    # Between two unions of lives, before the first and after the last, no worker is ready.
    away_from = np.clip(np.append(-np.inf, closes), start, end)
    away_until = np.clip(np.append(opens, np.inf), start, end)
    length = away_until - away_from
    return int((length > 0).sum()), float(length.sum())


def short_of(workers: int, ready: Floats, died: Floats, start: float, end: float) -> tuple[int, float]:
    """The fewest workers that were ready at a time, and how long (s) in all fewer were than there are to be.

    `died` is NaN for those that live on.
    """
    alive = ~np.isnan(ready)
    came, went = np.sort(ready[alive]), np.sort(died[alive & ~np.isnan(died)])
    inside = np.concatenate([came, went])
    edges = np.concatenate([[start], np.sort(inside[(inside > start) & (inside < end)]), [end]])
    counts = np.searchsorted(came, edges[:-1], side="right") - np.searchsorted(went, edges[:-1], side="right")
    return int(counts.min()), float((edges[1:] - edges[:-1])[counts < workers].sum())


def busiest_share(
    began: Floats, pid: npt.NDArray[np.int64], ready: Floats, died: Floats, start: float, end: float
) -> float:
    """Share of the requests that went to the busiest of the workers that live side by side.

    `began` and `pid` are those of handlers, `ready` and `died` of workers. Between two changes of the set of
    ready workers the busiest one's requests are counted, where there are two workers or more; NaN if there
    never were.
    """
    alive = ~np.isnan(ready)
    births, deaths = np.sort(ready[alive]), np.sort(died[alive & ~np.isnan(died)])
    changes = np.sort(np.concatenate([births, deaths]))
    side_by_side = (
        np.searchsorted(births, began, side="right") - np.searchsorted(deaths, began, side="right")
    ) >= 2
    counted = side_by_side & (began >= start) & (began < end)
    if not counted.any():
        return UNKNOWN
    spell = np.searchsorted(changes, began[counted], side="right")
    _, codes = np.unique(pid[counted], return_inverse=True)
    _, where, counts = np.unique(spell * (codes.max() + 1) + codes, return_index=True, return_counts=True)
    busiest = np.zeros(int(spell.max()) + 1)
    np.maximum.at(busiest, spell[where], counts)
    return float(busiest.sum() / counts.sum())
