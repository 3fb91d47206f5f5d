"""What is kept of a server in a soak: intervals that get coarser as they get older (`plans.soak`)."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench.model.errors import UserError
from bench.model.files import read_text, shortened, write_text
from bench.model.plans.soak import COARSER, bucket_us, histogram, histogram_text
from bench.model.records.columns import INTERVALS
from bench.model.records.schema import MOST_NUMBER

_COUNTS = ("loaded_s", "requests", "failures", "replaced", "samples")


@dataclass
class Gauge:
    """What was sampled: the sum over samples, and the most."""

    total: float = 0.0
    most: float = 0.0

    def add(self, total: float, most: float) -> None:
        self.total += total
        self.most = max(self.most, most)


@dataclass(frozen=True)
class Sample:
    """What the processes of a server held at a Unix time.

    Memory of all and of the heaviest (bytes), open files of the one with most, threads of all.
    """

    time: float
    memory: float
    heaviest: float
    descriptors: float
    threads: float


@dataclass
class Interval:
    """What happened from ``start`` on for ``span_s`` seconds, to one start (``leg``) of the server."""

    start: int
    span_s: int
    leg: int
    counts: Counter[str] = field(default_factory=Counter)
    memory: Gauge = field(default_factory=Gauge)
    heaviest: Gauge = field(default_factory=Gauge)
    descriptors: Gauge = field(default_factory=Gauge)
    threads: Gauge = field(default_factory=Gauge)
    latency: Counter[int] = field(default_factory=Counter)

    @property
    def _gauges(self) -> tuple[Gauge, ...]:
        return self.memory, self.heaviest, self.descriptors, self.threads

    def sampled(self, sample: Sample) -> None:
        """Take a sample in."""
        self.counts["samples"] += 1
        for gauge, value in zip(
            self._gauges, (sample.memory, sample.heaviest, sample.descriptors, sample.threads), strict=True
        ):
            gauge.add(value, value)

    def merge(self, other: "Interval") -> None:
        """Take in all that another one has."""
        self.counts.update(other.counts)
        self.latency.update(other.latency)
        for mine, its in zip(self._gauges, other._gauges, strict=True):
            mine.add(its.total, its.most)

    def row(self) -> list[object]:
        """Its row of intervals.csv."""
        samples = self.counts["samples"]

        def shown(gauge: Gauge) -> tuple[str, str]:
            return (f"{gauge.total / samples:.3f}", f"{gauge.most:.0f}") if samples else ("", "")

        return [
            *(self.start, self.span_s, self.leg),
            *(self.counts[name] for name in _COUNTS),
            *shown(self.memory),
            shown(self.heaviest)[0],
            *shown(self.descriptors),
            *shown(self.threads),
            histogram_text(self.latency),
        ]

    @classmethod
    def of(cls, row: Sequence[str]) -> Self:
        """The interval of a row; raises ``ValueError`` for what is none."""
        fields = dict(zip((column.name for column in INTERVALS.columns), row, strict=True))
        found = cls(int(fields["start"]), int(fields["span_s"]), int(fields["leg"]))
        found.counts = Counter({name: int(fields[name]) for name in _COUNTS})
        found.latency = Counter(histogram(fields["latency"]))
        samples = found.counts["samples"]
        if samples:
            for name in ("memory", "heaviest", "descriptors", "threads"):
                unit = "" if name in ("descriptors", "threads") else "_bytes"
                mean = float(fields[f"{name}{unit}"])
                most = float(fields.get(f"{name}_most{unit}", mean))
                getattr(found, name).add(mean * samples, most)
        gauges = [number for gauge in found._gauges for number in (gauge.total, gauge.most)]
        numbers = [found.start, found.span_s, found.leg, *found.counts.values(), *gauges]
        if found.span_s <= 0 or not all(0 <= number <= MOST_NUMBER for number in numbers):
            raise ValueError("has a number that cannot be measured")
        return found


class Intervals:
    """All that is kept of one server, in memory and in a file: bounded, as old intervals become coarser."""

    def __init__(self, path: Path, interval_s: int) -> None:
        """Begin with what the file has, if it is there.

        Raises:
            UserError: it is damaged; names the line.
        """
        self._path = path
        self._interval_s = interval_s
        self._kept: dict[tuple[int, int], Interval] = {}
        if path.exists():
            self._kept = _read(path)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self._kept.values())

    def at(self, time: float, leg: int) -> Interval:
        """The finest interval of a Unix time."""
        start = int(time // self._interval_s) * self._interval_s
        return self._kept.setdefault((start, leg), Interval(start, self._interval_s, leg))

    def completed(self, second: int, leg: int, latency_us: float, count: int) -> None:
        """Count requests that succeeded in a second with a latency from the schedule."""
        self.at(second, leg).latency[bucket_us(latency_us)] += count

    def save(self) -> None:
        """Have the file say all of it, older intervals coarser; whole or as it was. Raises OSError."""
        self._coarsen()
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(column.name for column in INTERVALS.columns)
        rows.writerows(self._kept[key].row() for key in sorted(self._kept))
        write_text(self._path, text.getvalue())

    def _coarsen(self) -> None:
        """Make one of those which are together old enough, of one leg."""
        newest = max((each.start + each.span_s for each in self._kept.values()), default=0)
        for age, factor in COARSER:
            span_s = factor * self._interval_s
            oldest = newest - age * self._interval_s
            bins: defaultdict[tuple[int, int], list[Interval]] = defaultdict(list)
            for each in self._kept.values():
                start = each.start // span_s * span_s
                if each.span_s < span_s and start + span_s <= oldest:
                    bins[start, each.leg].append(each)
            for (start, leg), parts in bins.items():
                self._replace(Interval(start, span_s, leg), parts)

    def _replace(self, whole: Interval, parts: Iterable[Interval]) -> None:
        for part in parts:
            del self._kept[part.start, part.leg]
            whole.merge(part)
        if (there := self._kept.get((whole.start, whole.leg))) is not None:
            whole.merge(there)
        self._kept[whole.start, whole.leg] = whole


def _read(path: Path) -> dict[tuple[int, int], Interval]:
    """The intervals of a file by their starts and legs; raises ``UserError``."""
    rows = csv.reader(io.StringIO(read_text(path), newline=""))
    heading = [column.name for column in INTERVALS.columns]
    try:
        if next(rows, None) != heading:
            raise ValueError("is no heading of intervals")
        found: dict[tuple[int, int], Interval] = {}
        for row in rows:
            each = Interval.of(row)
            if (each.start, each.leg) in found:
                raise ValueError("is there twice")
            found[each.start, each.leg] = each
        return found
    except (ValueError, OverflowError, csv.Error) as error:
        what = f"{path}, line {rows.line_num}: {shortened(error)}"
        raise UserError(f"{what}; restore it, or start a new soak: leave out RUN=") from error
