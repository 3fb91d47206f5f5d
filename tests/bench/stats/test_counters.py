import math

import pytest

from bench.stats.counters import at, growth, rate

TIMES, VALUES = [0.0, 1.0, 2.0], [10.0, 11.0, 13.0]


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
