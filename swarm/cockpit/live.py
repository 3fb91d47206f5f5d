"""What the Server tab shows, second by second: what the generator recorded, and what bench metered.

The generator's part comes from the batches that become latency.csv, failures.csv and generator.csv, the
server's from bench, which reads processes.csv and workers.csv: the same numbers as in these files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import ceil, floor
from typing import Any, Final

from ..recording.batch import SERVICE, Batch
from ..recording.histogram import Histogram
from ..recording.summary import percentiles

KEPT_S: Final = 600
"""Seconds that are kept: ten minutes of charts."""
AT_ONCE: Final = 60
"""Seconds that one answer has at most, so that it stays at a few kB."""
RECENT_S: Final = 5
"""What is said of now is said of so many seconds."""
AROUND_S: Final = 1
"""Lost requests this much before a worker's death and after its successor's first moment are its losses."""
RESTARTS: Final = 5
"""So many of the last restarts are told of."""
LATE_S: Final = 30
"""What is this much older than the newest second changes no more."""
WAKES_EARLY_S: Final = 0.1
"""A row about a second may be written this much before that second is over."""


@dataclass
class Second:
    """One Unix second. None is what is not known: of the server where it is not metered, or not yet.

    `server_cpu` is CPU seconds used in it, `generator_cpu` the CPUs that each process of the generator used
    for work; `rss_bytes` is the server's. `histogram` has the latencies as long as more of them may come.
    """

    requests: int = 0
    histogram: Histogram | None = None
    p50_us: float | None = None
    p99_us: float | None = None
    lost: Counter[str] = field(default_factory=Counter)
    generator_cpu: dict[int, float] = field(default_factory=dict)
    server_cpu: float | None = None
    rss_bytes: int | None = None

    def add(self, more: Histogram) -> None:
        """Take in successful requests: from one more process, or the rest of the second."""
        self.requests += more.total
        self.histogram = more if self.histogram is None else Histogram.merged([self.histogram, more])
        found = percentiles(self.histogram.by_us())
        self.p50_us, self.p99_us = found["p50"], found["p99"]


@dataclass
class Live:
    """The last ten minutes of the load that runs, or ran last.

    Each process of the generator tells of a second when it is over, so of the last one or two some of the
    requests are missing: they are shown when all have told, or when the load is over.
    """

    full: float
    """The share of its CPUs from which on the generator counts as the limit."""
    processes: int = 1
    """How many processes of the generator run users; of several there is a master as well."""
    seconds: dict[int, Second] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    restarts: int = 0
    deaths: list[dict[str, Any]] = field(default_factory=list)
    _rows: dict[int, tuple[float, float]] = field(default_factory=dict)  # the last of each process
    _told: dict[int, int] = field(default_factory=dict)  # the newest second of each process
    _first: int | None = None  # the first second that a process told of
    _over: bool = False
    _forgotten: int | None = None  # the newest second that was

    def clear(self) -> None:
        self.seconds.clear()
        self.workers, self.deaths, self.restarts = [], [], 0
        self._rows.clear()
        self._told.clear()
        self._first = self._forgotten = None
        self._over = False

    def ended(self) -> None:
        """The load is over, and its server is taken down; what was seen of it stays."""
        self.workers = []
        self._over = True

    # -- What comes in

    def add(self, batch: Batch) -> None:
        """Take in what one process of the generator recorded: whole seconds."""
        parts: dict[int, list[Histogram]] = {}
        for entry in batch.histograms:
            if entry.kind == SERVICE:
                parts.setdefault(entry.second, []).append(entry.histogram)
        for number, histograms in parts.items():
            self._second(number).add(Histogram.merged(histograms))
        for row in batch.failures:
            self._second(int(row.time)).lost[row.kind] += row.count
        for report in batch.generator:
            self._add_generator(report)
        self._forget()

    def _add_generator(self, row: Mapping[str, Any]) -> None:
        """A row is written as a second begins, about the one before it."""
        number, process = floor(row["time"] + WAKES_EARLY_S) - 1, row["process"]
        second = self._second(number)
        self._told[process] = number
        self._first = number if self._first is None else min(self._first, number)
        now = (row["time"], row["cpu_s"] - (row["spin_s"] or 0.0))
        before, self._rows[process] = self._rows.get(process), now
        if before is not None and now[0] > before[0]:
            # Polling in vain is counted by the clock, which goes on while others have the CPU.
            second.generator_cpu[process] = max(0.0, (now[1] - before[1]) / (now[0] - before[0]))

    def metered(self, told: Mapping[str, Any]) -> None:
        second = self._second(told["second"])
        second.server_cpu = told["cpu_s"]
        second.rss_bytes = told["rss_bytes"]
        self.workers = [] if self._over else told["workers"]
        self.deaths = told["deaths"]
        self.restarts = told["restarts"]
        self._forget()

    def _second(self, number: int) -> Second:
        return self.seconds.setdefault(number, Second())

    def _forget(self) -> None:
        newest = max(self.seconds, default=0)
        for number in [each for each in self.seconds if each < newest - KEPT_S]:
            del self.seconds[number]
            self._forgotten = newest - KEPT_S - 1
        for number in range(newest - 2 * LATE_S, newest - LATE_S):
            if number in self.seconds:
                self.seconds[number].histogram = None

    # -- What is known

    @property
    def _tellers(self) -> int:
        """How many processes tell of each second."""
        return self.processes if self.processes == 1 else self.processes + 1

    def _is_whole(self, number: int) -> bool:
        """Whether all that is recorded of a second has come."""
        if self._first is None or number < self._first:
            return False
        return self._over or (len(self._told) >= self._tellers and number <= min(self._told.values()))

    def _whole(self) -> Iterator[Second]:
        """The seconds of which all that is recorded has come, newest first; few are asked for."""
        return (self.seconds[each] for each in sorted(self.seconds, reverse=True) if self._is_whole(each))

    def _used(self, second: Second) -> float | None:
        """The CPUs that the whole generator used for work in a second."""
        used = second.generator_cpu
        return sum(used.values()) if len(used) == self._tellers else None

    # -- What is asked

    def rows(self, since: int) -> list[list[Any]]:
        """The seconds after one, oldest first, at most a minute of them, as the page gets them."""
        numbers = sorted(number for number in self.seconds if number > since)[:AT_ONCE]
        return [self._row(number, self.seconds[number]) for number in numbers]

    def _row(self, number: int, second: Second) -> list[Any]:
        recorded: list[Any] = [None, None, None, None]
        if self._is_whole(number):
            recorded = [second.requests, sum(second.lost.values()), second.p50_us, second.p99_us]
        return [number, *recorded, second.server_cpu, self._used(second), second.rss_bytes]

    def cpu_us(self) -> float | None:
        """The server's CPU time per request in the last seconds of which both are known, in µs."""
        known = list(islice((each for each in self._whole() if each.server_cpu is not None), RECENT_S))
        requests = sum(each.requests for each in known)
        return sum(each.server_cpu or 0.0 for each in known) / requests * 1e6 if requests else None

    def generator_cpu(self) -> float | None:
        """The CPUs that the generator used for work in the last seconds."""
        known = (cpus for each in self._whole() if (cpus := self._used(each)) is not None)
        recent = list(islice(known, RECENT_S))
        return sum(recent) / len(recent) if recent else None

    def generator_is_full(self) -> bool:
        """Whether the generator is the limit."""
        used = self.generator_cpu()
        return used is not None and used >= self.full * self.processes

    def last_restarts(self) -> list[dict[str, Any]]:
        """The last workers that died, newest first, with the requests that failed around each, by kind."""
        return [{**death, "losses": self._losses(death)} for death in reversed(self.deaths[-RESTARTS:])]

    def _losses(self, death: Mapping[str, Any]) -> dict[str, int]:
        """Failed requests of whole seconds.

        From one before the earlier of its death and its successor's first moment to one after the later of
        them: those of restarts in quick succession are counted with each.
        """
        moments = [death["time"], death["successor"] if death["successor"] is not None else death["time"]]
        lost: Counter[str] = Counter()
        start, end = floor(min(moments)) - AROUND_S, ceil(max(moments)) + AROUND_S
        for number, second in self.seconds.items():
            if start <= number < end:
                lost.update(second.lost)
        return dict(lost)

    def served(self, ready: float) -> int | None:
        """Requests completed since a moment: of a lone worker, what it served.

        None where that is forgotten, or where workers have died: two may have served at a time.
        """
        if self.deaths:
            return None
        if self._forgotten is not None and self._forgotten >= floor(ready):
            return None
        return sum(each.requests for number, each in self.seconds.items() if number >= floor(ready))
