import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis.findings.finding import Measurements
from analysis.findings.steadiness import TREND_SECONDS_S, course, steadiness
from analysis.findings.trends import DRIFT, STEP, settled, trend


def noisy(*means, seed=1, share=0.01):
    """A second for each mean, with one percent of noise."""
    return np.array(means, dtype=float) * np.random.default_rng(seed).normal(1, share, len(means))


def test_mser_drops_what_is_not_like_the_rest():
    assert settled(noisy(40, 70, 100, 100, 100, 100, 100, 100), tolerance=5) == 2
    assert settled(np.full(8, 100.0), tolerance=0) == 0
    # White's rule: what would leave less than half of the series has not settled.
    assert settled(noisy(*range(10, 90, 10)), tolerance=5) is None


def test_mser_is_whites_statistic():
    """The example worked by hand: dropping 1 of (0, 2, 1, 2, 1) leaves variance 1/4 over 4 values."""
    values = np.array([0.0, 2, 1, 2, 1])
    by_hand = [np.sum((values[d:] - values[d:].mean()) ** 2) / (5 - d) ** 2 for d in range(3)]
    assert by_hand[1] == pytest.approx(1 / 16)
    assert settled(values, tolerance=0) == int(np.argmin(by_hand)) == 1
    assert settled(values, tolerance=1.5) == 0


def test_a_slope_is_a_drift():
    found = trend(noisy(100, 104, 108, 112, 116, 120), least=1)
    assert found.at is None and found.change == pytest.approx(20 / 110, abs=0.03)
    falling = trend(noisy(*np.linspace(100, 50, 10)), least=1)
    assert falling.at is None and falling.change == pytest.approx(-50 / 75, abs=0.05)


def test_a_jump_is_a_step_and_says_where():
    found = trend(noisy(100, 100, 100, 100, 150, 150, 150), least=1)
    assert found.at == 4 and found.change == pytest.approx(50 / 121, abs=0.02)
    exact = trend(np.array([100.0, 100, 150, 150, 150]), least=1)
    assert exact.at == 2


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_neither(seed):
    assert trend(noisy(*[100] * TREND_SECONDS_S, seed=seed, share=0.03), least=1) is None
    assert trend(noisy(*[100] * 30, seed=seed, share=0.05), least=1) is None


def test_a_stall_is_no_step():
    assert trend(noisy(100, 100, 100, 0, 100, 100, 100, 100), least=1) is None


def test_small_changes_are_let_be():
    assert trend(np.linspace(100, 100 * (1 + DRIFT * 0.8), 10), least=1) is None
    assert trend(np.array([100.0] * 5 + [100 * (1 + DRIFT * 0.8)] * 5), least=1) is None
    assert DRIFT < STEP


def test_a_change_that_the_users_in_flight_explain_is_none():
    values = np.array([10.0, 10, 10, 15, 15, 15])
    assert trend(values, least=1).at == 3
    assert trend(values, least=5) is None


def test_no_request_is_no_trend():
    assert trend(np.zeros(6), least=1) is None


def test_a_warm_up_inside_the_window_is_counted():
    cold = course(noisy(30, 40, 60, 100, 100, 100, 100, 100, 100, 100), warmup_s=1, users=1)
    assert (cold.cold_s, cold.swing) == (2, 0.0) and math.isnan(cold.change)
    assert cold.off == pytest.approx(-0.5, abs=0.02)


def test_a_warm_up_that_ended_before_the_window_is_none():
    warm = course(noisy(30, 60, 100, 100, 100, 100, 100, 100), warmup_s=2, users=1)
    assert (warm.cold_s, warm.swing) == (0, 0.0) and math.isnan(warm.change)


def short_windows(*windows):
    """Repeats of one load, each with the requests of its seconds, the first of them warm-up."""
    closed = pd.DataFrame(
        [
            {"configuration": "sanic", "scenario": "index", "workers": 1, "users": 1, "repeat": repeat}
            for repeat in range(len(windows))
        ]
    )
    closed["load_kind"], closed["arrivals"], closed["rate_per_s"] = "closed", None, math.nan
    rows = [
        {"cell": cell, "second": second, "requests": requests, "in_window": second > 0}
        for cell, window in enumerate(windows)
        for second, requests in enumerate(window)
    ]
    results = SimpleNamespace(seconds=pd.DataFrame(rows))
    found = steadiness(Measurements(results, closed.assign(load_kind="closed"), None))
    return [finding for finding in found if finding.kind == "warm-up"]


def test_in_short_windows_the_repeats_tell_a_warm_up_from_chance():
    (finding,) = short_windows((50, 70, 100, 100), (50, 72, 99, 100), (50, 69, 100, 101))
    assert finding.severity == "note" and "-30%" in finding.message
    assert short_windows((50, 70, 100, 100), (50, 130, 100, 100), (50, 100, 100, 100)) == []
    assert short_windows((50, 97, 100, 100), (50, 98, 100, 100), (50, 97, 100, 100)) == []


def test_one_short_window_tells_nothing():
    assert short_windows((50, 70, 100, 100)) == []
    assert short_windows((50, 70), (50, 60), (50, 65)) == []


def test_a_stall_in_a_long_window_swings():
    stalled = course(noisy(100, 100, 100, 100, 0, 100, 100, 100, 100), warmup_s=1, users=1)
    assert stalled.cold_s == 0 and math.isnan(stalled.change) and stalled.swing > 0.8
