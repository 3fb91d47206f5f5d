"""What the steps of a rotation see of the engine while they run: what is in flight, gates, its manner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .agent import Agent, Command
from .counters import Counters
from .gates import Gate
from .polling import SPIN_NS, Poller
from .traffic import Traffic

POLLS: Final = "polls"
SLEEPS: Final = "sleeps"
MANNERS: Final = (POLLS, SLEEPS)
"""How the engine waits for answers: it looks again and again for a while, or it sleeps at once."""


class Stage:
    """An engine at work. Only to be used in its own greenlet, between two looks at the sockets."""

    def __init__(
        self, traffic: Traffic, poller: Poller, counters: Counters, obey: Callable[[Agent, Command], None]
    ) -> None:
        self._traffic = traffic
        self._poller = poller
        self._obey = obey
        self.counters = counters

    @property
    def in_flight(self) -> int:
        """Requests of all users that are on their way."""
        return self._traffic.in_flight

    def wait_as(self, manner: str) -> None:
        """Wait for answers in one of `MANNERS`."""
        self._poller.spin_ns = SPIN_NS if manner == POLLS else 0

    def release(self, gate: Gate[Agent], most: int) -> None:
        """Send what is parked at a gate that is open, so many requests at most."""
        for agent, request in gate.released(most):
            self._obey(agent, request)
