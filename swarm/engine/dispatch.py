"""Starts the tasks of arrivals that are due, with the users of open loops that are free."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns as clock
from typing import Any, Final

from ..http.exchange import Request
from .agent import Agent, Command
from .openloop import OpenLoop, OpenLoops
from .traffic import Traffic

ROUND: Final = 256
"""Arrivals of a loop started between two looks at the sockets."""

Outcome = Command | BaseException
"""What a life asks for next, or how it ended."""
Advance = Callable[[Agent, Callable[[Any], Command], Any], Outcome]
"""Resumes a life with a value."""
GoOn = Callable[[Agent, Outcome], None]
"""Does what a life asks for."""


class Dispatcher:
    """Brings arrivals and users together. What their lives ask for then is the engine's business."""

    def __init__(self, loops: OpenLoops[Agent], traffic: Traffic, advance: Advance, go_on: GoOn) -> None:
        self._loops = loops
        self._traffic = traffic
        self._advance = advance
        self._go_on = go_on
        self._starting = False

    def start_due(self) -> None:
        """Start a round of what is due."""
        for loop in self._loops.running:
            self._start(loop, ROUND)

    def free(self, agent: Agent, loop: OpenLoop[Agent]) -> None:
        """The agent can serve an arrival: the next one that is due is started.

        So a busy engine is in time for arrivals that come due while it takes in a batch of answers.
        """
        agent.leave_loop()
        loop.free[agent] = now = clock()
        if loop.due_ns <= now and not self._starting:  # else the loop that starts arrivals goes on by itself
            self._start(loop, 1)

    def _start(self, loop: OpenLoop[Agent], most: int) -> None:
        self._starting = True
        try:
            while most and loop.free and loop.due_ns <= clock():
                most -= 1
                self._start_one(loop)
        finally:
            self._starting = False

    def _start_one(self, loop: OpenLoop[Agent]) -> None:
        """Start the next arrival.

        Where the user became free only after it was due, it waited for the user; all that passed
        after it was due and the user free is the generator's own lateness.
        """
        agent, free_ns, due_ns = loop.take()
        agent.arrival_ns = due_ns
        agent.waited_ns = max(0, free_ns - due_ns)
        ready_ns = max(due_ns, free_ns)
        outcome = self._advance(agent, agent.resume, None)
        now = clock()
        if outcome.__class__ is Request and not agent.diverted:
            assert isinstance(outcome, Request)
            # The usual case, with one look at the clock, so that lateness and latency meet.
            agent.requests += 1
            outcome.samples.late.append(now - ready_ns)
            self._traffic.begin(agent, outcome, now)
        else:
            agent.late_ns = now - ready_ns
            self._go_on(agent, outcome)
