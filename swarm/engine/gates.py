"""Gates: whose users may send, and what they experienced in the windows of their target's slices.

The engine's hot path knows nothing of them. It asks of each command whether its agent is `diverted`, as it
does for users that were killed; a diverted agent's request is parked at its gate.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from time import perf_counter_ns as clock
from typing import Any, Final, Generic, Protocol, TypeVar

import numpy as np

from ..http.connection import Connection
from ..http.exchange import Request, Response, Samples, SamplesByName
from ..recording.histogram import Histogram, Integers
from ..recording.slices import FailureBook
from .recorder import failure_row

BUCKETED: Final = 65_536
"""Latencies of one name that are kept one by one: to bucket so many takes about 5 ms."""

USUAL: Final = 0.9
"""The percentile that stands for what a request takes, as a share."""


class Held(Protocol):
    """What a gate needs of the engine's agents. It lives on a gate only in a rotation."""

    wake: int
    diverted: bool

    @property
    def active(self) -> Connection[Any] | None:
        """The connection with its request in flight."""

    @property
    def finished(self) -> Any:
        """Set when its life has ended."""


Member = TypeVar("Member", bound=Held)


class Kept:
    """The latencies (ns) of one method and name that were begun in windows."""

    def __init__(self) -> None:
        self._new: list[Integers] = []
        self._count = 0
        self._old: list[Histogram] = []

    def add(self, latencies: Integers) -> None:
        self._new.append(latencies)
        self._count += len(latencies)
        if self._count >= BUCKETED:
            self._old = [self.histogram()]
            self._new, self._count = [], 0

    def histogram(self) -> Histogram:
        """All of them; there must be one."""
        new = [Histogram.of(np.concatenate(self._new))] if self._new else []
        return Histogram.merged([*self._old, *new])


class Gate(Generic[Member]):
    """Holds the requests of one target's users while it is closed, which it is at first.

    Latencies count where the request was begun in a window, wherever it ended. The hot path adds them without
    a look. So what is in flight at a window's start is made to take the slow way, which looks (`begin`);
    what ends in the warm-up is dropped with it.
    """

    def __init__(self, name: str, to_unix_ns: int) -> None:
        """`to_unix_ns` is what Unix time is ahead of the engine's clock."""
        self.name = name
        self.agents: set[Member] = set()
        self.parked: deque[tuple[Member, int, Request]] = deque()
        self.is_dropped = False
        self.lost = 0  # requests that failed, in windows or not
        self._to_unix_ns = to_unix_ns
        self._is_open = False
        self._own = SamplesByName()
        self._passed = 0  # successes that are not, or no more, among the samples
        self.forget()

    def forget(self) -> None:
        """Begin anew: what was experienced so far was to settle."""
        self.look_at_flying()
        self.keep()
        self._kept: dict[tuple[str, str], Kept] = {}
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.failed = 0  # requests that were lost in windows
        self.failures = FailureBook()

    # -- Who may send

    def admit(self, agent: Member) -> None:
        """Take on a user of the target, as it begins to live."""
        self.agents.add(agent)
        agent.diverted = not self._is_open

    def park(self, agent: Member, request: Request) -> None:
        """Hold a request back until the gate opens."""
        self.parked.append((agent, agent.wake, request))

    def open(self) -> None:
        """Let through what is asked for from now on. What is parked is released apart."""
        self._is_open = True
        for agent in self.agents:
            agent.diverted = False

    def close(self) -> None:
        """Hold back what is asked for from now on."""
        self._is_open = False
        for agent in self.agents:
            agent.diverted = True

    def released(self, most: int) -> Iterator[tuple[Member, Request]]:
        """Up to so many of the parked requests, without those of users that were ended meanwhile."""
        for _ in range(min(most, len(self.parked))):
            agent, wake, request = self.parked.popleft()
            if agent.wake == wake and not agent.finished.is_set():
                yield agent, request

    # -- What they experience

    def samples(self, method: str, name: str) -> Samples:
        """Where the engine puts the latencies of this method and name."""
        return self._own[method, name]

    @property
    def requests(self) -> int:
        """Successful requests so far, in windows or not."""
        return self._passed + sum(len(each.latencies) for each in self._own.values())

    def look_at_flying(self) -> None:
        """Have the slow way take what is in flight, because it may have been begun in another part."""
        for agent in self.agents:
            connection = agent.active
            if connection is not None:
                connection.awaiting = False

    def begin(self, now_ns: int) -> None:
        """A window begins: what has ended since the gate opened was the warm-up."""
        self.look_at_flying()
        for samples in self._own.values():
            self._passed += len(samples.take()[0])
        self._starts.append(now_ns)

    def end(self, now_ns: int) -> None:
        """The window ends; what is in flight still counts."""
        self._ends.append(now_ns)

    @property
    def _in_window(self) -> bool:
        return len(self._starts) > len(self._ends)

    def _began_in_window(self, began_ns: int) -> bool:
        number = bisect_right(self._starts, began_ns) - 1
        return number >= 0 and (number >= len(self._ends) or began_ns < self._ends[number])

    def keep(self) -> None:
        """Put by the latencies of the window that has ended, or those that came late."""
        for key, samples in self._own.items():
            if samples.latencies:
                latencies = samples.take()[0]
                self._passed += len(latencies)
                self._kept.setdefault(key, Kept()).add(latencies)

    def record(self, response: Response, connection: Connection[Any] | None, request_id: str | None) -> None:
        """Take in a request that ended off the hot path."""
        now = clock()
        began = now - response.latency_ns if connection is None else connection.started_ns
        counts = self._began_in_window(began)
        if response.failure_kind is not None:
            self.lost += 1
            self.failed += self._in_window
            if counts or self._in_window:
                at = (now + self._to_unix_ns) / 1e9
                self.failures.add(failure_row(response, connection, request_id, at))
        else:
            self._passed += 1
            if counts:  # not among the samples, which are dropped if this is the next warm-up
                key = (response.request.method, response.request.name)
                self._kept.setdefault(key, Kept()).add(np.array([response.latency_ns], np.int64))

    def histograms(self) -> dict[tuple[str, str], Histogram]:
        """The latencies that count, by method and name."""
        self.keep()
        return {key: kept.histogram() for key, kept in self._kept.items()}

    def usual_ns(self) -> float | None:
        """What a request takes, the 90th percentile of the latencies that count; None where none does."""
        histograms = list(self.histograms().values())
        if not histograms:
            return None
        every = Histogram.merged(histograms)
        return float(every.buckets[np.searchsorted(np.cumsum(every.counts), USUAL * every.total)])
