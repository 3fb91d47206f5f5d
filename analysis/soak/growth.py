"""Does it grow for ever, or does a cache fill? From a series of a soak to a verdict, and its certainty."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bench.stats.slopes import CONFIDENCE, LEAST, Slope, slope

Floats = npt.NDArray[np.float64]
Legs = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.bool_]
Kind = Literal["grows", "filling", "slows", "steady", "unshown", "undecided", "short", "bounded"]

WARM_UP = 0.1
"""The share of a leg, from its begin, that is left out: imports, connections, arenas of the allocator."""
WARM_UP_S = 300.0
MOST_WARM_UP = 0.3
"""At least so many seconds are, but at most this share."""
CERTAIN = 0.99
"""A verdict goes by intervals of this confidence: a soak asks many questions."""
BINS = 120
"""So many values a series has at most: more would resemble each other."""

# Each kind, what that means for memory, and by which rule.
RULES: dict[Kind, tuple[str, str]] = {
    "grows": ("a leak", "it certainly grew, and in the second half of the time not slower than in the first"),
    "filling": ("caches fill", "it grew in the first half; in the second not at all, or slower and slower"),
    "slows": ("undecided: growth slows", "it grew in both halves, slower in the second, and goes on growing"),
    "steady": ("steady", "it certainly grew by less than what counts, over the soak and in an hour"),
    "unshown": (
        "no leak shown",
        "neither over all of the time nor in its second half did it certainly grow by what counts; there may "
        "be a leak below the upper end of the second half's interval",
    ),
    "undecided": ("undecided", "it grew by what counts over all of the time or in a half, and not in both"),
    "bounded": ("bounded", "workers were replaced in both halves, whose peaks are alike"),
    "short": ("too short", f"fewer than {2 * LEAST} values after the warm-up"),
}  # fmt: skip


@dataclass(frozen=True)
class Growth:
    """What became of a series: the kind, its slope for each hour, and those of the halves of the time."""

    kind: Kind
    whole: Slope | None = None
    first: Slope | None = None
    last: Slope | None = None

    @property
    def counts(self) -> bool:
        """Whether its slope is one that goes on."""
        return self.kind == "grows"

    @property
    def at_most(self) -> float | None:
        """The pace for each hour that a leak can have which was not shown: more would have been seen.

        A leak goes on: what it can be shows in the second half of the time, at `CERTAIN`. None where one was
        shown, and where nothing of the kind can be said.
        """
        if self.last is None or self.kind in ("grows", "short", "bounded"):
            return None
        return self.last.high if 0 < self.last.high < math.inf else None


def growth(hours: npt.ArrayLike, values: npt.ArrayLike, legs: npt.ArrayLike, least: float) -> Growth:
    """Judge values at some hours, without the warm-up of each leg (`settled`).

    Growth counts from `least` on, over the whole time; to be none it must be less in an hour as well. A new
    leg is a new server: there is no growth from one to the next, and halves are those of each.
    """
    t, y, part = np.asarray(hours, dtype=float), np.asarray(values, dtype=float), np.asarray(legs)
    known = ~np.isnan(y)
    t, y, part = t[known], y[known], part[known]
    lengths = [np.ptp(t[part == each]) for each in np.unique(part)]
    if len(t) < 2 * LEAST or not max(lengths):
        return Growth("short")
    later = _later(t, part)
    whole, first, last = slope(t, y, part), _of(t, y, part, ~later), _of(t, y, part, later)
    if whole is None or first is None or last is None:
        return Growth("short")
    early, late = (_later(t[half], part[half]) for half in (~later, later))
    earliest = _of(t[~later], y[~later], part[~later], ~early, CONFIDENCE)
    latest = _of(t[later], y[later], part[later], late, CONFIDENCE)
    slower = last.high < first.low or _is_below(latest, earliest)
    before, after = (_of(t[later], y[later], part[later], quarter) for quarter in (~late, late))
    slowing = _is_below(after, before)
    kind = _kind(whole, first, last, least / max(lengths), least, slower=slower, slowing=slowing)
    return Growth(kind, whole, first, last)


def _of(t: Floats, y: Floats, part: Legs, chosen: Chosen, confidence: float = CERTAIN) -> Slope | None:
    return slope(t[chosen], y[chosen], part[chosen], confidence)


def _is_below(one: Slope | None, other: Slope | None) -> bool:
    """Whether one certainly grows less than the other."""
    return one is not None and other is not None and one.high < other.low


def _later(t: Floats, part: Legs) -> Chosen:
    """Which values are in the second half of the time of their leg."""
    later = np.zeros(len(t), dtype=bool)
    for each in np.unique(part):
        mine = part == each
        later |= mine & (t > (t[mine].min() + t[mine].max()) / 2)
    return later


def _kind(
    whole: Slope, first: Slope, last: Slope, least: float, hourly: float, *, slower: bool, slowing: bool
) -> Kind:
    """The kind by the slopes; `least` is the growth for each hour that counts over the whole time.

    A soak of minutes must show as well that it is less than `hourly`. `slower`: it certainly grew less at the
    end than at the begin; `slowing`: and less and less.
    """
    early = first.grows and first.value >= least
    nothing = min(least, hourly)
    if last.grows and last.value >= least:
        if slower:
            return "filling" if slowing else "slows"
        return "grows" if whole.grows and whole.value >= least else "undecided"
    if last.high < nothing:
        return "filling" if early else "steady"
    if early and slower:
        return "filling"
    if whole.high < nothing:
        return "steady"
    return "undecided" if early or (whole.grows and whole.value >= least) else "unshown"


def settled(hours: Floats, legs: Legs) -> Chosen:
    """Which values are behind the warm-up of their leg."""
    kept = np.zeros(len(hours), dtype=bool)
    for each in np.unique(legs):
        mine = legs == each
        begin, end = float(hours[mine].min()), float(hours[mine].max())
        length = end - begin
        left_out = min(max(WARM_UP * length, WARM_UP_S / 3600), MOST_WARM_UP * length)
        kept |= mine & (hours >= begin + left_out)
    return kept
