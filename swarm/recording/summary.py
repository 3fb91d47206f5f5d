"""What a finished recording says of its measured window."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

from .batch import SERVICE

BEYOND: Final = 10
"""A percentile with fewer requests beyond it would be an anecdote, and is None."""
PERCENTILES: Final = {"p50": 50, "p90": 90, "p99": 99}
Percentiles = dict[str, float | None]


@dataclass(frozen=True)
class Window:
    """The figures of the Unix seconds [start, end), all names and processes together.

    `latency_us` has p50, p90, p99 and max for each kind of latency, None where nothing was recorded;
    `arrivals` and `completions` are None in closed loops, too.
    """

    requests: int
    failures: int
    latency_us: dict[str, Percentiles] | None = None
    arrivals: int | None = None
    completions: int | None = None


def read_window(directory: Path, start: int, end: int) -> Window:
    """Read the window's figures from the CSV files of a finished recording. Raises OSError."""
    kinds = _latencies(directory / "latency.csv", start, end)
    generator = _rows_by_process(directory / "generator.csv")
    return Window(
        requests=sum(kinds[SERVICE].values()) if SERVICE in kinds else 0,
        failures=_failures(directory / "failures.csv", start, end),
        latency_us={kind: percentiles(counts) for kind, counts in kinds.items()},
        arrivals=_in_window(generator, "arrivals", start, end),
        completions=_in_window(generator, "completions", start, end),
    )


def _latencies(path: Path, start: int, end: int) -> dict[str, dict[float, int]]:
    """The counts of each bucket (µs), by kind."""
    kinds: defaultdict[str, defaultdict[float, int]] = defaultdict(lambda: defaultdict(int))
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if start <= int(row["second"]) < end:
                kinds[row["kind"]][float(row["bucket_us"])] += int(row["count"])
    return {kind: dict(counts) for kind, counts in kinds.items()}


def percentiles(counts: Mapping[float, int]) -> Percentiles:
    """Nearest-rank percentiles and the maximum of counted values, of which there must be one at least."""
    values = sorted(counts)
    ranks = list(accumulate(counts[value] for value in values))
    total = ranks[-1]
    found: Percentiles = {}
    for name, percent in PERCENTILES.items():
        rank = -(-total * percent // 100)
        enough = total - rank >= BEYOND
        found[name] = values[bisect_left(ranks, rank)] if enough else None
    return {**found, "max": values[-1]}


def _failures(path: Path, start: int, end: int) -> int:
    with path.open(newline="", encoding="utf-8") as file:
        return sum(int(row["count"]) for row in csv.DictReader(file) if start <= float(row["time"]) < end)


def _rows_by_process(path: Path) -> list[list[Mapping[str, str]]]:
    processes: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            processes[row["process"]].append(row)
    return list(processes.values())


def _in_window(processes: list[list[Mapping[str, str]]], column: str, start: int, end: int) -> int | None:
    """By how much a cumulative column grew in the window, in all processes; None where it is empty."""
    total = None
    for rows in processes:
        points = [(float(row["time"]), int(row[column])) for row in rows if row[column]]
        if len(points) > 1:
            total = (total or 0.0) + _at(points, end) - _at(points, start)
    return None if total is None else round(total)


def _at(points: list[tuple[float, int]], moment: float) -> float:
    """The value at a moment, on the line through the nearest two points.

    Rows are written as each second begins, a few milliseconds from the window's edges, so what the line
    assumes of the time between two rows hardly matters.
    """
    after = next((index for index, (time, _) in enumerate(points) if time >= moment), len(points) - 1)
    (time_0, value_0), (time_1, value_1) = points[max(after, 1) - 1], points[max(after, 1)]
    return value_0 + (value_1 - value_0) * (moment - time_0) / (time_1 - time_0)
