"""The files of one recording: `latency.csv`, `failures.csv`, `generator.csv`, and perhaps `trace.csv`.

Batches are spooled in binary while the load runs, because formatting a second's worth of rows would
hold the users up for milliseconds. The CSV files are written afterwards, and renamed when whole.
Memory stays bounded however long the recording: the spool is read back a few seconds at a time.

Locust's own CSV files, without its rounding.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, fields
from operator import attrgetter
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import gevent
import msgpack
from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV, StatsCSVFileWriter, StatsEntry

from .batch import SERVICE, Batch, FailureRow, TraceRow, unpacked_histogram
from .histogram import Histogram

LATENCY_COLUMNS: Final = ("second", "method", "name", "kind", "bucket_us", "count")
FAILURE_COLUMNS: Final = tuple(field.name for field in fields(FailureRow))
GENERATOR_COLUMNS: Final = (
    "time",
    "process",
    "pid",
    "users",
    "cpu_s",
    "spin_s",
    "requests",
    "failures",
    "loop_lag_ms",
    "loop_wait_us",
    "arrivals",
    "completions",
    "waiting",
    "connections_open",
    "connections_opened",
    "idle_closes",
    "rss_bytes",
)
TRACE_COLUMNS: Final = TraceRow._fields
LATE_SECONDS: Final = 30
"""Workers report a few seconds late; a second is written once it is this much older than the newest."""

Key = tuple[int, str, str, str]
Entry = TypeVar("Entry")


class Recording:
    """Takes batches in while the load runs; `finish` writes the files into `directory`.

    The directory is made if need be. Raises OSError where it cannot be written (a full disk, for one).
    Only with `trace` is there a trace.csv; a row of the trace needs some 60 bytes of disk until then.
    """

    def __init__(self, directory: Path, *, trace: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._spool_path = directory / ".latency.spool"
        self._spool = self._spool_path.open("w+b")
        self._trace_path = directory / ".trace.spool"
        self._trace = self._trace_path.open("w+b") if trace else None
        self._successes: Counter[int] = Counter()
        self._failures = directory / ".failures.csv.part"
        self._generator = directory / ".generator.csv.part"
        self._failures_file = self._failures.open(
            "w", newline="", encoding="utf-8", errors="backslashreplace"
        )
        self._generator_file = self._generator.open("w", newline="", encoding="utf-8")
        self._failure_rows = csv.writer(self._failures_file)
        self._generator_rows = csv.DictWriter(self._generator_file, GENERATOR_COLUMNS)
        self._failure_rows.writerow(FAILURE_COLUMNS)
        self._generator_rows.writeheader()

    def add(self, batch: Batch) -> None:
        packed = batch.packed()
        for histogram in packed["histograms"]:
            self._spool.write(msgpack.packb(histogram))
        for entry in batch.histograms:
            if entry.kind == SERVICE:
                self._successes[entry.second] += entry.histogram.total
        if self._trace is not None:
            for traced in batch.trace:
                self._trace.write(msgpack.packb(traced))
        for row in batch.failures:
            self._failure_rows.writerow(failure_values(row))
        self._generator_rows.writerows(batch.generator)

    def successes_since(self, second: int) -> int:
        """Successful requests in this Unix second and later ones, as far as they have been taken in."""
        return sum(count for each, count in self._successes.items() if each >= second)

    def finish(self) -> None:
        """Write the CSV files, whole or not at all."""
        try:
            self._finish()
        finally:
            self.discard()

    def _finish(self) -> None:
        with whole_file(self._directory / "latency.csv") as file:
            file.write(",".join(LATENCY_COLUMNS) + "\n")
            for key, histogram in _merged(_read_spool(self._spool)):
                file.writelines(latency_lines(key, histogram))
        if self._trace is not None:
            with whole_file(self._directory / "trace.csv") as file:
                _write_trace(file, self._trace)
        for part, handle, name in (
            (self._failures, self._failures_file, "failures.csv"),
            (self._generator, self._generator_file, "generator.csv"),
        ):
            handle.close()
            part.rename(self._directory / name)

    def discard(self) -> None:
        """Close, and remove what is not a finished file."""
        for handle in (self._spool, self._trace, self._failures_file, self._generator_file):
            with suppress(OSError):  # on a full disk closing fails, too: what was not written is not wanted
                if handle is not None:
                    handle.close()
        for path in (self._spool_path, self._trace_path, self._failures, self._generator):
            path.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name only when everything was written."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _read_spool(spool: IO[bytes]) -> Iterator[list[Any]]:
    spool.flush()
    spool.seek(0)
    yield from msgpack.Unpacker(spool)


def _by_second(entries: Iterable[tuple[int, Entry]]) -> Iterator[list[Entry]]:
    """What belongs to each second, in their order, of entries that are almost in that order."""
    waiting: dict[int, list[Entry]] = {}
    newest = 0
    for second, entry in entries:
        waiting.setdefault(second, []).append(entry)
        if second > newest:
            newest = second
            for old in sorted(each for each in waiting if each < newest - LATE_SECONDS):
                yield waiting.pop(old)
    for second in sorted(waiting):
        yield waiting[second]


def _merged(spooled: Iterable[list[Any]]) -> Iterator[tuple[Key, Histogram]]:
    """One histogram for each second, method, name and kind, ordered by them."""
    for entries in _by_second((packed[0], packed) for packed in spooled):
        parts: dict[Key, list[Histogram]] = {}
        for second, method, name, kind, buckets, counts in entries:
            parts.setdefault((second, method, name, kind), []).append(unpacked_histogram(buckets, counts))
        for key in sorted(parts):
            yield key, Histogram.merged(parts[key])


def _write_trace(file: IO[str], spool: IO[bytes]) -> None:
    rows = csv.writer(file)
    rows.writerow(TRACE_COLUMNS)
    traced = (TraceRow(*row) for row in _read_spool(spool))
    for of_second in _by_second((row.ended // 1_000_000_000, row) for row in traced):
        of_second.sort(key=attrgetter("ended"))
        for row in of_second:
            times = (_unix(row.due), _unix(row.sent), _unix(row.ended))
            rows.writerow((row.id, row.method, row.name, *times, row.connection, row.kind))


def _unix(nanoseconds: int) -> str:
    """Unix nanoseconds as seconds with six decimals, which a float has not got to give."""
    seconds, microseconds = divmod(nanoseconds // 1000, 1_000_000)
    return f"{seconds}.{microseconds:06d}"


def latency_lines(key: Key, histogram: Histogram) -> Iterator[str]:
    """The lines of latency.csv for one second, method, name and kind."""
    second, method, name, kind = key
    prefix = _csv_fields(second, method, name, kind)
    for bucket, count in zip(histogram.buckets.tolist(), histogram.counts.tolist(), strict=True):
        yield f"{prefix},{bucket / 1000:.3f},{count}\n"


def failure_values(row: FailureRow) -> tuple[Any, ...]:
    """A row of failures.csv: no CSV reader takes a zero byte."""
    return (*astuple(row)[:-1], row.detail.replace("\0", "\\0"))


def _csv_fields(*values: Any) -> str:
    """Values as one CSV line without its end; names may hold commas, quotes and line breaks."""
    line = _Line()
    csv.writer(line).writerow(values)
    return line.text.removesuffix("\r\n")


class _Line:
    """The least that csv.writer needs to write to."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


class _Exact(StatsCSV):
    """Writes percentiles as they are counted, to two digits, where Locust cuts them to whole milliseconds."""

    def _percentile_fields(self, stats_entry: StatsEntry, use_current: bool = False) -> list[str] | list[int]:
        if not stats_entry.num_requests:
            return self.percentiles_na
        if use_current and stats_entry.use_response_times_cache:
            percentile_of = stats_entry.get_current_response_time_percentile
        else:
            percentile_of = stats_entry.get_response_time_percentile
        return [percentile_of(each) or 0 for each in self.percentiles_to_report]


class ExactCSV(_Exact):
    """Locust's statistics as CSV, as its web UI offers them for download."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, PERCENTILES_TO_REPORT)


class _ExactFiles(_Exact, StatsCSVFileWriter):
    """The same as files that grow."""


def write_exceptions(environment: Environment, directory: Path, *, empty: bool) -> None:
    """Write Locust's locust_exceptions.csv; `empty` leaves no more than its columns."""
    table = ExactCSV(environment)
    with whole_file(directory / "locust_exceptions.csv") as file:
        rows = csv.writer(file)
        if empty:
            rows.writerow(table.exceptions_columns)
        else:
            table.exceptions_csv(rows)


@contextmanager
def locust_csv(environment: Environment, directory: Path) -> Iterator[None]:
    """Locust's own CSV files: its history while the load runs, the rest once it has stopped."""
    writer = _ExactFiles(environment, PERCENTILES_TO_REPORT, str(directory / "locust"), full_history=True)
    greenlet = gevent.spawn(writer)
    try:
        yield
    finally:
        greenlet.kill()
        writer.close_files()
    for name, write in (
        ("locust_stats.csv", writer.requests_csv),
        ("locust_failures.csv", writer.failures_csv),
        ("locust_exceptions.csv", writer.exceptions_csv),
    ):
        with whole_file(directory / name) as file:
            write(csv.writer(file))
