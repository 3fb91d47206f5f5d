"""What one measurement gives, what is read of the files that a cell leaves, and medians over the rounds."""

import csv
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from bench.stats.comparison import Ratio

SWARM, FAST_HTTP_USER, HTTP_USER = "swarm", "fast-http-user", "http-user"
"""The users that drive a ``swarm.session``: the suite's own, and those of Locust."""
PERCENTS = (50, 90, 99)
# The generator notes how it does once a second, this much after the second at most.
_NEAR_S = 0.4


class MeasurementError(Exception):
    """Something could not be measured; the text is the reason for people."""


class HiccupError(MeasurementError):
    """The yardstick itself was held up; the same may succeed at once."""


@dataclass(frozen=True)
class Arm:
    """What is measured once in every round.

    ``configuration`` is ``None`` for the null server; ``generator`` is one of the users above or the name of
    a tool; ``metered`` says whether serve samples, ``recorded`` whether the session writes its files.
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
    generator tells it; ``None`` for a session that did not record. ``generator_rss_bytes`` is the memory of a
    session at the end, ``generator_lag_ms`` the longest that it did not look at its sockets, both ``None``
    for a tool and where nothing was recorded.
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
    generator_rss_bytes: int | None = None
    generator_lag_ms: float | None = None

    @property
    def generator_us(self) -> float | None:
        """The generator's CPU time per request (µs)."""
        return None if self.generator_busy is None else self.generator_busy / self.requests_per_s * 1e6


Figure = Callable[[Reading], float]


class Spread(NamedTuple):
    """The median, the lowest and the highest of some values."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Collection[float]) -> Self:
        return cls(median(values), min(values), max(values))

    def text(self, form: str) -> str:
        return f"{self.middle:{form}} ({self.low:{form}} to {self.high:{form}})"

    def __str__(self) -> str:
        return self.text(".2f")


class Readings:
    """All readings of a measurement by arm, and what is computed of them."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._of: dict[Arm, dict[int, Reading]] = {}
        for reading in readings:
            self._of.setdefault(reading.arm, {})[reading.round] = reading

    @property
    def arms(self) -> list[Arm]:
        return list(self._of)

    def spread(self, arm: Arm, figure: Figure) -> Spread:
        return Spread.of([figure(reading) for reading in self._of[arm].values()])

    def median(self, arm: Arm, figure: Figure) -> float:
        """The median of a figure over the rounds."""
        return self.spread(arm, figure).middle

    def median_known(self, arm: Arm, figure: Callable[[Reading], float | None]) -> float | None:
        """The same of a figure that may be unknown."""
        known = [value for reading in self._of[arm].values() if (value := figure(reading)) is not None]
        return median(known) if known else None

    def meter_cpus(self, arm: Arm) -> list[int]:
        return sorted({cpu for reading in self._of[arm].values() for cpu in reading.meter_cpus or ()})

    def ratio(self, of: Arm, to: Arm, figure: Figure) -> Spread:
        """The ratio of a figure within each round."""
        return Spread.of([figure(one) / figure(self._of[to][number]) for number, one in self._of[of].items()])

    def compared(self, of: Arm, to: Arm, figure: Figure) -> "Ratio":
        """The ratio of a figure, paired by round, with its 95 % interval."""
        # Imported here: they bring pandas, which most commands do not need.
        import pandas as pd

        from bench.stats.comparison import compare

        one, other = (
            pd.Series({number: figure(reading) for number, reading in self._of[arm].items()})
            for arm in (of, to)
        )
        return compare(one, other)


def percentiles(latency: Path, start: float, end: float) -> dict[str, float]:
    """Nearest-rank p50, p90 and p99 (µs) of the ``service`` latencies of a ``latency.csv`` in a window."""
    # Imported here: it brings pandas, which most commands do not need.
    from bench.stats.histograms import quantile

    counts: dict[float, int] = {}
    with latency.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["kind"] == "service" and start <= int(row["second"]) < end:
                bucket = float(row["bucket_us"])
                counts[bucket] = counts.get(bucket, 0) + int(row["count"])
    edges = sorted(counts)
    ranked = [counts[edge] for edge in edges]
    return {f"p{percent}": quantile(edges, ranked, percent / 100, beyond=0) for percent in PERCENTS}


def memory_and_lag(generator: Path, start: float, end: float) -> tuple[int, float]:
    """The memory of the generator's processes at the end of a window (bytes), and the longest lag in it (ms).

    Raises:
        HiccupError: ``generator.csv`` has fewer than two rows of a process in the window.
    """
    processes: dict[str, list[dict[str, str]]] = {}
    with generator.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if start - _NEAR_S <= float(row["time"]) <= end + _NEAR_S:
                processes.setdefault(row["process"], []).append(row)
    if not processes or any(len(rows) < 2 for rows in processes.values()):
        raise HiccupError("the generator was held up for seconds: is the machine busy with something else?")
    rss_bytes = sum(int(rows[-1]["rss_bytes"]) for rows in processes.values())
    return rss_bytes, max(float(row["loop_lag_ms"]) for rows in processes.values() for row in rows[1:])
