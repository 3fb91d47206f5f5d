"""The unit in which recorded data travels: from a recorder to the files, or from worker to master."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from .histogram import Histogram

SERVICE: Final = "service"
"""The `kind` of a latency that counts from the moment the user asked."""
FROM_SCHEDULE: Final = "from_schedule"
"""The same and, in open loops, the time for which the arrival waited for a free user."""
LATENESS: Final = "lateness"
"""How late the generator itself began to serve an arrival."""

MOST_TEXT: Final = 10_000
"""Characters that are kept of what a locustfile says."""


def recordable(text: str) -> str:
    """What a locustfile says, as files and messages take it: no surrogates, and no more than `MOST_TEXT`."""
    return text[:MOST_TEXT].encode(errors="backslashreplace").decode()


@dataclass(frozen=True)
class FailureRow:
    """One row of `failures.csv`, in the order of its columns; None where a figure does not exist."""

    time: float
    method: str
    name: str
    kind: str
    latency_us: float | None
    connection_age_s: float | None
    connection_requests: int | None
    bytes_received: int | None
    count: int
    id: str | None
    detail: str


FAILURE_ROWS_PER_SECOND: Final = 1000
"""Failures of one second beyond this are counted by kind, not listed one by one."""


def rest_row(second: int, method: str, name: str, kind: str, count: int) -> FailureRow:
    """The row of so many failures of one kind in a Unix second, beyond those that are listed."""
    told = f"{count} more in this second"
    return FailureRow(float(second), method, name, kind, None, None, None, None, count, None, told)


class TraceRow(NamedTuple):
    """One row of `trace.csv`, in the order of its columns; its three times are Unix nanoseconds.

    A row takes about 350 bytes of memory until it has been passed on, a second later, then some 60 on
    disk. When the file is written, no more than the rows of the last 30 seconds are in memory at a time.
    """

    id: str
    method: str
    name: str
    due: int
    sent: int
    ended: int
    connection: int | None
    kind: str


@dataclass(frozen=True)
class SecondHistogram:
    """The latencies of one Unix second, method, name and kind of latency."""

    second: int
    method: str
    name: str
    kind: str
    histogram: Histogram

    def packed(self) -> list[Any]:
        """The fields, with the arrays as bytes."""
        buckets, counts = self.histogram.buckets.tobytes(), self.histogram.counts.tobytes()
        return [self.second, self.method, self.name, self.kind, buckets, counts]


@dataclass
class Batch:
    """Histograms, failures, generator and trace rows recorded since the batch was begun."""

    histograms: list[SecondHistogram] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    generator: list[Mapping[str, Any]] = field(default_factory=list)
    trace: list[TraceRow] = field(default_factory=list)

    def add_histogram(self, second: int, method: str, name: str, kind: str, histogram: Histogram) -> None:
        self.histograms.append(SecondHistogram(second, method, name, kind, histogram))

    def packed(self) -> dict[str, Any]:
        """Plain values and bytes, as msgpack (Locust's wire format) takes them."""
        return {
            "histograms": [entry.packed() for entry in self.histograms],
            "failures": [astuple(row) for row in self.failures],
            "generator": [dict(row) for row in self.generator],
            "trace": self.trace,
        }

    @classmethod
    def unpacked(cls, data: Mapping[str, Any]) -> Batch:
        """The batch that `packed` made `data` of."""
        return cls(
            [
                SecondHistogram(second, method, name, kind, unpacked_histogram(buckets, counts))
                for second, method, name, kind, buckets, counts in data["histograms"]
            ],
            [FailureRow(*row) for row in data["failures"]],
            list(data["generator"]),
            [TraceRow(*row) for row in data["trace"]],
        )


def unpacked_histogram(buckets: bytes, counts: bytes) -> Histogram:
    """The histogram whose arrays were packed as bytes."""
    return Histogram(np.frombuffer(buckets, np.int64), np.frombuffer(counts, np.int64))
