"""What each Locust process of a test recorded, beside what all recorded together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .batch import LATENESS, SERVICE, Batch
from .histogram import Histogram
from .summary import percentiles


@dataclass
class _Share:
    """Of one process, by Unix second."""

    requests: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)
    lateness: defaultdict[int, list[Histogram]] = field(default_factory=lambda: defaultdict(list))


class Apart:
    """Counts of processes, by the id that Locust knows each by."""

    def __init__(self) -> None:
        self._shares: defaultdict[str, _Share] = defaultdict(_Share)

    def clear(self) -> None:
        """Forget the last test."""
        self._shares.clear()

    def add(self, process: str, batch: Batch) -> None:
        share = self._shares[process]
        for entry in batch.histograms:
            if entry.kind == SERVICE:
                share.requests[entry.second] += entry.histogram.total
            elif entry.kind == LATENESS:
                share.lateness[entry.second].append(entry.histogram)
        for row in batch.failures:
            share.failures[int(row.time)] += row.count

    def figures(self, processes: Iterable[str], start: int, end: int) -> dict[str, Any]:
        """What some processes did together in the Unix seconds [start, end).

        `lateness_us` has p50, p90, p99 and max; None in closed loops.
        """
        shares = [self._shares[each] for each in processes]
        inside = range(start, end)
        late = [part for share in shares for second in inside for part in share.lateness.get(second, [])]
        counts = Histogram.merged(late).by_us() if late else {}
        return {
            "requests": sum(share.requests[second] for share in shares for second in inside),
            "failures": sum(share.failures[second] for share in shares for second in inside),
            "lateness_us": percentiles(counts) if counts else None,
        }
