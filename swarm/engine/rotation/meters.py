"""What is read at the edges of a window: CPU clocks of processes, and those of whole CPUs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from time import clock_gettime_ns
from typing import Final

SCHEDULED: Final = 2
"""Of a process: the time that it was running, as the scheduler counts it, in ns (CPUCLOCK_SCHED)."""
LINE_BYTES: Final = 160
"""More than a line of /proc/stat about a CPU has: ten numbers of a few digits."""
BUSY: Final = (1, 2, 3, 6, 7)
"""The fields of such a line that are work: user, nice, system, irq, softirq (proc_stat(5))."""
STEAL: Final = 8


def clock_of(pid: int) -> int:
    """The id of a process's CPU clock, as clock_getcpuclockid(3) makes it. It counts all of its threads."""
    return (~pid << 3) | SCHEDULED


class Meters:
    """Reads the CPU clocks of the processes of each target, and of some CPUs.

    `servers` has by target the first one that leads to the same server.
    """

    def __init__(
        self, pids: Mapping[str, Sequence[int]], cpus: Sequence[int], servers: Mapping[str, str]
    ) -> None:
        self._clocks = {name: [clock_of(pid) for pid in of] for name, of in pids.items()}
        self._servers = servers
        self._wanted = {f"cpu{each}".encode() for each in cpus}
        self._bytes = LINE_BYTES * ((os.cpu_count() or 1) + 1)
        self._stat = os.open("/proc/stat", os.O_RDONLY)
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        os.close(self._stat)

    def cpu_ns(self, target: str) -> int | None:
        """CPU time of a target's processes so far; None where one of them is gone, or none is known."""
        clocks = self._clocks[target]
        try:
            return sum(map(clock_gettime_ns, clocks)) if clocks else None
        except OSError:
            return None

    def cpu_of_all(self, *, but: str) -> dict[str, int | None]:
        """The same of every server but that of one target, each under the name of its first target."""
        others = dict.fromkeys(name for name in self._servers.values() if name != self._servers[but])
        return {name: self.cpu_ns(name) for name in others}

    def cpus(self) -> bytes:
        """The CPUs' clocks as the kernel prints them, for `between`: reading them costs time enough."""
        return os.pread(self._stat, self._bytes, 0)

    def between(self, before: bytes, after: bytes) -> tuple[float, float]:
        """Seconds that the CPUs were busy between two readings, and seconds that were stolen from them."""
        busy, stolen = (
            then - first for first, then in zip(self._sums(before), self._sums(after), strict=True)
        )
        return busy / self._ticks_per_s, stolen / self._ticks_per_s

    def _sums(self, text: bytes) -> tuple[int, int]:
        lines = [
            fields for fields in map(bytes.split, text.splitlines()) if fields and fields[0] in self._wanted
        ]
        return _sum(lines, BUSY), _sum(lines, (STEAL,))


def _sum(lines: Iterable[list[bytes]], columns: Iterable[int]) -> int:
    columns = tuple(columns)
    return sum(int(fields[column]) for fields in lines for column in columns if column < len(fields))
