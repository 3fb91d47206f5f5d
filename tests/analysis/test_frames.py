"""Small files are read together, odd ones one by one: what comes of it is the same."""

import csv

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from analysis import frames
from analysis.results import load
from bench.model.columns import FILES
from bench.model.errors import UserError


@pytest.fixture
def finished(small):
    return load(small).finished


@pytest.mark.parametrize(
    "name",
    [name for name, file in FILES.items() if not file.of_some],
)
def test_together_they_are_what_they_are_one_by_one(small, finished, name, monkeypatch):
    together = frames.read(small, finished, name)
    monkeypatch.setattr(frames, "TOGETHER_BYTES", -1)
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
    with pytest.raises(UserError, match=str(place)):
        frames.read(folder, cells, "host")
