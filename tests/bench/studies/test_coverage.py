"""Intervals of 95 % have the truth in them as often as they say, on a machine that drifts and remembers."""

import numpy as np
import pytest

from bench.stats import comparison
from bench.studies.self_check.coverage import (
    DESIGNS,
    UNEVEN,
    Design,
    coverage,
    coverage_of_counts,
    coverage_of_runs,
    coverage_of_uneven,
    tables,
)

CHOSEN = (DESIGNS[0], DESIGNS[2], DESIGNS[3], DESIGNS[8])


@pytest.mark.parametrize("design", CHOSEN, ids=lambda design: design.words)
def test_ratios_are_covered(design):
    found = coverage(design, 300 if design.configurations > 3 else 1000, seed=2)
    assert found.held, f"{found.share:.1%} of {found.intervals}"


def test_ratios_are_covered_where_one_scatters_twice_as_much():
    its, others = coverage_of_uneven(UNEVEN[0], 1000, seed=2)
    assert its.held and others.held, f"{its.share:.1%}, {others.share:.1%}"


def test_ratios_of_two_runs_are_covered():
    assert coverage_of_runs(5, 2000, seed=2).held


def test_counts_are_covered_at_least():
    """Their interval is exact: it may hold the truth more often, never less often."""
    assert coverage_of_counts(2, 3, 1500, seed=2).share > 0.94


def test_narrower_intervals_would_be_found_out(monkeypatch):
    usual = comparison._quantile
    monkeypatch.setattr(comparison, "_quantile", lambda freedom: 0.8 * usual(freedom))
    found = coverage(DESIGNS[2], 500, seed=2)
    assert not found.held and found.share < 0.93
    assert f"{found.share:.1%}" in tables([found], [])[0].rows[0]


def test_a_simulated_machine_is_what_its_design_says():
    design = Design("long", 4, 50, rounds=50, drift=0.0, wander=0.1, memory=0.9)
    course = design._machine(np.random.default_rng(1), 20)
    assert course.std() == pytest.approx(0.1, rel=0.1)
    one, next_ = course[:, :-1].ravel(), course[:, 1:].ravel()
    assert np.corrcoef(one, next_)[0, 1] == pytest.approx(0.9, abs=0.02)
    drifting = Design("drifting", 2, 5, drift=0.5, wander=0)._machine(np.random.default_rng(1), 1)
    assert drifting[0, 0] == 0 and drifting[0, -1] == pytest.approx(0.5)


def test_every_configuration_has_a_window_in_every_round():
    """Without noise the windows of a round are those of the machine, each once."""
    design = Design("bare", 5, 3, drift=0.3, wander=0, start=0, window=0)
    found = design.figures(np.random.default_rng(1), 4) - 0.05 * np.arange(5)
    machine = design._machine(np.random.default_rng(1), 4).reshape(4, 3, 5)
    assert np.sort(found, axis=-1) == pytest.approx(machine)
