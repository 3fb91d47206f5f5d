"""Open loops: the users that are free, and the arrivals they serve.

An arrival starts one task of the user that has been free for longest, so that all connections stay in
use, as behind a load balancer. Where nobody is free it waits, in the order of the schedule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, Protocol, TypeVar

from .clock import NEVER
from .pacing import Arrivals, Schedule, Share


class Tally(NamedTuple):
    """How open loops have done since they began."""

    arrivals: int
    """Due by the schedule."""
    completions: int
    """Arrivals whose task has ended."""
    waiting: int
    """Arrivals that are due and have no user yet."""


Member = TypeVar("Member", bound=Hashable)
"""Who serves arrivals: the engine's agents. A loop itself asks nothing of them."""


class OpenLoop(Generic[Member]):
    """The users that share one schedule in this process.

    `free` maps those who wait for an arrival to the time since which they have, longest first;
    `due_ns` is when the next arrival that nobody serves yet is, or was, due.
    """

    __slots__ = ("_arrivals", "_ended_with", "_schedule", "_started", "_unfinished", "due_ns", "free")

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._schedule: Schedule | None = None
        self._ended_with = 0
        self._started = 0
        self._unfinished = 0
        self.free: OrderedDict[Member, int] = OrderedDict()
        self.due_ns = NEVER

    def begin(self, share: Share, start_ns: int) -> None:
        """Have this share of the arrivals come in from `start_ns` on."""
        self._schedule = Schedule(self._arrivals, share, start_ns)
        self.due_ns = self._schedule.next_due()

    def end(self, now_ns: int) -> None:
        """No more arrivals; those that wait are given up."""
        if self._schedule is not None:
            self._ended_with = self._schedule.due_by(now_ns)
        self._schedule = None
        self.due_ns = NEVER

    def take(self) -> tuple[Member, int, int]:
        """Start the next arrival: the user to serve it, since when it was free, when it was due.

        There must be a user that is free and an arrival that is due.
        """
        assert self._schedule is not None
        member, since_ns = self.free.popitem(last=False)
        due_ns, self.due_ns = self.due_ns, self._schedule.next_due()
        self._started += 1
        self._unfinished += 1
        return member, since_ns, due_ns

    def finished(self) -> None:
        """The task of one arrival has ended."""
        self._unfinished -= 1

    def tally(self, now_ns: int) -> Tally:
        """How it has done."""
        arrivals = self._ended_with if self._schedule is None else self._schedule.due_by(now_ns)
        return Tally(arrivals, self._started - self._unfinished, arrivals - self._started)


class Paced(Protocol):
    """What an open loop needs to know of a user: its class, and the class's own schedule."""

    arrivals: Arrivals | None


class OpenLoops(Generic[Member]):
    """The open loops of a process in a test: one for all users, or one for each class with arrivals."""

    def __init__(self) -> None:
        self.running: list[OpenLoop[Member]] = []
        self._of_all: OpenLoop[Member] | None = None
        self._of_class: dict[type, OpenLoop[Member]] = {}
        self._by_class = True
        self._began: tuple[Share, int] | None = None

    def configure(self, *, of_all: Arrivals | None, by_class: bool) -> None:
        """Get ready for a test: one schedule for all users, or those of the user classes, or none."""
        self._of_all = OpenLoop(of_all) if of_all is not None else None
        self.running = [self._of_all] if self._of_all is not None else []
        self._of_class.clear()
        self._by_class = by_class
        self._began = None

    def of(self, user: Paced, now_ns: int) -> OpenLoop[Member] | None:
        """The loop that a user belongs to; None where it is driven by its own answers (closed)."""
        if self._of_all is not None:
            return self._of_all
        if not self._by_class or user.arrivals is None:
            return None
        loop = self._of_class.get(type(user))
        if loop is None:
            loop = self._of_class[type(user)] = OpenLoop(user.arrivals)
            self.running.append(loop)
            if self._began is not None:  # the first of its class was spawned in mid-test
                share, start_ns = self._began
                loop.begin(share, max(start_ns, now_ns))
        return loop

    def begin(self, share: Share, start_ns: int) -> None:
        """Start the schedules, unless they are running already."""
        if self._began is not None:
            return
        self._began = (share, start_ns)
        for loop in self.running:
            loop.begin(share, start_ns)

    def end(self, now_ns: int) -> None:
        """Stop the schedules."""
        for loop in self.running:
            loop.end(now_ns)

    def next_start_ns(self) -> int:
        """When the next arrival is due that somebody is free for."""
        return min((loop.due_ns for loop in self.running if loop.free), default=NEVER)

    def tally(self, now_ns: int) -> Tally | None:
        """How all of them together have done; None where there is none."""
        if not self.running:
            return None
        return Tally(*map(sum, zip(*(loop.tally(now_ns) for loop in self.running), strict=True)))
