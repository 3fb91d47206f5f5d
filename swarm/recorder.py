"""The recorder: what every request of a Locust process came to, second by second.

Each environment has one. It takes the engine's samples and failures, and the `request` events of
plain Locust users, feeds Locust's own statistics, and, while a recording is on, collects batches.
In a worker the batches travel to the master inside Locust's own reports, so a distributed run
merges exactly; in the process that owns the statistics they go into a `Recording`.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from time import perf_counter_ns as clock
from time import process_time, time
from typing import Any, Final
from weakref import WeakKeyDictionary

import psutil
from locust.env import Environment
from locust.exception import CatchResponseError

from .batch import Batch, FailureRow, TraceRow
from .connection import Connection
from .counters import Counters
from .exchange import FailureKind, Response
from .openloop import OpenLoops
from .samples import Samples, feed_locust
from .second import Second

FULL: Final = 4096
"""Samples of one name are bucketed at the latest when there are this many."""
FAILURE_ROWS_PER_SECOND: Final = 1000
"""Failures of one second beyond this are counted by kind, not listed one by one."""


class Recorder:
    """Counts and collects what the users of one Locust environment experience."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._own: dict[tuple[str, str], Samples] = {}
        self._plain: dict[tuple[str, str], Samples] = {}
        self._second = int(time())
        self._seconds: defaultdict[tuple[str, str], Second] = defaultdict(Second)
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
        key = (method, name)
        found = self._own.get(key)
        if found is None:
            found = self._own[key] = Samples(method, name)
        return found

    def failed(self, response: Response, connection: Connection[Any] | None, request_id: str | None) -> None:
        """A swarm user's request failed; `connection` is the one it was sent on, if there was one."""
        request = response.request
        self._environment.stats.log_request(request.method, request.name, response.latency_ns / 1e6, 0)  # type: ignore[arg-type]
        self._environment.stats.log_error(request.method, request.name, response.reason)
        self._add_failure(
            FailureRow(
                time=time(),
                method=request.method,
                name=request.name,
                kind=str(response.failure_kind),
                latency_us=response.latency_ns / 1e3,
                connection_age_s=(clock() - connection.opened_ns) / 1e9 if connection else None,
                connection_requests=connection.served if connection else None,
                bytes_received=connection.received if connection else None,
                count=1,
                id=request_id,
                detail=response.detail,
            )
        )

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
        self.roll(int(time()))
        if exception is None:
            key = (request_type, name)
            self._plain.setdefault(key, Samples(*key)).add(int(response_time * 1e6))
            return
        kind = _kind_of(exception, getattr(response, "status_code", None))
        row = FailureRow(
            time(), request_type, name, kind, response_time * 1e3, None, None, None, 1, None, str(exception)
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
            for (method, name, kind), count in self._failure_rest.items():
                rest = f"{count} more in this second"
                at = float(self._second)
                row = FailureRow(at, method, name, kind, None, None, None, None, count, None, rest)
                self._batch.failures.append(row)
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
        self._second = int(time())
        self._batch = Batch()
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
        if self._batch is None:
            return
        now, now_ns = time(), clock()
        engine = self.counters
        tally = self.loops.tally(now_ns) if self.loops is not None else None
        loop_wait_us = None
        if engine is not None:
            longest_ms, loop_wait_us = engine.take_blind()
            # In an open loop the other greenlets wait for a moment in which they delay no arrival.
            lag_ms = longest_ms if tally else max(lag_ms, longest_ms)
        self._batch.generator.append(
            {
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
        )


def _kind_of(exception: BaseException | str, status: object) -> FailureKind:
    if isinstance(status, int) and 400 <= status < 600:
        return FailureKind.HTTP_5XX if status >= 500 else FailureKind.HTTP_4XX
    return FailureKind.CHECK if isinstance(exception, CatchResponseError) else FailureKind.EXCEPTION


_recorders: WeakKeyDictionary[Environment, Recorder] = WeakKeyDictionary()


def recorder_of(environment: Environment) -> Recorder:
    """The one recorder of a Locust environment, made when it is first asked for."""
    recorder = _recorders.get(environment)
    if recorder is None:
        recorder = _recorders[environment] = Recorder(environment)
        environment.events.request.add_listener(recorder.heard)
    return recorder
