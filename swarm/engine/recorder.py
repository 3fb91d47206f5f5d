"""The latencies of one method and name in the second that has not ended yet.

The recorder: what every request of a Locust process came to, second by second.

Each environment has one. It takes the engine's samples and failures, and the `request` events of
plain Locust users, feeds Locust's own statistics, and, while a recording is on, collects batches.
In a worker the batches travel to the master inside Locust's own reports, so a distributed run
merges exactly; in the process that owns the statistics they go into a `Recording`.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from time import perf_counter_ns as clock
from time import process_time
from typing import Any, Final

import psutil
from locust.env import Environment
from locust.exception import CatchResponseError

from ..environments import per_environment
from ..http.connection import Connection
from ..http.exchange import FailureKind, Response, Samples, SamplesByName
from ..recording.batch import (
    FAILURE_ROWS_PER_SECOND,
    FROM_SCHEDULE,
    LATENESS,
    SERVICE,
    Batch,
    FailureRow,
    TraceRow,
    recordable,
    rest_row,
)
from ..recording.histogram import Histogram, Integers, feed_locust
from .clock import unix
from .counters import Counters
from .openloop import OpenLoops


class SecondLatencies:
    """Bucketed in parts as they come, because a second of a busy generator has a hundred thousand."""

    def __init__(self) -> None:
        self._service: list[Histogram] = []
        self._late: list[Histogram] = []
        self._waiters: list[Histogram] = []
        self._waited: list[Histogram] = []

    def add(self, latencies: Integers) -> None:
        """Service times of successful requests, in ns."""
        _add(self._service, latencies)

    def add_arrivals(self, late: Integers, waiters: Integers, waits: Integers) -> None:
        """What `Samples.take_arrivals` gives; all `waiters` must be among the latencies that are added."""
        _add(self._late, late)
        _add(self._waiters, waiters)
        _add(self._waited, waiters + waits)

    def histograms(self, *, open_loop: bool) -> Iterator[tuple[str, Histogram]]:
        """Each kind of latency there is, and its histogram.

        From the schedule, what did not wait took its service time: so that histogram is the service
        times without those of the arrivals that waited, and with what these took in all.
        """
        if self._service:
            service = Histogram.merged(self._service)
            yield SERVICE, service
            if open_loop:
                yield FROM_SCHEDULE, self._from_schedule(service)
        if self._late:
            yield LATENESS, Histogram.merged(self._late)

    def _from_schedule(self, service: Histogram) -> Histogram:
        if not self._waiters:
            return service
        at_once = service.less(Histogram.merged(self._waiters))
        return Histogram.merged([at_once, *self._waited])


def _add(parts: list[Histogram], values: Integers) -> None:
    if len(values):
        parts.append(Histogram.of(values))


FULL: Final = 4096
"""Samples of one name are bucketed at the latest when there are this many."""


class Recorder:
    """Counts and collects what the users of one Locust environment experience."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._own = SamplesByName()
        self._plain = SamplesByName()
        self._second = int(unix())
        self._seconds: defaultdict[tuple[str, str], SecondLatencies] = defaultdict(SecondLatencies)
        self._failure_rows = 0
        self._failure_rest: Counter[tuple[str, str, str]] = Counter()
        self._batch: Batch | None = None
        self._started_cpu_s = 0.0
        self._process = psutil.Process()
        self.counters: Counters | None = None
        self.loops: OpenLoops[Any] | None = None
        self.requests = 0
        self.failures = 0

    # -- What comes in

    def samples(self, method: str, name: str) -> Samples:
        """Where the engine puts the latencies of this method and name."""
        return self._own[method, name]

    def failed(self, response: Response, connection: Connection[Any] | None, request_id: str | None) -> None:
        """A swarm user's request failed; `connection` is the one it was sent on, if there was one."""
        request = response.request
        self._environment.stats.log_request(request.method, request.name, response.latency_ns / 1e6, 0)  # type: ignore[arg-type]
        self._environment.stats.log_error(request.method, request.name, response.reason)
        self._add_failure(failure_row(response, connection, request_id, unix()))

    def heard(
        self,
        request_type: str,
        name: str,
        response_time: float | None,
        exception: BaseException | str | None = None,
        response: object = None,
        **_: object,
    ) -> None:
        """Listener of Locust's `request` event, which only plain users fire: the engine does not."""
        if self._batch is None or response_time is None:
            return
        self.roll(int(unix()))
        if exception is None:
            self._plain[request_type, name].add(int(response_time * 1e6))
            return
        kind = _kind_of(exception, getattr(response, "status_code", None))
        row = FailureRow(
            unix(),
            request_type,
            name,
            kind,
            response_time * 1e3,
            None,
            None,
            None,
            1,
            None,
            recordable(str(exception)),
        )
        self._add_failure(row)

    def traced(self, row: TraceRow) -> None:
        """A request with an id has ended."""
        if self._batch is not None:
            self._batch.trace.append(row)

    def _add_failure(self, row: FailureRow) -> None:
        self.failures += 1
        if self._batch is None:
            return
        if self._failure_rows < FAILURE_ROWS_PER_SECOND:
            self._failure_rows += 1
            self._batch.failures.append(row)
        else:
            self._failure_rest[row.method, row.name, row.kind] += 1

    # -- Batching

    def flush_full(self) -> None:
        """Bucket the samples of names that have many. Called by the engine every few milliseconds."""
        for samples in self._own.values():
            if len(samples.latencies) >= FULL:
                self._flush(samples, feed=True)

    def roll(self, second: int) -> None:
        """The clock shows `second` (Unix): all that came before belongs to the seconds before."""
        if second == self._second:
            return
        self.close_second()
        self._second = second

    def close_second(self) -> None:
        """Give Locust's statistics, and the batch, what they have not got yet of the current second."""
        for samples in self._own.values():
            self._flush(samples, feed=True)
        for samples in self._plain.values():
            self._flush(samples, feed=False)
        if self._batch is not None:
            open_loop = self.loops is not None and bool(self.loops.running)
            for (method, name), second in self._seconds.items():
                for kind, histogram in second.histograms(open_loop=open_loop):
                    self._batch.add_histogram(self._second, method, name, kind, histogram)
            self._batch.failures += [
                rest_row(self._second, method, name, kind, count)
                for (method, name, kind), count in self._failure_rest.items()
            ]
        self._seconds.clear()
        self._failure_rest.clear()
        self._failure_rows = 0

    def _flush(self, samples: Samples, *, feed: bool) -> None:
        if not samples.latencies and not samples.late:
            return
        latencies, content_bytes = samples.take()
        arrivals = samples.take_arrivals()
        self.requests += len(latencies)
        if feed and len(latencies):
            stats = self._environment.stats
            feed_locust(stats, samples.method, samples.name, self._second, latencies, content_bytes)
        if self._batch is not None:
            second = self._seconds[samples.method, samples.name]
            second.add(latencies)
            second.add_arrivals(*arrivals)

    # -- Recording

    @property
    def recording(self) -> bool:
        """Whether batches are being collected."""
        return self._batch is not None

    def begin(self) -> None:
        """Start to collect, from nothing."""
        self.close_second()
        self._second = int(unix())
        self._batch = Batch()
        self.count_anew()

    def count_anew(self) -> None:
        """What generator rows count begins here."""
        self.requests = self.failures = 0
        self._started_cpu_s = process_time()
        if self.counters is not None:
            self.counters.begin()

    def take(self) -> Batch:
        """What was collected since the last call, up to the last whole second."""
        batch, self._batch = self._batch or Batch(), Batch()
        return batch

    def end(self) -> Batch:
        """Stop collecting: the rest, the second that has just begun included."""
        self.close_second()
        batch, self._batch = self._batch or Batch(), None
        return batch

    def sample_generator(self, process: int, users: int, lag_ms: float) -> None:
        """Add a row about this process: `process` is its number, `lag_ms` that of its event loop."""
        if self._batch is not None:
            self._batch.generator.append(self.generator_row(process, users, lag_ms))

    def generator_row(self, process: int, users: int, lag_ms: float) -> dict[str, Any]:
        """A row of generator.csv, since the last one."""
        now, now_ns = unix(), clock()
        engine = self.counters
        tally = self.loops.tally(now_ns) if self.loops is not None else None
        loop_wait_us = None
        if engine is not None:
            longest_ms, loop_wait_us = engine.take_blind()
            # In an open loop the other greenlets wait for a moment in which they delay no arrival.
            lag_ms = longest_ms if tally else max(lag_ms, longest_ms)
        return {
            "time": now,
            "process": process,
            "pid": os.getpid(),
            "users": users,
            "cpu_s": process_time() - self._started_cpu_s,
            "spin_s": engine.spun_ns / 1e9 if engine else None,
            "requests": self.requests,
            "failures": self.failures,
            "loop_lag_ms": lag_ms,
            "loop_wait_us": loop_wait_us,
            "arrivals": tally.arrivals if tally else None,
            "completions": tally.completions if tally else None,
            "waiting": tally.waiting if tally else None,
            "connections_open": engine.connections_open if engine else None,
            "connections_opened": engine.connections_opened if engine else None,
            "idle_closes": engine.idle_closes if engine else None,
            "rss_bytes": self._process.memory_info().rss,
        }


def failure_row(
    response: Response, connection: Connection[Any] | None, request_id: str | None, at: float
) -> FailureRow:
    """The row of a swarm user's request that failed at a Unix time."""
    request = response.request
    return FailureRow(
        time=at,
        method=request.method,
        name=request.name,
        kind=str(response.failure_kind),
        latency_us=response.latency_ns / 1e3,
        connection_age_s=(clock() - connection.opened_ns) / 1e9 if connection else None,
        connection_requests=connection.served if connection else None,
        bytes_received=connection.received if connection else None,
        count=1,
        id=request_id,
        detail=recordable(response.detail),
    )


def _kind_of(exception: BaseException | str, status: object) -> FailureKind:
    if isinstance(status, int) and 400 <= status < 600:
        return FailureKind.HTTP_5XX if status >= 500 else FailureKind.HTTP_4XX
    return FailureKind.CHECK if isinstance(exception, CatchResponseError) else FailureKind.EXCEPTION


@per_environment
def recorder_of(environment: Environment) -> Recorder:
    """The one recorder of a Locust environment."""
    recorder = Recorder(environment)
    environment.events.request.add_listener(recorder.heard)
    return recorder
