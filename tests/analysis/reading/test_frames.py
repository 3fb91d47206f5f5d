"""Small files are read together, odd ones one by one: what comes of it is the same."""

import csv

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from analysis.reading import csv_files, frames, results
from analysis.reading.damage import DamagedError
from analysis.reading.results import load
from bench.model.records.columns import FILES


@pytest.fixture
def finished(small):
    return load(small).finished


@pytest.mark.parametrize(
    "name",
    [name for name, file in FILES.items() if not file.of_some],
)
def test_together_they_are_what_they_are_one_by_one(small, finished, name, monkeypatch):
    together = frames.read(small, finished, name)
    monkeypatch.setattr(csv_files, "TOGETHER_BYTES", -1)
    one_by_one = frames.read(small, finished, name)
    assert len(together) > 0 or name in ("failures", "workers")
    assert_frame_equal(together, one_by_one, check_categorical=False)


def test_a_text_of_several_lines_is_one_row_of_its_cell(run):
    folder = run(configurations=("sanic",), scenarios={"index": (8,)})
    cells = load(folder).finished
    place = folder / cells["path"].iloc[1] / "failures.csv"
    with place.open(newline="") as file:
        header = next(csv.reader(file))
    row = dict.fromkeys(header, "") | {"time": "1790000007.5", "name": "/index", "method": "GET"}
    row |= {"kind": "reset", "detail": 'it said\n"no"', "count": "2"}
    with place.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerow(row)
    failures = frames.read(folder, cells, "failures")
    assert failures["cell"].tolist() == [cells.index[1]]
    assert pd.Series(failures["count"]).tolist() == [2]


def test_the_file_that_is_wrong_is_named(run):
    folder = run(configurations=("sanic",), scenarios={"index": (8,)})
    cells = load(folder).finished
    place = folder / cells["path"].iloc[2] / "host.csv"
    place.write_text(place.read_text().replace("\n", "\nx", 1))
    with pytest.raises(DamagedError, match=str(place)):
        frames.read(folder, cells, "host")


def cell(start, end):
    """One cell with such a window, as far as windows are cut by it."""
    dimensions = dict.fromkeys(frames.DIMENSIONS[1:], 1)
    return pd.DataFrame([dimensions | {"window_start": start, "window_end": end}], index=[7])


SECONDS = st.integers(100, 120)


@given(
    st.lists(st.floats(95, 125) | SECONDS.map(float)), st.lists(SECONDS, min_size=3, max_size=3).map(sorted)
)
def test_a_row_at_an_edge_belongs_to_one_window(times, edges):
    rows = pd.DataFrame({"cell": 7, "time": pd.Series(times, dtype=float)})
    start, middle, end = edges
    first, second, both = (
        frames.cut(rows, cell(*window), "time")["time"].tolist()
        for window in ((start, middle), (middle, end), (start, end))
    )
    assert sorted(first + second) == sorted(both) == sorted(each for each in times if start <= each < end)


@settings(max_examples=25)
@given(
    st.dictionaries(st.integers(90, 125), st.integers(1, 50)),
    st.dictionaries(st.floats(90, 125), st.integers(1, 50)),
    st.tuples(st.integers(100, 110), st.integers(1, 9)),
)
def test_each_request_of_a_window_is_in_one_of_its_seconds(answered, failed, window):
    start, end = window[0], sum(window)
    latency = pd.DataFrame(
        [(7, "service", second, count) for second, count in answered.items()],
        columns=["cell", "kind", "second", "count"],
    )
    failures = pd.DataFrame([(7, *each) for each in failed.items()], columns=["cell", "time", "count"])
    found = results._seconds(latency, failures, cell(start, end))
    inside = found[found["in_window"]]
    assert inside["second"].tolist() == list(range(start, end))
    assert inside["requests"].sum() == sum(n for second, n in answered.items() if start <= second < end)
    assert inside["failures"].sum() == sum(n for time, n in failed.items() if start <= time < end)
    assert found["second"].is_unique and found["second"].max() < end
