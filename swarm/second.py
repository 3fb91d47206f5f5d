"""The latencies of one method and name in the second that has not ended yet."""

from __future__ import annotations

from collections.abc import Iterator

from .batch import FROM_SCHEDULE, LATENESS, SERVICE
from .samples import Histogram, Integers


class Second:
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
