"""What the Server tab shows, second by second: what the generator recorded, and what bench metered.

The generator's part comes from the batches that become latency.csv, failures.csv and generator.csv, the
server's from bench, which reads processes.csv and workers.csv: the same numbers as in these files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any, Final

from ..batch import SERVICE, Batch
from ..samples import Histogram
from ..summary import percentiles

KEPT_S: Final = 600
"""Seconds that are kept: ten minutes of charts."""
AT_ONCE: Final = 60
"""Seconds that one answer has at most, so that it stays at a few kB."""
RECENT_S: Final = 5
"""What is said of now is said of so many seconds."""
AROUND_S: Final = 1
"""Lost requests this much before a worker's death and after its successor's first moment are its losses."""
WAKES_EARLY_S: Final = 0.1
"""A row about a second may be written this much before that second is over."""


@dataclass
class Second:
    """One Unix second. None is what is not known: of the server where it is not metered, or not yet.

    `server_cpu` and `generator_cpu` are CPU seconds used in it; `rss_bytes` is the server's.
    """

    requests: int | None = None
    failures: int | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    generator_cpu: float | None = None
    server_cpu: float | None = None
    rss_bytes: int | None = None

    def row(self, second: int) -> list[Any]:
        """As the page gets it."""
        return [
            second,
            self.requests,
            self.failures,
            self.p50_us,
            self.p99_us,
            self.server_cpu,
            self.generator_cpu,
            self.rss_bytes,
        ]


@dataclass
class Live:
    """The last ten minutes of the load that runs, or ran last."""

    full: float
    """The share of its CPU from which on the generator counts as the limit."""
    seconds: dict[int, Second] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    deaths: list[dict[str, Any]] = field(default_factory=list)
    _lost: dict[int, Counter[str]] = field(default_factory=dict)
    _generator: tuple[float, float] | None = None
    _forgotten: int | None = None  # the newest second that was

    def clear(self) -> None:
        """A new load begins."""
        self.seconds.clear()
        self.workers, self.deaths, self.restarts = [], [], 0
        self._lost.clear()
        self._generator = self._forgotten = None

    def ended(self) -> None:
        """The load is over, and its server is taken down; what was seen of it stays."""
        self.workers = []

    # -- What comes in

    def add(self, batch: Batch) -> None:
        """Take in what the generator recorded: whole seconds."""
        self._add_latencies(batch)
        for row in batch.failures:
            self._lost.setdefault(int(row.time), Counter())[row.kind] += row.count
        for report in batch.generator:
            self._add_generator(report)
        self._forget()

    def _add_latencies(self, batch: Batch) -> None:
        """A second may come in parts: that in which the load stops is told of once more, at its end."""
        parts: dict[int, list[Histogram]] = {}
        for entry in batch.histograms:
            if entry.kind == SERVICE:
                parts.setdefault(entry.second, []).append(entry.histogram)
        for number, histograms in parts.items():
            merged = Histogram.merged(histograms)
            second = self._second(number)
            second.requests = (second.requests or 0) + merged.total
            counts = dict(zip((merged.buckets / 1000).tolist(), merged.counts.tolist(), strict=True))
            found = percentiles(counts)
            second.p50_us, second.p99_us = found["p50"], found["p99"]

    def _add_generator(self, row: Mapping[str, Any]) -> None:
        """A row is written as a second begins, about the one before it."""
        number = floor(row["time"] + WAKES_EARLY_S) - 1
        second = self._second(number)
        second.requests = second.requests or 0
        second.failures = sum(self._lost.get(number, Counter()).values())
        now = (row["time"], row["cpu_s"] - (row["spin_s"] or 0.0))
        before, self._generator = self._generator, now
        if before is not None and now[0] > before[0]:
            # Polling in vain is counted by the clock, which goes on while others have the CPU.
            second.generator_cpu = max(0.0, (now[1] - before[1]) / (now[0] - before[0]))

    def metered(self, told: Mapping[str, Any]) -> None:
        """Take in what bench metered of one second: its `server` line."""
        second = self._second(told["second"])
        second.server_cpu = told["cpu_s"]
        second.rss_bytes = told["rss_bytes"]
        self.workers = told["workers"]
        self.deaths = told["deaths"]
        self.restarts = told["restarts"]
        self._forget()

    def _second(self, number: int) -> Second:
        return self.seconds.setdefault(number, Second())

    def _forget(self) -> None:
        oldest = max(self.seconds, default=0) - KEPT_S
        for held in (self.seconds, self._lost):
            for number in [each for each in held if each < oldest]:
                del held[number]
                self._forgotten = oldest - 1

    # -- What is asked

    def rows(self, since: int) -> list[list[Any]]:
        """The seconds after one, oldest first, at most a minute of them."""
        numbers = sorted(number for number in self.seconds if number > since)[:AT_ONCE]
        return [self.seconds[number].row(number) for number in numbers]

    def cpu_us(self) -> float | None:
        """The server's CPU time per request in the last seconds of which both are known, in µs."""
        known = [
            each
            for _, each in sorted(self.seconds.items())
            if each.server_cpu is not None and each.requests is not None
        ][-RECENT_S:]
        requests = sum(each.requests or 0 for each in known)
        return sum(each.server_cpu or 0.0 for each in known) / requests * 1e6 if requests else None

    def generator_cpu(self) -> float | None:
        """The CPUs that the generator used for work in the last seconds."""
        used = [
            each.generator_cpu for _, each in sorted(self.seconds.items()) if each.generator_cpu is not None
        ][-RECENT_S:]
        return sum(used) / len(used) if used else None

    def generator_is_full(self) -> bool:
        """Whether the generator is the limit."""
        used = self.generator_cpu()
        return used is not None and used >= self.full

    def last_restart(self) -> dict[str, Any] | None:
        """The last worker that died: when, which, how, and the requests that failed around it, by kind.

        Counted are whole seconds, from one before the earlier of its death and its successor's first
        moment to one after the later of them. None while nobody has died.
        """
        if not self.deaths:
            return None
        death = self.deaths[-1]
        moments = [death["time"], death["successor"] if death["successor"] is not None else death["time"]]
        around = range(floor(min(moments)) - AROUND_S, ceil(max(moments)) + AROUND_S)
        lost: Counter[str] = Counter()
        for second in around:
            lost.update(self._lost.get(second, Counter()))
        return {**death, "losses": dict(lost)}

    def served(self, ready: float) -> int | None:
        """Requests completed since a moment: of a lone worker, what it served. None: it is forgotten."""
        if self._forgotten is not None and self._forgotten >= floor(ready):
            return None
        return sum(each.requests or 0 for number, each in self.seconds.items() if number >= floor(ready))
