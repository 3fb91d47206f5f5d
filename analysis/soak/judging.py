"""What became of each server in a soak: what of it grows, when that meets a limit, and N that prevents it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from analysis.recycling.choice import largest
from analysis.recycling.limits import BOUND
from analysis.soak.growth import Growth, Kind, growth
from analysis.soak.reading import Lane, Soak
from analysis.soak.series import Series, series
from analysis.words import Value
from bench.stats.slopes import Slope

Measure = Literal["memory", "descriptors", "threads", "p99", "losses"]
MEASURES: dict[Measure, str] = {
    "memory": "bytes",
    "descriptors": "open files",
    "threads": "threads",
    "p99": "ms",
    "losses": "share",
}
"""What is judged, and its unit."""
# Growth over the time of a soak counts from so much on, or from so much of the level, whichever is more.
LEAST: Mapping[Measure, tuple[float, float]] = {
    "memory": (2.0**20, 0.01),
    "descriptors": (3.0, 0.01),
    "threads": (2.0, 0.01),
    "p99": (0.5, 0.2),
    "losses": (0.001, 0.0),
}
_NOWHERE = float("nan")
# Between the low and the high end of a saw-tooth lie so many per cent of its values.
_SWING = (5, 95)


@dataclass(frozen=True)
class JudgedMeasure:
    """One measure of a server: its growth, and its level at the begin (behind the warm-up) and the end.

    `most` is the most that was seen; `limit` what it must not exceed, where there is one. Hours count from
    the start of the server.
    """

    measure: Measure
    growth: Growth
    begins: float
    ends: float
    most: float
    limit: float | None
    middle: tuple[float, float]
    """Hours and value of a point on its line."""
    age: float = _NOWHERE
    """Hours since the start of the server at the end."""

    @property
    def per_hour(self) -> Value:
        """Its growth for each hour; NaN where none goes on."""
        whole = self.growth.whole
        return Value(_NOWHERE) if whole is None else Value(whole.value, whole.low, whole.high)

    @property
    def reached_h(self) -> Value:
        """After how many hours it would be at the limit, if it grows on; NaN where it does not."""
        whole = self.growth.whole
        if self.limit is None or whole is None or not self.growth.counts:
            return Value(_NOWHERE)
        return Value(*(self._reaches(pace) for pace in (whole.value, whole.high, whole.low)))

    def _reaches(self, pace: float) -> float:
        assert self.limit is not None
        hours, value = self.middle
        return max(0.0, hours + (self.limit - value) / pace) if pace > 0 else math.inf

    @property
    def soonest_h(self) -> float:
        """After how many hours it would be at the limit at the soonest, if it leaks unshown; else NaN."""
        pace = self.growth.at_most
        if self.limit is None or pace is None:
            return _NOWHERE
        return self.age + max(0.0, self.limit - self.ends) / pace

    @property
    def exceeded(self) -> bool:
        """Whether it was at its limit, or beyond."""
        return self.limit is not None and self.most >= self.limit


@dataclass(frozen=True, eq=False)
class LaneVerdict:
    """One server of a soak, with what became of each measure.

    `swing_bytes` are the low and the high end of its memory behind the warm-up: the height of the saw-tooth
    where workers are replaced. `allowance_bytes` is what it may take in all.
    """

    lane: Lane
    series: Series
    measures: dict[Measure, JudgedMeasure]
    swing_bytes: tuple[float, float]
    allowance_bytes: int | None

    @property
    def memory(self) -> JudgedMeasure:
        return self.measures["memory"]

    @property
    def leaks(self) -> list[JudgedMeasure]:
        """What of it grows that must not: memory, open files, threads."""
        held: tuple[Measure, ...] = ("memory", "descriptors", "threads")
        return [self.measures[name] for name in held if self.measures[name].growth.counts]

    def per_request(self, judged: JudgedMeasure) -> Value:
        """Its growth with each request that succeeded; NaN where it does not go on."""
        pace = judged.per_hour
        rate = self.series.requests_per_hour
        if not judged.growth.counts or not rate > 0:
            return Value(_NOWHERE)
        return Value(pace.mean / rate, pace.low / rate, pace.high / rate)

    def at_most(self, judged: JudgedMeasure) -> float:
        """What it may grow by with each request without that having been shown; NaN where nobody can say.

        Nor can it be said of workers that are replaced: each of them begins anew.
        """
        pace, rate = judged.growth.at_most, self.series.requests_per_hour
        return _NOWHERE if pace is None or self.lane.record.recycles or not rate > 0 else pace / rate

    @property
    def lost_per_million(self) -> float:
        """Requests that were lost or rejected, of a million."""
        asked = self.lane.requests + self.lane.failures
        return 1e6 * self.lane.failures / asked if asked else _NOWHERE

    @cached_property
    def keeps_below(self) -> int | None:
        """The largest N that keeps all processes below the allowance; 0 if none does.

        None where nobody says what is allowed, or memory does not leak without recycling. It takes the
        upper end of the leak's interval, and a successor that is there beside the worker it replaces.
        """
        leak = self.per_request(self.memory)
        if self.allowance_bytes is None or self.lane.record.recycles or math.isnan(leak.mean):
            return None
        workers = self.lane.record.workers
        spare = (self.allowance_bytes - self.memory.begins - self._successor_bytes) / workers
        return largest(spare, leak.high if math.isfinite(leak.high) else leak.mean)

    @property
    def _successor_bytes(self) -> float:
        """What a worker has that has served nothing yet: without what it leaked during the warm-up."""
        seen = self.series.bins[["age", "heaviest"]].dropna()
        if seen.empty:
            return 0.0
        age, heaviest = seen.iloc[0].astype(float)
        return max(0.0, float(heaviest - age * self.memory.per_hour.mean / self.lane.record.workers))


def judge(soak: Soak) -> tuple[LaneVerdict, ...]:
    """A verdict on each server of a soak, in the order of its lanes."""
    return tuple(_verdict(lane, soak.allowance_bytes) for lane in soak.lanes)


def _verdict(lane: Lane, allowance: int | None) -> LaneVerdict:
    found = series(lane)
    limits: dict[Measure, float | None] = {"memory": allowance, "descriptors": lane.record.open_files}
    most: dict[Measure, str] = {
        "memory": "memory_most_bytes",
        "descriptors": "descriptors_most",
        "threads": "threads_most",
    }
    judged = {
        name: _judged(
            name, found.bins, limits.get(name), lane.intervals[most[name]] if name in most else None
        )
        for name in MEASURES
    }
    if (kind := _of_recycling(lane)) is not None:
        concerned: list[Measure] = [*most] if kind == "undecided" else ["memory"]
        for name in concerned:
            held = judged[name]
            judged[name] = replace(held, growth=replace(held.growth, kind=kind))
    memory = found.bins["memory"].dropna().to_numpy(dtype=float)
    low, high = (
        (float(each) for each in np.percentile(memory, _SWING)) if len(memory) else (_NOWHERE, _NOWHERE)
    )
    return LaneVerdict(lane, found, judged, (low, high), allowance)


def _of_recycling(lane: Lane) -> Kind | None:
    """What recycling makes of growth, by the rule of cells of recycling on the halves of the time.

    It bounds the memory, or cannot be told yet; None where that says nothing, or workers are not replaced.
    """
    kept = lane.intervals
    if not lane.record.recycles or kept.empty:
        return None
    later = kept["start"] > (kept["start"].iloc[0] + kept["start"].iloc[-1]) / 2
    peaks = [float(kept["memory_most_bytes"][half].max()) for half in (~later, later)]
    if min(int(kept["replaced"][half].sum()) for half in (~later, later)) == 0:
        return "undecided"
    return "bounded" if peaks[1] <= (1 + BOUND) * peaks[0] else None


def _judged(name: Measure, bins: pd.DataFrame, limit: float | None, peaks: pd.Series | None) -> JudgedMeasure:
    values = bins[name].to_numpy(dtype=float)
    known = ~np.isnan(values)
    ages, values = bins["age"].to_numpy(dtype=float)[known], values[known]
    if not len(values):
        return JudgedMeasure(name, Growth("short"), _NOWHERE, _NOWHERE, _NOWHERE, limit, (_NOWHERE, _NOWHERE))
    least, share = LEAST[name]
    level = float(np.median(values))
    found = growth(bins["hours"], bins[name], bins["leg"], max(least, share * level))
    middle = _middle(ages, values, found.whole)
    begins = middle[1] - (found.whole.value * middle[0] if found.whole else 0.0)
    few = max(1, len(values) // 20)
    ends = float(np.median(values[-few:]))
    highest = float(peaks.max()) if peaks is not None and peaks.notna().any() else float(values.max())
    begins = begins if found.counts else float(np.median(values[:few]))
    return JudgedMeasure(name, found, begins, ends, highest, limit, middle, float(ages[-1]))


def _middle(ages: pd.Series, values: pd.Series, whole: Slope | None) -> tuple[float, float]:
    """A point on the line through the values: at their median age."""
    pace = 0.0 if whole is None else whole.value
    age = float(np.median(ages))
    return age, float(np.median(values - pace * (ages - age)))
