"""Reads the meters of servers by a timetable in a process that has no users: generators may be elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter_ns as clock
from typing import Final, Self

import gevent

from ..engine.rotation.meters import Meters
from ..engine.rotation.timetable import Planned
from ..recording.slices import Loaded, Part, Slice, grown_s

AWAKE_NS: Final = 1_000_000
"""gevent wakes late by up to so much: it is asked to wake that much before an edge, which is then awaited."""


class MeterReader:
    """Reads at the edges of all windows while its context lasts.

    `to_unix_ns` is what Unix time is ahead of the engine's clock.
    """

    def __init__(self, meters: Meters, slices: Iterable[Planned], to_unix_ns: int) -> None:
        self._meters = meters
        self._planned = slices
        self._to_unix_ns = to_unix_ns
        self._slices: list[Slice] = []
        self._greenlet: gevent.Greenlet | None = None

    def __enter__(self) -> Self:
        self._greenlet = gevent.spawn(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._greenlet is not None
        self._greenlet.kill()
        self._meters.close()

    def part(self, targets: Sequence[str]) -> Part:
        """Its part of the rotation: slices in which it had no request, and the CPU time of all targets."""
        return Part(self._slices, {name: Loaded() for name in targets}, [])

    def _run(self) -> None:
        for planned in self._planned:
            if clock() < planned.start_ns:
                self._slices.append(self._read(planned))

    def _read(self, planned: Planned) -> Slice:
        _await(planned.start_ns)
        before = self._meters.cpus()
        first = self._cpu_ns(planned.target)
        start = clock()
        _await(planned.end_ns)
        end, last = clock(), self._cpu_ns(planned.target)
        busy_s, steal_s = self._meters.between(before, self._meters.cpus())
        cpu_s = {name: grown_s(first[name], ns) for name, ns in last.items()}
        return Slice(
            **planned.placed(start, end, self._to_unix_ns),
            requests=0,
            failures=0,
            opened=0,
            generator_s=0.0,
            spin_s=0.0,
            in_flight=0,
            cpu_s=cpu_s,
            busy_s=busy_s,
            steal_s=steal_s,
        )

    def _cpu_ns(self, target: str) -> dict[str, int | None]:
        """The clock of the target, whose window it is, and those of the others."""
        return {target: self._meters.cpu_ns(target), **self._meters.cpu_of_all(but=target)}


def _await(moment_ns: int) -> None:
    """Wait until then, exactly."""
    gevent.sleep(max(0.0, (moment_ns - AWAKE_NS - clock()) / 1e9))
    while clock() < moment_ns:
        pass
