"""What the engine counts besides requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Counters:
    """What the engine did since `begin`; `longest_blind_ns` since it was last taken."""

    connections_open: int = 0
    connections_opened: int = 0
    idle_closes: int = 0
    spun_ns: int = 0
    longest_blind_ns: int = 0

    def begin(self) -> None:
        """Count from nothing; what is open stays counted."""
        self.connections_opened = self.idle_closes = self.spun_ns = self.longest_blind_ns = 0

    def take_longest_blind_ms(self) -> float:
        """The longest the engine did not look at its sockets since the last call, in milliseconds."""
        longest, self.longest_blind_ns = self.longest_blind_ns, 0
        return longest / 1e6
