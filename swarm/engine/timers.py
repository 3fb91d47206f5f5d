"""When to look at an agent again: its pauses and its time-outs, on one heap and one descriptor."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from time import perf_counter_ns as clock

from .agent import Agent
from .clock import NEVER, Timer


class Timers:
    """Deadlines on the nanosecond clock. `descriptor` becomes readable when the armed one is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Agent, int | None]] = []
        self._order = itertools.count()
        self._timer = Timer()
        self._armed_ns: int | None = None

    @property
    def descriptor(self) -> int:
        """To be watched for reading."""
        return self._timer.fileno()

    def at(self, due_ns: int, agent: Agent, wake: int | None = None) -> None:
        """Look at `agent` at `due_ns`: to end the pause it began at `wake`, or (None) for a time-out."""
        heapq.heappush(self._heap, (due_ns, next(self._order), agent, wake))

    def expired(self, now_ns: int) -> Iterator[tuple[Agent, int | None]]:
        """The agents to look at by now, as `at` was told; each is given once."""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            _, _, agent, wake = heapq.heappop(heap)
            yield agent, wake

    def next_ns(self) -> int:
        return self._heap[0][0] if self._heap else NEVER

    def arm(self, latest_ns: int) -> None:
        """Have the descriptor become readable at the next deadline, at `latest_ns` at the latest."""
        due = min(self.next_ns(), latest_ns)
        if due != self._armed_ns:
            self._armed_ns = due
            self._timer.arm(due - clock())

    def fire(self) -> None:
        """Make the descriptor readable now."""
        self._armed_ns = None
        self._timer.arm(1)

    def drain(self) -> None:
        """Make the descriptor unreadable again."""
        self._timer.drain()
        self._armed_ns = None

    def close(self) -> None:
        """Forget all deadlines and release the descriptor."""
        self._heap.clear()
        self._timer.close()
