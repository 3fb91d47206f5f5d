"""What a rotation records of each target: its slices, latencies and failures, and their files."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from .batch import FAILURE_ROWS_PER_SECOND, SERVICE, FailureRow, rest_row, unpacked_histogram
from .files import (
    FAILURE_COLUMNS,
    GENERATOR_COLUMNS,
    LATENCY_COLUMNS,
    failure_values,
    latency_lines,
    whole_file,
)
from .histogram import Histogram

SLICE_COLUMNS: Final = (
    "round",
    "place",
    "manner",
    "planned_start",
    "planned_end",
    "start",
    "end",
    "requests",
    "failures",
    "opened",
    "cpu_s",
    "idle_cpu_s",
    "generator_s",
    "spin_s",
    "steal_s",
    "busy_s",
    "in_flight",
    "absent",
)


NEAR_SHARE: Final = 0.1
"""How far from the edge of a window CPU clocks may have been read elsewhere, as a share of its length."""


EARLY_S: Final = 0.0005
"""How much too early such a reading may seem: clocks of two machines are known to about so much."""

Reading = tuple[float, Mapping[str, int | None]]
"""A Unix time, and the CPU time of each target so far in ns; None where it could not be read."""


@dataclass(frozen=True)
class Slice:
    """A slice of one target. Times are Unix seconds, of its window.

    `cpu_s` has the CPU seconds of each target's processes, None where they could not be read; it is empty,
    and `busy_s` and `steal_s` are None, of a process that does not read them. `absent` are the users of the
    target whose process came too late for it.
    """

    round: int
    place: int
    target: str
    manner: str
    planned_start: float
    planned_end: float
    start: float
    end: float
    requests: int
    failures: int
    opened: int
    generator_s: float
    spin_s: float
    in_flight: int
    cpu_s: dict[str, float | None]
    busy_s: float | None
    steal_s: float | None
    absent: int = 0

    @classmethod
    def merged(cls, parts: Sequence[Slice], absent: int = 0) -> Slice:
        """The same slice in all processes that had it: counts and seconds are added, times are averaged."""
        first = next((each for each in parts if each.cpu_s), parts[0])
        added = ("requests", "failures", "opened", "generator_s", "spin_s", "in_flight")
        figures: dict[str, Any] = {name: sum(getattr(each, name) for each in parts) for name in added}
        times = {name: fmean(getattr(each, name) for each in parts) for name in ("start", "end")}
        return cls(**{**asdict(first), **figures, **times, "absent": absent})

    @property
    def length_s(self) -> float:
        """How long its window was."""
        return self.end - self.start

    def row(self) -> list[Any]:
        """Its row of slices.csv."""
        others = [seconds for name, seconds in self.cpu_s.items() if name != self.target]
        known = [each for each in others if each is not None]
        values = {
            **vars(self),
            "cpu_s": self.cpu_s.get(self.target),
            "idle_cpu_s": sum(known) if self.cpu_s and len(known) == len(others) else None,
        }
        return [values[column] for column in SLICE_COLUMNS]


def metered(slices: Iterable[Slice], readings: Sequence[Reading]) -> list[Slice]:
    """Slices with the CPU time of targets that was read elsewhere, at about the edges of the windows.

    What was used between the two readings of a window is spread over it evenly; without one near each edge
    nothing is known.
    """
    times = [moment for moment, _ in readings]
    return [replace(each, cpu_s=_used_in(each, times, readings)) for each in slices]


def _used_in(window: Slice, times: Sequence[float], readings: Sequence[Reading]) -> dict[str, float | None]:
    near_s = NEAR_SHARE * (window.planned_end - window.planned_start)
    first, last = (_nearest(times, edge, near_s) for edge in (window.planned_start, window.planned_end))
    if first is None or last is None:
        return dict.fromkeys(window.cpu_s)
    share = window.length_s / (times[last] - times[first])
    before, after = readings[first][1], readings[last][1]
    grown = {name: grown_s(before.get(name), after.get(name)) for name in window.cpu_s}
    return {name: None if used is None else used * share for name, used in grown.items()}


def _nearest(times: Sequence[float], moment: float, near_s: float) -> int | None:
    """The place of the first of some rising times that is not before a moment, if it is that near."""
    place = bisect_left(times, moment - EARLY_S)
    return place if place < len(times) and times[place] - moment <= near_s else None


def grown_s(before_ns: int | None, after_ns: int | None) -> float | None:
    """The seconds between two readings of a CPU clock; None where one of them is not known."""
    return None if before_ns is None or after_ns is None else (after_ns - before_ns) / 1e9


class FailureBook:
    """The failures of one target in a process: up to `FAILURE_ROWS_PER_SECOND` of each second one by one."""

    def __init__(self) -> None:
        self._rows: list[FailureRow] = []
        self._of_second: Counter[int] = Counter()
        self._rest: Counter[tuple[int, str, str, str]] = Counter()

    def add(self, row: FailureRow) -> None:
        second = int(row.time)
        self._of_second[second] += 1
        if self._of_second[second] <= FAILURE_ROWS_PER_SECOND:
            self._rows.append(row)
        else:
            self._rest[second, row.method, row.name, row.kind] += 1

    def rows(self) -> list[FailureRow]:
        """All, those beyond as a row for each kind and second."""
        return [*self._rows, *(rest_row(*key, count) for key, count in self._rest.items())]


Latencies = dict[tuple[str, str], Histogram]


@dataclass
class Loaded:
    """What the users of one target experienced in the windows, in one process or in all.

    `latencies` are by method and name, of the requests that were begun there.
    """

    latencies: Latencies = field(default_factory=dict)
    failures: list[FailureRow] = field(default_factory=list)

    @classmethod
    def merged(cls, parts: Sequence[Loaded]) -> Loaded:
        """What they experienced in all processes."""
        histograms: defaultdict[tuple[str, str], list[Histogram]] = defaultdict(list)
        for part in parts:
            for key, histogram in part.latencies.items():
                histograms[key].append(histogram)
        failures = sorted((row for part in parts for row in part.failures), key=lambda row: row.time)
        return cls({key: Histogram.merged(each) for key, each in histograms.items()}, failures)

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(row.count for row in self.failures)

    def counts(self) -> Counter[float]:
        """How many latencies there are in each bucket (µs)."""
        counts: Counter[float] = Counter()
        for histogram in self.latencies.values():
            pairs = zip(histogram.buckets.tolist(), histogram.counts.tolist(), strict=True)
            counts.update({bucket / 1000: count for bucket, count in pairs})
        return counts


@dataclass
class Part:
    """What one process has of a rotation; `loaded`, and how many `users` it has, are by target."""

    slices: list[Slice]
    loaded: dict[str, Loaded]
    generator: list[dict[str, Any]]
    users: dict[str, int] = field(default_factory=dict)

    def packed(self) -> dict[str, Any]:
        """Plain values and bytes, as msgpack (Locust's wire format) takes them."""
        return {
            "slices": [astuple(each) for each in self.slices],
            "latencies": [
                (target, *key, histogram.buckets.tobytes(), histogram.counts.tobytes())
                for target, of in self.loaded.items()
                for key, histogram in of.latencies.items()
            ],
            "failures": {target: [astuple(row) for row in of.failures] for target, of in self.loaded.items()},
            "generator": self.generator,
            "users": self.users,
        }

    @classmethod
    def unpacked(cls, data: Mapping[str, Any]) -> Part:
        """The part that `packed` made `data` of."""
        loaded = {
            target: Loaded(failures=[FailureRow(*row) for row in rows])
            for target, rows in data["failures"].items()
        }
        for target, method, name, buckets, counts in data["latencies"]:
            loaded[target].latencies[method, name] = unpacked_histogram(buckets, counts)
        slices = [Slice(*each) for each in data["slices"]]
        return cls(slices, loaded, list(data["generator"]), dict(data["users"]))


def share_of(parts: Sequence[Part]) -> dict[str, Any]:
    """What some processes did in the windows of all targets: requests, failures, CPU seconds of work."""
    slices = [each for part in parts for each in part.slices]
    return {
        "requests": sum(each.requests for each in slices),
        "failures": sum(loaded.failed for part in parts for loaded in part.loaded.values()),
        "work_s": sum(each.generator_s for each in slices),
    }


def merged_slices(parts: Sequence[Part]) -> list[Slice]:
    """The slices that any process with users has, in their order.

    Latencies are of all that a process was in time for. So a slice that another one missed is kept, with the
    users that were absent: without its seconds these latencies would be too many for the rest.
    """
    found: defaultdict[tuple[int, int], dict[int, Slice]] = defaultdict(dict)
    for number, part in enumerate(parts):
        for each in part.slices:
            found[each.round, each.place][number] = each
    merged = []
    for _, had in sorted(found.items()):
        target = next(iter(had.values())).target
        users = [part.users.get(target, 0) for part in parts]
        present = sum(users[number] for number in had)
        if present:
            merged.append(Slice.merged(list(had.values()), absent=sum(users) - present))
    return merged


def write_loaded(
    directory: Path,
    second: int,
    loaded: Loaded,
    slices: Iterable[Slice],
    generator: Iterable[Mapping[str, Any]],
) -> None:
    """Write the files of one target; all latencies are of one Unix second. Raises OSError."""
    with whole_file(directory / "latency.csv") as file:
        csv.writer(file).writerow(LATENCY_COLUMNS)
        for (method, name), histogram in sorted(loaded.latencies.items()):
            file.writelines(latency_lines((second, method, name, SERVICE), histogram))
    with whole_file(directory / "failures.csv") as file:
        rows = csv.writer(file)
        rows.writerow(FAILURE_COLUMNS)
        rows.writerows(map(failure_values, loaded.failures))
    with whole_file(directory / "generator.csv") as file:
        table = csv.DictWriter(file, GENERATOR_COLUMNS)
        table.writeheader()
        table.writerows(generator)
    with whole_file(directory / "slices.csv") as file:
        rows = csv.writer(file)
        rows.writerow(SLICE_COLUMNS)
        rows.writerows(each.row() for each in slices)
