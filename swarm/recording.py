"""The files of one recording: `latency.csv`, `failures.csv`, `generator.csv`.

Batches are spooled in binary while the load runs, because formatting a second's worth of rows would
hold the users up for milliseconds. The CSV files are written afterwards, and renamed when whole.
Memory stays bounded however long the recording: the spool is read back a few seconds at a time.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, fields
from pathlib import Path
from typing import IO, Any, Final

import msgpack

from .batch import Batch, FailureRow, unpacked_histogram
from .samples import Histogram

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
LATE_SECONDS: Final = 30
"""Workers report a few seconds late; a second is written once it is this much older than the newest."""

Key = tuple[int, str, str, str]


class Recording:
    """Takes batches in while the load runs; `finish` writes the files into `directory`.

    The directory is made if need be. Raises OSError where it cannot be written (a full disk, for one).
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._spool_path = directory / ".latency.spool"
        self._spool = self._spool_path.open("w+b")
        self._failures = directory / ".failures.csv.part"
        self._generator = directory / ".generator.csv.part"
        self._failures_file = self._failures.open("w", newline="", encoding="utf-8")
        self._generator_file = self._generator.open("w", newline="", encoding="utf-8")
        self._failure_rows = csv.writer(self._failures_file)
        self._generator_rows = csv.DictWriter(self._generator_file, GENERATOR_COLUMNS)
        self._failure_rows.writerow(FAILURE_COLUMNS)
        self._generator_rows.writeheader()

    def add(self, batch: Batch) -> None:
        """Take a batch in."""
        packed = batch.packed()
        for histogram in packed["histograms"]:
            self._spool.write(msgpack.packb(histogram))
        for row in batch.failures:
            values = astuple(row)
            self._failure_rows.writerow((*values[:-1], row.detail.replace("\0", "\\0")))
        self._generator_rows.writerows(batch.generator)

    def finish(self) -> None:
        """Write the CSV files, whole or not at all."""
        try:
            self._finish()
        finally:
            self.discard()

    def _finish(self) -> None:
        self._spool.flush()
        self._spool.seek(0)
        with whole_file(self._directory / "latency.csv") as file:
            file.write(",".join(LATENCY_COLUMNS) + "\n")
            for key, histogram in _merged(_read_spool(self._spool)):
                file.writelines(_latency_lines(key, histogram))
        for part, handle, name in (
            (self._failures, self._failures_file, "failures.csv"),
            (self._generator, self._generator_file, "generator.csv"),
        ):
            handle.close()
            part.rename(self._directory / name)

    def discard(self) -> None:
        """Close, and remove what is not a finished file."""
        for handle in (self._spool, self._failures_file, self._generator_file):
            with suppress(OSError):  # on a full disk closing fails, too: what was not written is not wanted
                handle.close()
        for path in (self._spool_path, self._failures, self._generator):
            path.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under its name only when everything was written."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            yield file
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)


def _read_spool(spool: IO[bytes]) -> Iterator[tuple[Key, Histogram]]:
    for second, method, name, kind, buckets, counts in msgpack.Unpacker(spool):
        yield (second, method, name, kind), unpacked_histogram(buckets, counts)


def _merged(entries: Iterable[tuple[Key, Histogram]]) -> Iterator[tuple[Key, Histogram]]:
    """One histogram per key, ordered by second, from entries that are almost in that order."""
    open_keys: dict[Key, list[Histogram]] = {}
    newest = 0
    for key, histogram in entries:
        open_keys.setdefault(key, []).append(histogram)
        if key[0] > newest:
            newest = key[0]
            for old in sorted(key for key in open_keys if key[0] < newest - LATE_SECONDS):
                yield old, Histogram.merged(open_keys.pop(old))
    for key in sorted(open_keys):
        yield key, Histogram.merged(open_keys[key])


def _latency_lines(key: Key, histogram: Histogram) -> Iterator[str]:
    second, method, name, kind = key
    prefix = _csv_fields(second, method, name, kind)
    for bucket, count in zip(histogram.buckets.tolist(), histogram.counts.tolist(), strict=True):
        yield f"{prefix},{bucket / 1000:.3f},{count}\n"


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
