import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.counters import at, growth, rate

TIMES, VALUES = [0.0, 1.0, 2.0], [10.0, 11.0, 13.0]

STEPS = st.tuples(st.floats(0.01, 10), st.floats(0, 1e6))
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3).map(sorted)


@st.composite
def sampled(draw):
    """Times and values of a counter, which never falls."""
    steps = draw(st.lists(STEPS, min_size=2, max_size=20))
    return [list(accumulate(each, initial=draw(st.floats(0, 1e6)))) for each in zip(*steps, strict=True)]


@given(sampled(), SHARES)
def test_what_a_counter_grew_in_two_windows_is_what_it_grew_in_both(samples, shares):
    """Nothing is counted twice at the edge between them, or lost there."""
    times, values = samples
    start, middle, end = (times[0] + share * (times[-1] - times[0]) for share in shares)
    first, second = growth(times, values, start, middle), growth(times, values, middle, end)
    assert first >= -1e-6 and second >= -1e-6
    assert first + second == pytest.approx(growth(times, values, start, end), abs=1e-6 * max(values))
    assert growth(times, values, times[0], times[-1]) == pytest.approx(values[-1] - values[0])


@given(sampled(), st.floats(0, 1), st.floats(0.001, 5))
def test_of_a_whole_life_a_counter_grew_all_that_it_has(samples, share, later_s):
    times, values = samples
    born, died = times[0] - 0.5, times[-1] + later_s
    cut = born + share * (died - born)
    parts = [growth(times, values, *window, born=born, died=died) for window in ((born, cut), (cut, died))]
    assert sum(parts) == pytest.approx(values[-1]) and min(parts) >= -1e-6
    assert growth(times, values, born - 9, died + 9, born=born, died=died) == pytest.approx(values[-1])


@given(st.floats(0, 1e6), st.floats(0.1, 9), st.integers(2, 20), st.floats(-1.4, 25), st.floats(0, 20))
def test_growth_is_exact_where_a_counter_grows_evenly(rate_per_s, interval_s, count, begin, length):
    times = [number * interval_s for number in range(count)]
    start = begin * interval_s
    end = min(start + length * interval_s, times[-1] + 1.4 * interval_s)
    if start <= end:
        found = growth(times, [rate_per_s * each for each in times], start, end)
        assert found == pytest.approx(rate_per_s * (end - start), rel=1e-6, abs=1e-3)


def test_a_value_lies_on_the_line_between_samples_and_stays_level_outside():
    assert [at(TIMES, VALUES, moment) for moment in (-1, 0, 1.5, 2, 3)] == [10, 10, 12, 13, 13]


def test_growth_interpolates_between_samples():
    assert growth(TIMES, VALUES, 0.5, 1.5) == pytest.approx(1.5)


def test_growth_continues_a_little_beyond_the_samples_and_no_further():
    assert growth(TIMES, VALUES, -0.5, 2.5) == pytest.approx(0.5 + 3 + 1)
    assert math.isnan(growth(TIMES, VALUES, -1.6, 2.0))
    assert math.isnan(growth(TIMES, VALUES, 0.0, 3.6))
    assert math.isnan(growth(TIMES[:1], VALUES[:1], 0.0, 1.0))


def test_growth_knows_births_and_deaths():
    times, values = [1.0, 2.0], [0.5, 1.5]
    assert growth(times, values, 0.0, 2.0, born=0.5) == pytest.approx(1.5)
    assert growth(times, values, 0.0, 9.0, born=0.5, died=2.2) == pytest.approx(1.5)
    assert growth(times[:1], values[:1], 0.0, 9.0, born=0.5, died=1.5) == pytest.approx(0.5)
    # A process that was gone before the window used nothing in it, and one born after it neither.
    assert growth(times, values, 7.0, 9.0, died=2.2) == 0
    assert growth(times, values, -9.0, -7.0, born=0.5) == 0


def test_a_rate_is_that_between_the_samples_nearest_to_the_edges():
    assert rate(TIMES, VALUES, 0.75, 2.25, near_s=0.25) == pytest.approx(2)
    assert math.isnan(rate(TIMES, VALUES, 0.5, 2.0, near_s=0.25))
    assert math.isnan(rate(TIMES, VALUES, 0.9, 1.1, near_s=0.25))
    assert math.isnan(rate([], [], 0.0, 1.0, near_s=9))
