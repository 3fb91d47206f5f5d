"""Slopes of series whose truth is known."""

import math

import numpy as np
import pytest

from bench.stats.slopes import LEAST, slope

HOURS = np.linspace(0, 2, 120)


def alike(chance, likeness, count=120):
    """Noise of variance 1 in which each value resembles the one before."""
    values = [chance.normal()]
    for _ in range(count - 1):
        values.append(likeness * values[-1] + math.sqrt(1 - likeness**2) * chance.normal())
    return np.array(values)


@pytest.mark.parametrize(("likeness", "least"), [(0.0, 0.92), (0.5, 0.89), (0.9, 0.84)])
def test_the_interval_has_the_truth_in_it_although_values_are_alike(likeness, least):
    chance, covered = np.random.default_rng(1), 0
    for _ in range(200):
        found = slope(HOURS, 3 * HOURS + alike(chance, likeness))
        covered += found.low <= 3 <= found.high
    assert covered / 200 >= least


def test_it_is_narrow_where_values_are_not_alike():
    chance = np.random.default_rng(2)
    found = slope(HOURS, 100 * HOURS + alike(chance, 0.0))
    assert found.value == pytest.approx(100, rel=0.02) and found.grows
    assert found.high - found.low < 2 and found.effective > 60


def test_outliers_do_not_move_it():
    values = 5 * HOURS
    values[::15] += 1000
    assert slope(HOURS, values).value == pytest.approx(5, rel=0.02)


def test_nothing_is_told_across_the_parts_of_a_series():
    parts = np.repeat([1, 2], 60)
    values = 5 * HOURS - 1000 * (parts == 2)
    found = slope(HOURS, values, parts)
    assert found.value == pytest.approx(5) and (found.low, found.high) == pytest.approx((5, 5))
    assert slope(HOURS, values).value < 0


def test_what_stays_as_it_is_has_no_slope():
    found = slope(HOURS, np.full(len(HOURS), 7.0))
    assert (found.value, found.low, found.high, found.grows) == (0, 0, 0, False)


def test_whole_numbers_that_grow_seldom_are_seen():
    found = slope(HOURS, np.floor(10 * HOURS))
    assert found.value == pytest.approx(10, rel=0.1) and found.grows


def test_of_few_values_nothing_is_told():
    assert slope(range(LEAST - 1), range(LEAST - 1)) is None
    found = slope(range(LEAST), np.zeros(LEAST), range(LEAST))
    assert found is None, "each of them is a part of its own"
