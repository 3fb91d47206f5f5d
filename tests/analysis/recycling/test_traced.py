import pandas as pd
import pytest

from analysis.reading import results
from analysis.reading.frames import processes_of
from analysis.study import study
from bench.model.errors import UserError
from tests.fixtures.make_recycling import Life, Story, make_recycling


@pytest.fixture
def folder(tmp_path):
    return make_recycling(tmp_path / "run", [Story("sanic", [Life(1, -2, -1)], seconds=3)])


def test_ids_are_read_as_they_are_written(folder):
    (trace,) = folder.rglob("trace.csv")
    written = pd.read_csv(trace, dtype=str)
    # A second process of the generator has the same serial numbers.
    other = written.assign(id=written["id"].str.replace("0-", "12-", n=1))
    pd.concat([written, other]).to_csv(trace, index=False)
    loaded = results.load(folder)
    assert loaded.trace["id"].tolist() == [*written["id"], *other["id"]]
    assert processes_of(loaded.trace["id"]).tolist() == [0] * len(written) + [12] * len(other)
    assert set(loaded.handled["id"]) == set(written["id"])


@pytest.mark.parametrize("name", ["trace", "requests"])
@pytest.mark.parametrize("bad", ["", "7", "a-7", "0-7-7", "0-x", "-1-7"])
def test_an_id_that_is_none_of_ours_is_named_with_its_file(folder, name, bad):
    (path,) = folder.rglob(f"{name}.csv")
    path.write_text(path.read_text().replace("0-7,", f"{bad},", 1))
    with pytest.raises(UserError, match=rf"r1/{name}\.csv: a request has no id of the form PROCESS-SER"):
        results.load(folder)


@pytest.mark.parametrize("name", ["trace", "requests"])
def test_a_missing_file_is_named(folder, name):
    (path,) = folder.rglob(f"{name}.csv")
    path.unlink()
    with pytest.raises(UserError, match=rf"r1/{name}\.csv is missing"):
        results.load(folder)


def test_an_empty_log_is_that_of_a_server_that_answered_nothing(folder):
    for name in ("trace", "requests"):
        (path,) = folder.rglob(f"{name}.csv")
        path.write_text(path.read_text().splitlines()[0] + "\n")
    analysed = study(folder)
    assert analysed.results.trace.empty and analysed.results.handled.empty
    row = analysed.recycling.cells.iloc[0]
    assert (row["requests"], row["verdict"], row["gap_s"]) == (0, "not replaced", 3.0)
