"""What the engine counts besides requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter_ns as clock


@dataclass
class Counters:
    """What the engine did since `begin`; blind times since they were last taken.

    A blind time is the time between two looks at the sockets, in which the engine does its work.
    """

    connections_open: int = 0
    connections_opened: int = 0
    idle_closes: int = 0
    spun_ns: int = 0
    longest_blind_ns: int = 0
    squared_blind_ns: int = 0
    _taken_ns: int = field(default_factory=clock)

    def begin(self) -> None:
        """Count from nothing; what is open stays counted."""
        self.connections_opened = self.idle_closes = self.spun_ns = 0
        self.longest_blind_ns = self.squared_blind_ns = 0
        self._taken_ns = clock()

    def was_blind(self, blind_ns: int) -> None:
        """The engine looks at its sockets again, for the first time in so long."""
        self.squared_blind_ns += blind_ns * blind_ns
        if blind_ns > self.longest_blind_ns:
            self.longest_blind_ns = blind_ns

    def take_blind(self) -> tuple[float, float | None]:
        """The longest blind time (ms) and the mean wait that they caused (µs) since the last call.

        An answer that comes at a random moment falls into a blind time b with probability b / T, T being
        the time since the last call. It waits b / 2 on average until the engine looks, and about as long
        again until its turn among those that came meanwhile. So the mean over all moments is the sum of
        b² / T. None where there was no engine at work.
        """
        now = clock()
        span, self._taken_ns = now - self._taken_ns, now
        longest, self.longest_blind_ns = self.longest_blind_ns, 0
        squared, self.squared_blind_ns = self.squared_blind_ns, 0
        return longest / 1e6, squared / span / 1e3 if squared else None
