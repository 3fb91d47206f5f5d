"""The CPU time of slices by clocks that were read elsewhere, at about the edges of their windows."""

import pytest

from swarm.recording.slices import NEAR_SHARE, Slice, metered


def window(start, planned_end, **fields):
    """A slice whose window was planned and held at the same times."""
    nothing = ("round", "place", "requests", "failures", "opened", "in_flight", "generator_s", "spin_s")
    planned = {"planned_start": start, "planned_end": planned_end, "start": start, "end": planned_end}
    own = dict.fromkeys(nothing, 0) | dict.fromkeys(("busy_s", "steal_s")) | planned
    return Slice(**{**own, "target": "a", "manner": "polls", "cpu_s": {"a": None, "b": None}, **fields})


def test_what_was_used_between_two_readings_is_spread_evenly():
    readings = [(10.0, {"a": 0, "b": 5}), (10.102, {"a": 51_000_000, "b": 5})]
    (found,) = metered([window(10.0, 10.1)], readings)
    assert found.cpu_s == pytest.approx({"a": 0.05, "b": 0.0})


def test_a_window_that_was_longer_than_planned_used_more():
    readings = [(10.0, {"a": 0}), (10.1, {"a": 50_000_000})]
    (found,) = metered([window(10.0, 10.1, end=10.11)], readings)
    assert found.cpu_s == pytest.approx({"a": 0.055, "b": None})


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [(10.0, {"a": 0, "b": 0})],
        [(10.0 + 2 * NEAR_SHARE * 0.1, {"a": 0, "b": 0}), (10.1, {"a": 1, "b": 1})],
        [(9.99, {"a": 0, "b": 0}), (10.1, {"a": 1, "b": 1})],
        [(10.0, {"a": 0, "b": 0}), (10.2, {"a": 1, "b": 1})],
        [(10.0, {"a": None, "b": None}), (10.1, {"a": 1, "b": 1})],
    ],
)
def test_without_a_reading_near_each_edge_nothing_is_known(readings):
    (found,) = metered([window(10.0, 10.1)], readings)
    assert found.cpu_s == {"a": None, "b": None}
