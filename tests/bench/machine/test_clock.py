"""A clock that was set is told from one that is kept right."""

import time
from types import SimpleNamespace

import pytest

from bench.machine import clock
from bench.machine.clock import Clock


@pytest.fixture
def moments(monkeypatch):
    """What both clocks say: `moments['unix']`, `moments['monotonic']`."""
    said = {"unix": 1_800_000_000.0, "monotonic": 100.0}
    clocks = SimpleNamespace(time=lambda: said["unix"], monotonic=lambda: said["monotonic"])
    monkeypatch.setattr(clock, "time", clocks)
    return said


def passes(moments, seconds, drawn=0.0):
    moments["monotonic"] += seconds
    moments["unix"] += seconds * (1 + drawn)


@pytest.mark.parametrize(
    ("step_s", "said"),
    [
        (-3600, "the clock of this machine was set back by 3600.0 s meanwhile"),
        (-0.2, "the clock of this machine was set back by 0.2 s meanwhile"),
        (30, "the clock of this machine was set forward by 30.0 s meanwhile, or the machine slept"),
        (0.05, None),
    ],
)
def test_a_step_is_told(moments, step_s, said):
    steady = Clock()
    passes(moments, 60)
    moments["unix"] += step_s
    assert steady.jump() == said


@pytest.mark.parametrize("drawn", [0, 500e-6, -500e-6])
def test_a_clock_that_ntp_draws_is_not_set(moments, drawn):
    steady = Clock()
    for _ in range(100):
        passes(moments, 3600, drawn)
        assert steady.jump() is None


def test_a_look_that_was_interrupted_is_taken_again(monkeypatch):
    steady = Clock()
    looks = iter([(0.5, -3600.0), (1e-7, steady._ahead_s), (0.2, 9.0)])
    monkeypatch.setattr(clock, "_look", lambda: next(looks))
    assert steady.jump() is None


def test_this_machine_s_clock_goes_on():
    steady = Clock()
    time.sleep(0.01)
    assert steady.jump() is None
