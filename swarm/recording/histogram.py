"""Histograms of latencies, and Locust's statistics fed with many latencies at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import locust.stats
import numpy as np
import numpy.typing as npt
from locust.stats import RequestStats, StatsEntry

Integers = npt.NDArray[np.int64]

SUB_BUCKET_BITS: Final = 10
"""Each power of two is cut into 2**10 buckets, so a bucket is at most 1/1024 < 0.1 % wide."""
NOTHING: Final[Integers] = np.empty(0, np.int64)


@dataclass(frozen=True)
class Histogram:
    """Counts of latencies: `buckets` (lower edges, ns, ascending) and `counts`, of equal length."""

    buckets: Integers
    counts: Integers

    @classmethod
    def of(cls, latencies_ns: Integers) -> Histogram:
        """Bucket latencies in nanoseconds: log-linear, as HdrHistogram does (hdrhistogram.org)."""
        buckets, counts = np.unique(bucket_edges(latencies_ns), return_counts=True)
        return cls(buckets, counts)

    @classmethod
    def merged(cls, parts: list[Histogram]) -> Histogram:
        """The sum of histograms: exact, because all use the same bucket edges."""
        if len(parts) == 1:
            return parts[0]
        buckets, where = np.unique(np.concatenate([part.buckets for part in parts]), return_inverse=True)
        counts = np.bincount(where, weights=np.concatenate([part.counts for part in parts]))
        return cls(buckets, counts.astype(np.int64))

    def less(self, part: Histogram) -> Histogram:
        """What is left without `part`, all of which must be in it: exact, as `merged` is."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.buckets, part.buckets)] -= part.counts
        left = counts > 0
        return Histogram(self.buckets[left], counts[left])

    def by_us(self) -> dict[float, int]:
        """The counts by their buckets in microseconds, as `summary.percentiles` takes them."""
        return dict(zip((self.buckets / 1e3).tolist(), self.counts.tolist(), strict=True))

    @property
    def total(self) -> int:
        """How many latencies were counted."""
        return int(self.counts.sum())


def bucket_edges(latencies_ns: Integers) -> Integers:
    """The lower edge of each latency's bucket, in nanoseconds; exact below 2048 ns."""
    exponents = np.frexp(latencies_ns.astype(np.float64))[1]
    shifts = np.maximum(exponents - (SUB_BUCKET_BITS + 1), 0)
    edges: Integers = (latencies_ns >> shifts) << shifts
    return edges


def locust_bucket(response_time_ms: float) -> float:
    """Two significant digits of a response time, as Locust rounds above 100 ms, but at every size.

    Set as `locust.stats.bucket_response_time`, Locust's own hook, because its default rounds all
    below 100 ms to whole milliseconds.
    """
    if response_time_ms <= 0:
        return 0.0
    digits = 1 - math.floor(math.log10(response_time_ms))
    return round(response_time_ms, digits)


def locust_buckets(latencies_ns: Integers) -> tuple[list[float], list[int]]:
    """`locust_bucket` for many latencies at once: rounded milliseconds, and how many of each."""
    milliseconds = np.maximum(latencies_ns, 1) / 1e6
    digits = 1 - np.floor(np.log10(milliseconds)).astype(np.int64)
    mantissas = np.rint(milliseconds * 10.0**digits).astype(np.int64)
    # One integer per rounded value, so that equal values meet although floats were computed apart.
    keys, counts = np.unique(mantissas * 64 + (digits + 32), return_counts=True)
    values = [round((key >> 6) / 10.0 ** ((key & 63) - 32), max(0, (key & 63) - 32)) for key in keys.tolist()]
    return values, counts.tolist()


def feed_locust(
    stats: RequestStats, method: str, name: str, second: int, latencies_ns: Integers, content_bytes: int
) -> None:
    """Count many successful requests in Locust's statistics, as `StatsEntry.log` counts one.

    `second` is the Unix second in which they completed.
    """
    rounded, counts = locust_buckets(latencies_ns)
    total_ms = float(latencies_ns.sum()) / 1e6
    lowest, highest = float(latencies_ns.min()) / 1e6, float(latencies_ns.max()) / 1e6
    for entry in (stats.total, stats.get(name, method)):
        _open_second(entry, second)
        entry.num_requests += len(latencies_ns)
        entry.num_reqs_per_sec[second] += len(latencies_ns)
        entry.total_content_length += content_bytes
        entry.total_response_time += total_ms  # type: ignore[assignment]  # Locust itself adds floats here
        before = entry.min_response_time
        entry.min_response_time = lowest if before is None else min(before, lowest)  # type: ignore[assignment]
        entry.max_response_time = max(entry.max_response_time, highest)  # type: ignore[assignment]
        times = entry.response_times
        for value, count in zip(rounded, counts, strict=True):
            times[value] += count  # type: ignore[index]


def _open_second(entry: StatsEntry, second: int) -> None:
    """Keep the copy of the last second's response times that Locust's current percentiles need."""
    last = entry.last_request_timestamp
    if entry.use_response_times_cache and last and second > int(last):
        entry._cache_response_times(second - 1)
    entry.last_request_timestamp = max(last or 0.0, float(second))


def show_submilliseconds() -> None:
    """Make Locust's own statistics keep two significant digits below 100 ms as well."""
    locust.stats.bucket_response_time = locust_bucket  # type: ignore[assignment]
