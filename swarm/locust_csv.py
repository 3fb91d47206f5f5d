"""Locust's own CSV files, without its rounding."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent
from locust.env import Environment
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV, StatsCSVFileWriter, StatsEntry

from .recording import whole_file


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
