"""What one measurement gives, and what is read of the files a cell leaves."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SWARM = "swarm"
# The generator notes how it does once a second, this much after the second at most.
_NEAR_S = 0.4
PERCENTS = (50, 90, 99)


class MeasurementError(Exception):
    """Something could not be measured; the text is the reason for people."""


class HiccupError(MeasurementError):
    """The yardstick itself was held up; the same may succeed at once."""


@dataclass(frozen=True)
class Arm:
    """What is measured once in every round.

    ``configuration`` is ``None`` for the null server; ``generator`` is ``swarm`` (the suite's user) or the
    name of a tool; ``metered`` says whether serve samples, ``recorded`` whether ``swarm`` writes its files.
    """

    configuration: str | None
    workers: int
    generator: str
    metered: bool = True
    recorded: bool = True

    def __str__(self) -> str:
        server = "null server" if self.configuration is None else self.configuration
        workers = f", {self.workers} workers" if self.workers > 1 else ""
        without = "" if self.metered else ", not metered"
        without += "" if self.recorded else ", not recorded"
        return f"{server}{workers} under {self.generator}{without}"


@dataclass(frozen=True)
class Reading:
    """One measurement of one arm.

    ``cpu_us`` is the CPU time of all the server's processes per request (µs). Busy shares are of one CPU:
    ``server_busy`` of the server's tree, ``generator_busy`` of the generator without the time in which it
    polled in vain (``None`` where that is not known), ``meter_busy`` of serve itself, which may run on
    ``meter_cpus`` (both ``None`` for the null server, which nothing meters). ``latency_us`` as the
    generator tells it; ``None`` for ``swarm`` when not recorded.
    """

    arm: Arm
    round: int
    requests: int
    requests_per_s: float
    latency_us: Mapping[str, float] | None
    cpu_us: float
    server_busy: float
    generator_busy: float | None
    meter_busy: float | None
    meter_cpus: tuple[int, ...] | None


def percentiles(latency: Path, start: float, end: float) -> dict[str, float]:
    """Nearest-rank p50, p90 and p99 (µs) of the ``service`` latencies of a ``latency.csv`` in a window."""
    counts: dict[float, int] = {}
    with latency.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "service" and start <= int(row["second"]) < end:
                bucket = float(row["bucket_us"])
                counts[bucket] = counts.get(bucket, 0) + int(row["count"])
    total = sum(counts.values())
    found = {}
    for percent in PERCENTS:
        rank = 0
        for bucket in sorted(counts):
            rank += counts[bucket]
            if rank * 100 >= percent * total:
                found[f"p{percent}"] = bucket
                break
    return found


def spin_rate(generator: Path, start: float, end: float) -> float:
    """CPU seconds per second in which the generator's processes polled in vain, from ``generator.csv``.

    Raises:
        HiccupError: it has fewer than two rows of a process in the window.
    """
    spun: dict[str, list[tuple[float, float]]] = {}
    with generator.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if start - _NEAR_S <= float(row["time"]) <= end + _NEAR_S:
                spun.setdefault(row["process"], []).append((float(row["time"]), float(row["spin_s"])))
    if not spun or any(len(rows) < 2 for rows in spun.values()):
        raise HiccupError("the generator was held up for seconds: is the machine busy otherwise?")
    return sum((rows[-1][1] - rows[0][1]) / (rows[-1][0] - rows[0][0]) for rows in spun.values())
