"""A leak, a cache that fills, a saw-tooth, or nothing: simulated series."""

import numpy as np
import pytest

from analysis.soak.growth import growth, settled
from tests.bench.stats.test_slopes import alike

HOURS = np.linspace(0.1, 2, 120)
ONE = np.ones(120, dtype=int)
MIB = 1.0


def noisy(values, seed=1, noise=0.2, likeness=0.6):
    return values + noise * alike(np.random.default_rng(seed), likeness, len(values))


def kinds(values, least=MIB, seeds=range(20)):
    return [growth(HOURS, noisy(values, seed), ONE, least).kind for seed in seeds]


def test_a_leak_is_found_and_its_size():
    found = growth(HOURS, noisy(100 + 30 * HOURS), ONE, MIB)
    assert found.kind == "grows" and found.whole.value == pytest.approx(30, rel=0.03)
    assert found.whole.low < 30 < found.whole.high
    assert kinds(100 + 30 * HOURS).count("grows") >= 18


def test_without_a_leak_none_is_found():
    assert "grows" not in kinds(np.full(120, 100.0))
    assert kinds(np.full(120, 100.0)).count("steady") >= 17


def test_a_cache_that_fills_is_no_leak():
    for hours_to_fill in (0.4, 0.6, 1):
        found = kinds(100 + 40 * (1 - np.exp(-HOURS / hours_to_fill)))
        assert set(found) <= {"filling", "slows"}, hours_to_fill
        assert hours_to_fill < 0.6 or found.count("filling") >= 10


def test_a_leak_beside_a_cache_that_fills_is_not_explained_away():
    found = kinds(100 + 60 * (1 - np.exp(-HOURS / 0.2)) + 20 * HOURS)
    assert set(found) <= {"slows", "grows"}


def test_a_large_cache_that_slows_down_is_no_leak():
    assert set(kinds(100 + 200 * (1 - np.exp(-HOURS / 2)))) <= {"slows", "filling"}


def test_a_saw_tooth_is_no_leak():
    teeth = 100 + 40 * ((HOURS / 0.25) % 1)
    assert "grows" not in kinds(teeth)


def test_noise_that_hides_it_is_no_proof_that_there_is_none():
    found = [
        growth(HOURS, noisy(100 + 2 * HOURS, seed, noise=10, likeness=0.9), ONE, MIB).kind
        for seed in range(20)
    ]
    assert found.count("unshown") + found.count("undecided") >= 17


def test_what_is_said_of_a_leak_that_was_not_shown_holds():
    """A leak is below what is said in 99 of 100, be the noise what it may."""
    for pace, noise, likeness in ((0.3, 0.5, 0.6), (0.6, 0.5, 0.9), (2, 10, 0.6)):
        found = [
            growth(HOURS, noisy(100 + pace * HOURS, seed, noise, likeness), ONE, MIB) for seed in range(50)
        ]
        told = [each.at_most for each in found if each.kind == "unshown"]
        assert len(told) > 10, (pace, [each.kind for each in found])
        assert sum(most is not None and most < pace for most in told) <= 2, pace
    leak = growth(HOURS, noisy(100 + 30 * HOURS), ONE, MIB)
    assert leak.at_most is None, "it was shown"


def test_a_soak_of_minutes_shows_nothing_of_what_grows_slowly():
    short = HOURS / 60
    nothing = growth(short, noisy(np.full(120, 100.0)), ONE, MIB)
    assert nothing.kind == "unshown" and nothing.at_most > 1, "more than what counts may hide in minutes"
    assert growth(short, 100 + 300 * short, ONE, MIB).kind == "grows"


def test_growth_too_small_to_count_is_none():
    assert growth(HOURS, 100 + 0.1 * HOURS, ONE, MIB).kind == "steady"


def test_missing_values_are_left_out_and_few_are_too_few():
    values = noisy(100 + 30 * HOURS)
    values[::3] = np.nan
    assert growth(HOURS, values, ONE, MIB).kind == "grows"
    values[10:] = np.nan
    assert growth(HOURS, values, ONE, MIB).kind == "short"


def test_a_new_server_begins_anew():
    legs = np.repeat([1, 2], 60)
    ages = np.concatenate([HOURS[:60] - HOURS[0], HOURS[60:] - HOURS[60]])
    found = growth(HOURS, noisy(100 + 30 * ages), legs, MIB)
    assert found.kind == "grows" and found.whole.value == pytest.approx(30, rel=0.05)


def test_the_warm_up_of_each_leg_is_left_out():
    hours, legs = np.arange(0, 4, 0.01), np.repeat([1, 2], 200)
    kept = settled(hours, legs)
    assert hours[kept].min() == pytest.approx(0.2, abs=0.011), "a tenth of two hours"
    assert hours[kept & (legs == 2)].min() == pytest.approx(2.2, abs=0.011)
    short = settled(np.linspace(0, 0.01, 50), np.ones(50, dtype=int))
    assert short.sum() == pytest.approx(35, abs=1), "three tenths at most"
