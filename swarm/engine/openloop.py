"""When arrivals are due: the schedule of an open loop, and each process's share of it.

A closed loop asks again when it was answered, so a server that stalls is asked less (coordinated
omission). An open loop asks by the clock: its arrivals do not know how the server does.

Open loops: the users that are free, and the arrivals they serve.

An arrival starts one task of the user that has been free for longest, so that all connections stay in
use, as behind a load balancer. While no user is free, arrivals wait in the order of the schedule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from math import isfinite
from secrets import randbits
from typing import Final, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from .clock import NEVER

Integers = npt.NDArray[np.int64]

KINDS: Final = ("constant", "poisson")
BLOCK: Final = 1024
"""Arrivals worked out at once: enough to cost little each, too few to hold the others up."""


@dataclass(frozen=True)
class Share:
    """Which part of a schedule a process has: `number` (from 0) of `of` equal parts."""

    number: int = 0
    of: int = 1


@dataclass(frozen=True)
class Arrivals:
    """A fixed rate at which tasks are begun, whatever the server does.

    `rate_per_s` is that of the whole test, over all its processes. `constant` arrivals are evenly
    spaced; `poisson` ones come as from many independent clients, with exponentially distributed gaps,
    the same ones again for the same `seed` and number of processes. Raises ValueError or TypeError for
    what is no such schedule.
    """

    rate_per_s: float
    kind: Literal["constant", "poisson"] = "constant"
    seed: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rate_per_s, bool) or not isinstance(self.rate_per_s, int | float):
            raise TypeError(f"rate_per_s is a number of arrivals per second, not {self.rate_per_s!r}")
        if not (isfinite(self.rate_per_s) and self.rate_per_s > 0):
            raise ValueError(f"rate_per_s must be above 0, not {self.rate_per_s!r}")
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int)):
            raise TypeError(f"seed is a whole number, not {self.seed!r}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must not be negative, not {self.seed}")

    def due(self, share: Share) -> Iterator[Integers]:
        """When this share's arrivals are due, in ns from the common start, in blocks without end.

        The shares of n processes together are the schedule: every n-th constant arrival, so that they
        are evenly spaced again; or Poisson processes of rate / n, whose superposition is one of the rate
        (Kingman, Poisson Processes, 1993, section 2.2).
        """
        return self._constant(share) if self.kind == "constant" else self._poisson(share)

    def _constant(self, share: Share) -> Iterator[Integers]:
        first = 0
        while True:
            numbers = np.arange(first, first + BLOCK) * share.of + share.number
            yield (numbers * (1e9 / self.rate_per_s)).astype(np.int64)
            first += BLOCK

    def _poisson(self, share: Share) -> Iterator[Integers]:
        random = np.random.default_rng(None if self.seed is None else [self.seed, share.number])
        last = 0.0
        while True:
            times = last + np.cumsum(random.exponential(1e9 / self.rate_per_s * share.of, BLOCK))
            last = float(times[-1])
            yield times.astype(np.int64)


class Schedule:
    """One share of the arrivals on the nanosecond clock, read twice: one by one, and by the count.

    The arrivals that are due and wait are never held in memory: the count runs ahead of them.
    """

    def __init__(self, arrivals: Arrivals, share: Share, start_ns: int) -> None:
        if arrivals.seed is None:
            arrivals = replace(arrivals, seed=randbits(64))  # both readings must be the same
        self._start_ns = start_ns
        self._times = chain.from_iterable((block + start_ns).tolist() for block in arrivals.due(share))
        self._blocks = arrivals.due(share)
        self._block = next(self._blocks)
        self._before_block = 0

    def next_due(self) -> int:
        """When the next arrival is due; each is given once."""
        due_ns: int = next(self._times)
        return due_ns

    def due_by(self, now_ns: int) -> int:
        """How many arrivals were due by now. `now_ns` must not go back."""
        now_ns -= self._start_ns
        while self._block[-1] <= now_ns:
            self._before_block += len(self._block)
            self._block = next(self._blocks)
        return self._before_block + int(np.searchsorted(self._block, now_ns, side="right"))


class Tally(NamedTuple):
    """How open loops have done since they began."""

    arrivals: int
    """Due by the schedule."""
    completions: int
    """Arrivals whose task has ended."""
    waiting: int
    """Arrivals that are due and have no user yet."""


Member = TypeVar("Member", bound=Hashable)
"""What serves arrivals: the engine's agents. A loop itself asks nothing of them."""


class OpenLoop(Generic[Member]):
    """The users that share one schedule in this process.

    `free` maps the users that wait for an arrival to the time since which they wait, longest first;
    `due_ns` is when the next arrival without a user is, or was, due.
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
        """When the next arrival is due for which a user is free."""
        return min((loop.due_ns for loop in self.running if loop.free), default=NEVER)

    def tally(self, now_ns: int) -> Tally | None:
        """How all of them together have done; None where there is none."""
        if not self.running:
            return None
        return Tally(*map(sum, zip(*(loop.tally(now_ns) for loop in self.running), strict=True)))
