"""The figures of the measured window, read back from the files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.recording.batch import FROM_SCHEDULE, LATENESS, SERVICE, Batch
from swarm.recording.files import GENERATOR_COLUMNS, Recording
from swarm.recording.histogram import Histogram
from swarm.recording.summary import percentiles, read_window


def histogram(values):
    return Histogram.of(np.array(values, dtype=np.int64))


@given(st.lists(st.integers(min_value=0, max_value=50), min_size=1, max_size=300))
def test_percentiles_are_nearest_rank_with_ten_beyond(values):
    ordered = sorted(values)
    counts = {float(value): values.count(value) for value in values}
    found = percentiles(counts)
    for name, percent in (("p50", 50), ("p90", 90), ("p99", 99)):
        rank = -(-len(values) * percent // 100)
        assert found[name] == (ordered[rank - 1] if len(values) - rank >= 10 else None)
    assert found["max"] == ordered[-1]


def generator_row(time, process, arrivals, completions):
    return dict.fromkeys(GENERATOR_COLUMNS) | {
        "time": time,
        "process": process,
        "arrivals": arrivals,
        "completions": completions,
    }


@pytest.fixture
def record(tmp_path):
    def written(batch):
        recording = Recording(tmp_path)
        recording.add(batch)
        recording.finish()
        return tmp_path

    return written


def test_a_window_of_an_open_loop(record):
    batch = Batch()
    for second, values in ((99, [1]), (100, [1000] * 15), (101, [2000] * 15), (102, [1])):
        batch.add_histogram(second, "GET", "/", SERVICE, histogram(values))
        batch.add_histogram(second, "GET", "/", FROM_SCHEDULE, histogram([v * 2 for v in values]))
    batch.add_histogram(100, "GET", "/", LATENESS, histogram([5]))
    batch.generator += [
        generator_row(100.0, 0, None, None),  # a master
        generator_row(102.0, 0, None, None),
        generator_row(99.5, 1, 0, 0),
        generator_row(100.5, 1, 10, 8),
        generator_row(102.5, 1, 50, 28),
        generator_row(100.25, 2, 100, 90),
        generator_row(101.25, 2, 120, 110),
    ]
    window = read_window(record(batch), 100, 102)
    assert (window.requests, window.failures) == (30, 0)
    assert window.latency_us == {
        "service": {"p50": 1.0, "p90": None, "p99": None, "max": 2.0},
        "from_schedule": {"p50": 2.0, "p90": None, "p99": None, "max": 4.0},
        "lateness": {"p50": None, "p90": None, "p99": None, "max": 0.005},
    }
    assert window.arrivals == (40 - 5) + (135 - 95)  # on the lines through the nearest rows
    assert window.completions == (23 - 4) + (125 - 85)


def test_a_window_of_a_closed_loop_has_no_arrivals(record):
    batch = Batch()
    batch.add_histogram(100, "GET", "/", SERVICE, histogram([7]))
    batch.generator += [generator_row(time, 0, None, None) for time in (100.0, 101.0)]
    window = read_window(record(batch), 100, 101)
    assert (window.requests, window.arrivals, window.completions) == (1, None, None)
    assert set(window.latency_us) == {"service"}
