"""What a soak reads while it goes on: files of the generator's last lap, and those that serve lets grow."""

import csv
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from bench.experiment.soak.intervals import Intervals, Sample
from bench.launch import workers


def take_lap(folder: Path, end: float, kept: Intervals, leg: int) -> int:
    """Take what the generator recorded of a lap up to its ``end`` into what is kept; returns its requests.

    The warm-up belongs to it: servers lose as much by those requests.
    """
    requests: Counter[int] = Counter()
    for row in _rows(folder / "latency.csv"):
        second, count = int(row["second"]), int(row["count"])
        if row["kind"] == "service":
            requests[second] += count
        elif row["kind"] == "from_schedule":
            kept.completed(second, leg, float(row["bucket_us"]), count)
    failures: Counter[int] = Counter()
    for row in _rows(folder / "failures.csv"):
        failures[int(float(row["time"]))] += int(row["count"])
    seconds = {*requests, *failures}
    for second in seconds:
        kept.at(second, leg).counts.update(requests=requests[second], failures=failures[second])
    for second in range(min(seconds, default=int(end)), int(end)):
        kept.at(second, leg).counts.update(loaded_s=1)
    return requests.total()


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


class Metered:
    """What serve writes of one server into ``directory``, as it grows."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes = workers.Tail(directory / "processes.csv")
        self._heading: list[str] = []
        self._rest: list[list[str]] = []  # rows of a sample that may not be whole
        self._dead = 0
        self._latest = 0.0

    def take(self, kept: Intervals, leg: int) -> None:
        """Take all that is new into what is kept."""
        for sample in self._samples():
            # One that is not behind the last was taken after the clock was set back, which ends the leg.
            if sample.time > self._latest:
                kept.at(sample.time, leg).sampled(sample)
                self._latest = sample.time
        events = workers.read(self._directory)
        deaths = [each.time for each in events if (each.role, each.event) == ("worker", "died")]
        for time in deaths[self._dead :]:
            kept.at(time, leg).counts["replaced"] += 1
        self._dead = len(deaths)

    def _samples(self) -> Iterator[Sample]:
        """The samples that are whole: the rows of the last one may still be written."""
        rows = [*self._rest, *csv.reader(self._processes.lines())]
        if not self._heading and rows:
            self._heading = rows.pop(0)
        of_samples = [list(group) for _, group in groupby(rows, key=lambda row: row[0])]
        self._rest = of_samples.pop() if of_samples else []
        for group in of_samples:
            held = [dict(zip(self._heading, row, strict=True)) for row in group]
            if (sample := _sample(held)) is not None:
                yield sample


def _sample(rows: list[dict[str, str]]) -> Sample | None:
    """What the processes of the server held; ``None`` where only CPU time was read."""
    held = [row for row in rows if row["role"] != "meter" and row["rss_bytes"]]
    if not held:
        return None
    memory = [float(row["pss_bytes"] or row["rss_bytes"]) for row in held]
    return Sample(
        float(rows[0]["time"]),
        sum(memory),
        max(memory),
        max(float(row["descriptors"] or 0) for row in held),
        sum(float(row["threads"] or 0) for row in held),
    )
