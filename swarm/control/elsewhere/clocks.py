"""What the clocks of another machine show beside the ones here, by round trips (as in NTP, RFC 5905).

A round trip has four moments: a question leaves here, arrives there, its answer leaves there, and arrives
here. If both ways take equally long, the clock there is ahead by the mean of the two differences. A way that
takes longer than the other moves that by half of what it takes longer, so the round trip with the smallest
time on the way is the one to believe, and half of that time is the most that it can be wrong by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class RoundTrip:
    """One question and its answer, ns: `sent` and `back` by the clock here, the others by the one there."""

    sent: int
    received: int
    answered: int
    back: int

    @property
    def way_ns(self) -> int:
        """How long both ways took together."""
        return (self.back - self.sent) - (self.answered - self.received)

    @property
    def ahead_ns(self) -> int:
        """What the clock there is ahead of the one here, if both ways took equally long."""
        return ((self.received - self.sent) + (self.answered - self.back)) // 2


@dataclass(frozen=True)
class Reading:
    """The clocks of another machine beside the ones here, and the round trips that say so; all in ns.

    `ahead` is that of the engine's clock, which no daemon sets, `unix_ahead` that of the Unix time. `least`,
    `usual` (the median) and `most` are times of round trips.
    """

    ahead: int
    unix_ahead: int
    least: int
    usual: int
    most: int

    @classmethod
    def of(cls, trips: Sequence[RoundTrip], to_unix_there: int, to_unix_here: int) -> Reading:
        """By some round trips of the engine's clocks, one at least.

        `to_unix_…` are what the Unix time of each machine is ahead of its engine's clock.
        """
        best = min(trips, key=lambda trip: trip.way_ns)
        ways = [trip.way_ns for trip in trips]
        unix_ahead = best.ahead_ns + to_unix_there - to_unix_here
        return cls(best.ahead_ns, unix_ahead, best.way_ns, int(median(ways)), max(ways))

    def record(self) -> dict[str, Any]:
        """As events and files have it: the Unix time's offset (ms), and round trips (ms)."""
        return {
            "offset_ms": round(self.unix_ahead / 1e6, 4),
            "round_trip_ms": {
                name: round(getattr(self, name) / 1e6, 4) for name in ("least", "usual", "most")
            },
        }
