"""The clock of another machine beside this one's, by round trips of messages.

A message leaves at t0 (by the clock here), arrives at t1 and is answered at t2 (there), and is back at t3.
The clock there is then ((t1 - t0) + (t2 - t3)) / 2 ahead, to half of the time that it was under way (RFC
5905). The quickest of many says most.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple, Self

# How far two clocks may go apart from each other among the trips that count.
_DRIFT_S = 0.05


class Trip(NamedTuple):
    """A round trip: how far ahead the clock there is, and how long it was under way (seconds)."""

    ahead_s: float
    under_way_s: float

    @classmethod
    def of(cls, sent: float, received: float, answered: float, back: float) -> Self:
        """By its four Unix times: sent and back here, received and answered there."""
        return cls(((received - sent) + (answered - back)) / 2, (back - sent) - (answered - received))

    def agrees(self, other: "Trip") -> bool:
        """Whether both may be of the same two clocks: each knows them to half of its time under way."""
        unsure_s = (self.under_way_s + other.under_way_s) / 2 + _DRIFT_S
        return abs(self.ahead_s - other.ahead_s) <= unsure_s


class Clock:
    """What round trips say of the clock there. One thread may add trips while others ask."""

    def __init__(self, recent: int = 30) -> None:
        """The quickest of so many ``recent`` trips counts, for a clock may drift."""
        self._recent: deque[Trip] = deque(maxlen=recent)
        self._times_s: list[float] = []
        self._seen: list[float] = []  # how far ahead it was, when the trips were as many as count

    def add(self, sent: float, received: float, answered: float, back: float) -> None:
        """Note a round trip, by the times of ``Trip.of``.

        One that contradicts those before says that one of the clocks was set: they count no more.
        """
        trip = Trip.of(sent, received, answered, back)
        if self._recent and not trip.agrees(self._best):
            self._seen += [self.ahead_s, trip.ahead_s]
            self._recent = deque([trip], self._recent.maxlen)  # at once: others ask meanwhile
        else:
            self._recent.append(trip)
        self._times_s.append(trip.under_way_s)
        if len(self._recent) == self._recent.maxlen:
            self._seen.append(self.ahead_s)

    @property
    def _best(self) -> Trip:
        return _quickest(tuple(self._recent))

    @property
    def ahead_s(self) -> float:
        """How far ahead the clock there is now, in seconds; there must have been a trip."""
        return self._best.ahead_s

    def facts(self) -> dict[str, Any]:
        """``clock`` of the ``wire`` in ``run.json``; there must have been a trip."""
        seen = self._seen or [self.ahead_s]
        return {
            "ahead_ms": round(self.ahead_s * 1e3, 3),
            "uncertain_ms": round(self._best.under_way_s / 2 * 1e3, 3),
            "moved_ms": round((max(seen) - min(seen)) * 1e3, 3),
            "round_trip_us": round(median(self._times_s) * 1e6, 1),
        }


def reading(trips: Sequence[Trip]) -> dict[str, Any]:
    """A clock as some round trips show it, one at least: ``before`` or ``after`` a load in ``run.json``."""
    times_s = [trip.under_way_s for trip in trips]
    told_s = {"least": min(times_s), "usual": median(times_s), "most": max(times_s)}
    return {
        "offset_ms": round(_quickest(trips).ahead_s * 1e3, 4),
        "round_trip_ms": {name: round(each * 1e3, 4) for name, each in told_s.items()},
    }


def _quickest(trips: Sequence[Trip]) -> Trip:
    return min(trips, key=lambda trip: trip.under_way_s)
