import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.recycling.limits import NEAR_S
from analysis.recycling.stalls import (
    busiest_share,
    gaps,
    merged,
    none_left,
    short_of,
    slowest_outside_s,
    slowest_over_s,
)
from tests.fixtures.make_recycling import Life, Story, generation

NAN = float("nan")
times = st.lists(st.floats(-10, 110), max_size=30).map(np.array)


def pairs(length=20.0):
    """Intervals as two arrays."""
    each = st.tuples(st.floats(0, 100), st.floats(0, length)).map(lambda pair: (pair[0], pair[0] + pair[1]))
    return st.lists(each, min_size=1, max_size=12).map(lambda rows: tuple(np.array(rows).T))


def test_a_stall_is_the_time_until_the_successor_answers(cell):
    row = cell(Story("uvicorn", generation(4, 2.0, gap_s=0.6), max_requests=200))
    # The last answer comes 8 ms before the death (one every 10 ms takes 2), the next with the successor.
    assert row["gap_s"] == pytest.approx(0.61, abs=0.002)
    # Who was due first waits longest.
    assert row["slowest_ms"] == pytest.approx(602, abs=1) and row["slowest_outside_ms"] == pytest.approx(
        2, abs=0.1
    )


def test_each_replacement_has_the_stall_and_the_slow_request_that_overlap_it(told):
    workers = [Life(1, -2, -1, died=3.0), Life(2, 3.1, 3.4, died=6.0), Life(3, 6.1, 6.2)]
    found = told(Story("uvicorn", workers, slow={5.9: 0.5, 8.0: 0.9})).recycling
    replaced = found.replacements
    assert replaced["gap_s"].tolist() == pytest.approx([0.41, 0.21], abs=0.005)
    # In flight from 5.9 to 6.4 during the second; the slow one at 8 belongs to none.
    assert replaced["slowest_ms"].tolist() == pytest.approx([402, 500], abs=1)
    assert found.cells["slowest_outside_ms"].iloc[0] == pytest.approx(900, abs=1)


def test_a_window_without_an_answer_is_one_gap():
    assert gaps(np.array([-1.0, 12.0]), 0.0, 10.0).longest_s == 10.0


@given(times)
def test_gaps_fill_the_window(completed):
    found = gaps(completed, 0.0, 100.0)
    assert found.begin[0] == 0 and found.end[-1] == 100
    assert (found.begin[1:] == found.end[:-1]).all()
    inside = completed[(completed > 0) & (completed < 100)]
    assert len(found.begin) == len(inside) + 1
    assert found.longest_s == np.diff(np.sort([0, *inside, 100])).max()


@given(times, pairs())
def test_the_longest_gap_over_an_interval_is_that_of_all_that_touch_it(completed, intervals):
    found = gaps(completed, 0.0, 100.0)
    begin, end = intervals
    for low, high, longest in zip(begin, end, found.longest_over_s(begin, end), strict=True):
        touching = (found.end >= low) & (found.begin <= high)
        assert longest == (found.end - found.begin)[touching].max() if touching.any() else np.isnan(longest)


@given(pairs(), pairs())
def test_the_slowest_over_an_interval_is_that_of_all_that_overlap_it(requests, intervals):
    due, ended = requests
    begin, end = intervals
    for low, high, slowest in zip(begin, end, slowest_over_s(due, ended, begin, end), strict=True):
        overlapping = (due <= high) & (ended >= low)
        assert slowest == (ended - due)[overlapping].max() if overlapping.any() else np.isnan(slowest)


@given(pairs(), pairs(5.0))
def test_the_slowest_outside_comes_near_no_interval(requests, intervals):
    due, ended = requests
    begin, end = intervals
    away = [
        all(e < low - NEAR_S or d > high + NEAR_S for low, high in zip(begin, end, strict=True))
        for d, e in zip(due, ended, strict=True)
    ]
    slowest = slowest_outside_s(due, ended, begin, end)
    assert slowest == (ended - due)[away].max() if any(away) else np.isnan(slowest)


@given(pairs())
def test_merged_intervals_cover_the_same_and_do_not_touch(intervals):
    begin, end = intervals
    opens, closes = merged(begin, end)
    assert (opens[1:] > closes[:-1]).all()
    for point in np.linspace(-1, 121, 200):
        assert ((begin <= point) & (point <= end)).any() == ((opens <= point) & (point <= closes)).any()


def test_times_when_everybody_was_gone():
    ready, died = np.array([-1.0, -1.0, 3.0, 6.0]), np.array([2.0, 2.5, 5.0, NAN])
    count, seconds = none_left(ready, died, 0.0, 10.0)
    assert (count, seconds) == (2, pytest.approx(1.5))
    # Before the first and after the last there is nobody either.
    assert none_left(np.array([1.0]), np.array([9.0]), 0.0, 10.0) == (2, 2.0)
    assert none_left(np.array([NAN]), np.array([NAN]), 0.0, 10.0) == (1, 10.0)


def test_how_many_were_left_and_for_how_long_there_were_too_few():
    ready, died = np.array([-1.0, -1.0, 3.0, 6.0]), np.array([2.0, 2.5, 5.0, NAN])
    assert short_of(1, ready, died, 0.0, 10.0) == (0, pytest.approx(1.5))
    assert short_of(2, ready, died, 0.0, 10.0) == (0, pytest.approx(8.0))
    assert short_of(2, ready, died, 0.0, 2.0) == (2, 0.0)


def test_all_gone_is_said_of_several_workers_only(told):
    both = [Life(1, -2, -1, died=2.0), Life(2, -2, -1, died=2.1), Life(3, 2.0, 2.4), Life(4, 2.0, 2.5)]
    stories = [Story("sanic", both, workers=2), Story("uvicorn", generation(4, 2.0, gap_s=0.6))]
    cells = told(*stories).recycling.cells.set_index("configuration")
    assert cells.loc["sanic", "all_gone"] == 1 and cells.loc["sanic", "all_gone_s"] == pytest.approx(0.3)
    assert np.isnan(cells.loc["uvicorn", ["all_gone", "all_gone_s", "share_busiest"]].astype(float)).all()


def test_the_busiest_of_those_that_live_side_by_side(cell):
    pair = [Life(1, -2, -1, died=5.0), Life(2, -2, -1), Life(3, 4.0, 5.0)]
    # Worker 2 takes three of four requests beside worker 1, and worker 3 three of four beside worker 2.
    row = cell(
        Story("gunicorn-uvicorn", pair, workers=2, shares={2: 3, 3: 9}, max_requests=None, max_rss_mib=10)
    )
    assert row["share_busiest"] == pytest.approx(0.75, abs=0.01)


def test_a_share_needs_company():
    began, pid = np.array([1.0, 2.0]), np.array([7, 7])
    assert np.isnan(busiest_share(began, pid, np.array([0.0]), np.array([NAN]), 0.0, 10.0))
    # Beside an idle one the busiest has all; requests from before the second came do not count.
    ready, died = np.array([0.0, 1.5]), np.array([NAN, NAN])
    assert busiest_share(began, pid, ready, died, 0.0, 10.0) == 1.0
    alone_first = busiest_share(np.array([1.0, 2.0, 3.0]), np.array([7, 7, 8]), ready, died, 0.0, 10.0)
    assert alone_first == 0.5
