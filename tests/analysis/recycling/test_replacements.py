from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.reading.frames import DIMENSIONS
from analysis.recycling.lives import replacements
from analysis.recycling.model import LIVES
from tests.fixtures.make_recycling import Life, Story, generation


def told_times(analysed, columns):
    """Columns of the replacements in seconds from the start of the window."""
    start = analysed.results.finished["window_start"].iloc[0]
    return (analysed.recycling.replacements[columns] - start).round(4)


@pytest.mark.parametrize("overlap_s, gap_s", [(0.2, 0.0), (0.0, 0.2)])
def test_a_successor_may_come_before_the_death_or_after_it(told, overlap_s, gap_s):
    life_s = 2.0
    workers = generation(4, life_s, overlap_s=overlap_s, gap_s=gap_s)
    found = told(Story("sanic", workers, max_requests=200))
    replaced = found.recycling.replacements
    assert replaced["number"].tolist() == [1, 2, 3]
    assert replaced["old_pid"].tolist() == [1000, 1001, 1002]
    assert replaced["new_pid"].tolist() == [1001, 1002, 1003]
    # A successor is born 0.3 s before it is ready.
    begins = [min(old.died, new.born) for old, new in pairwise(workers)]
    ends = [max(old.died, new.ready) for old, new in pairwise(workers)]
    times = told_times(found, ["begin", "end"])
    np.testing.assert_allclose(times["begin"], begins, atol=1e-3)
    np.testing.assert_allclose(times["end"], ends, atol=1e-3)
    assert found.recycling.cells["replaced"].iloc[0] == 3


def test_who_was_replaced_in_the_warm_up_does_not_count_but_keeps_its_place(told):
    # The first dies half a second before the window; its successor must not be taken for the next one's.
    workers = generation(4, 1.5, first=-2.0)
    found = told(Story("sanic", workers, warmup_s=2)).recycling.replacements
    assert found["number"].tolist() == [1, 2]
    assert list(zip(found["old_pid"], found["new_pid"], strict=True)) == [(1001, 1002), (1002, 1003)]


def test_two_workers_are_replaced_one_after_the_other(told):
    workers = [
        Life(1, -2, -1, died=2.0), Life(2, -2, -1, died=4.0), Life(3, 1.5, 1.9, died=6.0), Life(4, 4.1, 4.5),
        Life(5, 6.1, 6.5),
    ]  # fmt: skip
    found = told(Story("sanic", workers, workers=2)).recycling.replacements
    assert list(zip(found["old_pid"], found["new_pid"], strict=True)) == [(1, 3), (2, 4), (3, 5)]


def test_replacements_that_overlap_know_how_many_others_do_and_how_long_each_start_took(told):
    workers = [
        Life(1, -2, -1, died=2.0), Life(2, -2, -1, died=2.2), Life(3, 2.1, 2.5, died=6.0), Life(4, 2.3, 2.6),
        Life(5, 6.1, 6.9),
    ]  # fmt: skip
    found = told(Story("sanic", workers, workers=2)).recycling
    assert found.replacements["overlaps"].tolist() == [1, 1, 0]
    assert found.replacements["start_s"].tolist() == pytest.approx([0.4, 0.3, 0.8], abs=1e-3)
    row = found.cells.iloc[0]
    assert row["fewest_ready"] == 0 and row["short_s"] == pytest.approx(0.6 + 0.9, abs=1e-3)


def test_a_death_without_a_successor_lasts_until_the_window_ends(told):
    found = told(Story("sanic", [Life(1, -2, -1, died=4.0)]))
    assert found.recycling.replacements["new_pid"].isna().all()
    assert told_times(found, ["begin", "end"]).iloc[0].tolist() == pytest.approx([4.0, 10.0], abs=0.02)
    assert found.recycling.cells["replaced"].iloc[0] == 0


@pytest.mark.parametrize("silent, begin", [(3.5, 3.49), (None, 6.0)])
def test_a_replacement_begins_when_the_old_worker_falls_silent(told, silent, begin):
    workers = [Life(1, -2, -1, died=6.0, silent=silent), Life(2, 6.1, 6.5)]
    found = told(Story("sanic", workers))
    assert told_times(found, ["begin"])["begin"].iloc[0] == pytest.approx(begin, abs=0.02)


def test_a_worker_that_was_idle_for_long_is_not_ending_all_that_time(told):
    workers = [Life(1, -2, -1, died=14.0, silent=1.0), Life(2, -2, -1), Life(3, 14.1, 14.5)]
    found = told(Story("sanic", workers, workers=2, seconds=16))
    assert told_times(found, ["begin"])["begin"].iloc[0] == 4.0


def test_the_end_of_a_server_that_was_told_to_is_no_replacement(told):
    workers = [Life(1, -2, -1, died=1.0), Life(2, 0.7, 1.0, died=4.0)]
    found = told(Story("sanic", workers, "terminate", probe=(3.0, 99))).recycling.replacements
    assert found["old_pid"].tolist() == [1]


def test_who_was_never_ready_is_not_replaced(told):
    workers = [Life(1, -2, -1, died=2.0), Life(2, 2.0, None, died=2.2), Life(3, 2.3, 2.6)]
    found = told(Story("sanic", workers)).recycling.replacements
    assert list(zip(found["old_pid"], found["new_pid"], strict=True)) == [(1, 3)]


@st.composite
def cells_of_lives(draw):
    """Lives of one cell with a window from 0 to 100; every worker is born, ready and perhaps dies."""
    count = draw(st.integers(1, 12))
    rows = []
    for pid in range(count):
        born = draw(st.floats(-20, 99))
        ready = draw(st.one_of(st.just(np.nan), st.floats(born, 99.5)))
        since = born if np.isnan(ready) else ready
        died = draw(st.one_of(st.just(np.nan), st.floats(since, 99.9)))
        rows.append({"cell": 0, "workers": 2, "pid": pid, "born": born, "ready": ready, "died": died})
    return pd.DataFrame(rows).reindex(columns=[*DIMENSIONS, *LIVES])


@given(cells_of_lives())
def test_every_death_in_the_window_is_one_replacement_and_no_successor_comes_twice(lives):
    cells = pd.DataFrame(
        {"window_start": 0.0, "window_end": 100.0, "probe_time": np.nan, "treatment": "recycled"}, index=[0]
    )
    found = replacements(lives, cells)
    deaths = lives[lives["ready"].notna() & (lives["died"] >= 0)]
    assert sorted(found["old_pid"]) == sorted(deaths["pid"])
    assert found["number"].tolist() == list(range(1, len(found) + 1))
    came = found["new_pid"].dropna()
    assert came.is_unique
    # The workers that a server starts with replace nobody.
    first = lives[lives["ready"].notna()].sort_values(["ready", "pid"])["pid"].iloc[:2]
    assert not set(came) & set(first)
    assert (found["begin"] <= found["end"]).all()
