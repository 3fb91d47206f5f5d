"""Reads the CPU clocks of servers at moments that are known ahead: the edges of a rotation's windows.

The generator reads them itself where the servers run on its machine (``swarm/engine/rotation/meters.py``).
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.launch import workers

_SCHEDULED = 2  # CPUCLOCK_SCHED, of a whole process; clock_getcpuclockid(3)
# `sleep` wakes late by up to so much where the CPU is busy: the rest is awaited awake.
_AWAKE_S = 0.0001

Reading = tuple[float, dict[str, int | None]]
"""A Unix time, and the CPU time of each server in nanoseconds; ``None`` where one of its processes is
gone."""


def read_clocks(places: Mapping[str, Path], at: Sequence[float]) -> list[Reading]:
    """Read the clocks of all processes of some servers at rising Unix times; those that are over are left
    out.

    ``places`` are the folders of their metrics by the names of the servers: their processes are those that
    live when this begins.
    """
    clocks = {
        name: [(~pid << 3) | _SCHEDULED for pid in workers.living(place)] for name, place in places.items()
    }
    readings: list[Reading] = []
    for moment in at:
        if time.time() > moment:
            continue
        time.sleep(max(0.0, moment - _AWAKE_S - time.time()))
        while time.time() < moment:
            pass
        now = time.time()
        readings.append((now, {name: _cpu_ns(of) for name, of in clocks.items()}))
    return readings


def _cpu_ns(clocks: Sequence[int]) -> int | None:
    try:
        return sum(map(time.clock_gettime_ns, clocks)) if clocks else None
    except OSError:
        return None
