"""The time of one cell: its warm-up, then its measured window, told of once a second."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from time import time
from typing import Any

from gevent.event import Event
from locust.runners import Runner

from .plugin import Coordinator


class Progress:
    """Lets a cell's time pass. `check` is called at each step, and raises where the cell must not go on."""

    def __init__(self, runner: Runner, coordinator: Coordinator, check: Callable[[], None]) -> None:
        self._runner = runner
        self._coordinator = coordinator
        self._check = check
        self._window_start: int | None = None
        self._end = 0
        self._shortened = Event()

    def warm_up(self, end: int) -> None:
        """Wait until this Unix second."""
        self._window_start = None
        self._pass(end)

    def measure(self, start: int, seconds: int) -> int:
        """Wait until the window, which begins now, is over; returns its end (Unix seconds)."""
        self._window_start = start
        self._pass(start + seconds)
        return self._end

    def enough(self) -> None:
        """End the window with the second that is running; do nothing in a warm-up, nor between cells."""
        if self._window_start is not None:
            self._end = min(self._end, math.floor(time()) + 1)
            self._shortened.set()

    def _pass(self, end: int) -> None:
        self._end = end
        self._shortened.clear()
        stats = self._runner.stats
        requests, failures, since = stats.num_requests, stats.num_failures, time()
        while (left := self._end - time()) > 0:
            if self._shortened.wait(min(left, 1.0)):
                self._shortened.clear()  # look at the end again
                continue
            self._check()
            now = time()
            start = self._window_start
            emit(
                event="progress",
                time=now,
                users=self._runner.user_count,
                requests_per_s=(stats.num_requests - requests) / (now - since),
                failures_per_s=(stats.num_failures - failures) / (now - since),
                window_start=start,
                requests=None if start is None else self._coordinator.successes_since(start),
            )
            requests, failures, since = stats.num_requests, stats.num_failures, now
        self._check()


def emit(**fields: Any) -> None:
    """Print one event."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()
