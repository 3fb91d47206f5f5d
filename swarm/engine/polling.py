"""How the engine waits: for its sockets, its timers, the next arrival, and for the other greenlets."""

from __future__ import annotations

import os
from time import perf_counter_ns as clock
from typing import Any, Final

import gevent

from .counters import Counters
from .openloop import OpenLoops
from .timers import Timers
from .traffic import Events, Traffic

SEVERAL_CPUS: Final = (os.cpu_count() or 1) > 1
"""With one CPU, what the generator polls in vain would be the server's time."""
SPIN_NS: Final = 50_000 if SEVERAL_CPUS else 0
"""How long it polls in vain before it sleeps: to be woken takes a virtual CPU some 30 µs, which every
latency would then contain. What it burns is counted apart."""
EARLY_NS: Final = 250_000 if SEVERAL_CPUS else 0
"""How long before the next arrival it wakes, to poll until that is due: no timer is as exact."""
BLOCK_S: Final = 0.001
"""How long it then sleeps on its sockets alone, other greenlets held up, before it sleeps as gevent does."""
SLICE_NS: Final = 5_000_000
"""How long the engine works before it lets Locust's other greenlets run; in an open loop up to twice
as long, for a moment in which they delay nothing."""
IMMINENT_NS: Final = 100_000
"""An arrival due sooner than this would be late: a turn of the other greenlets takes about as long."""


def let_all_run() -> None:
    """Wait for one whole round of gevent's loop, sockets and timers included: every greenlet has its turn.

    `gevent.sleep(0)` is not enough: the loop runs up to 50 such callbacks before it looks at its timers
    again, and where each takes 5 ms that is a quarter of a second.
    """
    gevent.idle(gevent.get_hub().loop.MAXPRI)


class Poller:
    """Waits for the engine while it has nothing to do."""

    def __init__(self, traffic: Traffic, timers: Timers, counters: Counters, loops: OpenLoops[Any]) -> None:
        self._traffic = traffic
        self._timers = timers
        self._counters = counters
        self._loops = loops
        self._watcher = gevent.get_hub().loop.io(traffic.fileno(), 1)
        self._slice_ends_ns = clock() + SLICE_NS
        self.spin_ns = SPIN_NS

    def close(self) -> None:
        self._watcher.close()

    def wait(self, latest_ns: int) -> Events:
        """Events of the sockets: at once where users wait for answers, else as gevent's hub has time.

        Returns without any when the next arrival is due, and when a timer is, at `latest_ns` at the latest.
        """
        if self._loops.running:
            due_ns = min(self._loops.next_start_ns(), latest_ns)
            latest_ns = due_ns - EARLY_NS
            if latest_ns <= clock():
                return self._spin(min(due_ns, self._timers.next_ns()))
        self._timers.arm(latest_ns)
        traffic = self._traffic
        if traffic.in_flight:
            events = self._spin(clock() + self.spin_ns) if self.spin_ns else None
            events = events or traffic.poll(BLOCK_S)
            if events:
                return events
        gevent.get_hub().wait(self._watcher)
        return traffic.poll(0)

    def _spin(self, until_ns: int) -> Events:
        """Poll until then; what is polled in vain is no work of the generator's."""
        poll = self._traffic.poll
        events = poll(0)
        if events:
            return events
        began = now = clock()
        while not events and now < until_ns:
            events = poll(0)
            now = clock()
        self._counters.spun_ns += now - began
        return events

    def others_are_due(self) -> bool:
        """Whether the engine has worked for long enough, and this is the moment to let others run."""
        now = clock()
        if now < self._slice_ends_ns:
            return False
        if not self._loops.running or now >= self._slice_ends_ns + SLICE_NS:
            return True
        return not self._traffic.in_flight and self._loops.next_start_ns() - now > IMMINENT_NS

    def let_others_run(self) -> None:
        """Give every other greenlet its turn."""
        let_all_run()
        self._slice_ends_ns = clock() + SLICE_NS
