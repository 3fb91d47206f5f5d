"""Clocks of other machines by round trips, and this process's own moved to the master's."""

from __future__ import annotations

from time import perf_counter_ns, time

import pytest

from swarm.control.elsewhere.clocks import Reading, RoundTrip
from swarm.engine import clock

MS = 1_000_000


def trip(ahead_ms=0, there_ms=1.0, back_ms=1.0, answering_ms=0.0, sent=0):
    """A round trip to a clock that is ahead, whose ways take so long."""
    received = sent + (there_ms + ahead_ms) * MS
    answered = received + answering_ms * MS
    back = sent + (there_ms + answering_ms + back_ms) * MS
    return RoundTrip(sent, int(received), int(answered), int(back))


def test_ways_of_equal_length_say_exactly_how_far_a_clock_is_ahead():
    one = trip(ahead_ms=250, there_ms=3, back_ms=3, answering_ms=40)
    assert (one.ahead_ns, one.way_ns) == (250 * MS, 6 * MS)
    assert trip(ahead_ms=-7000).ahead_ns == -7000 * MS


def test_a_way_that_takes_longer_misleads_by_half_of_that_at_most():
    one = trip(ahead_ms=10, there_ms=5, back_ms=1)
    assert one.ahead_ns == 12 * MS
    assert abs(one.ahead_ns - 10 * MS) <= one.way_ns / 2


def test_the_quickest_round_trip_is_believed():
    trips = [trip(ahead_ms=10, there_ms=30, back_ms=1), trip(ahead_ms=10), trip(ahead_ms=10, back_ms=50)]
    reading = Reading.of(trips, to_unix_there=100 * MS, to_unix_here=107 * MS)
    assert (reading.ahead, reading.unix_ahead) == (10 * MS, 3 * MS)
    assert (reading.least, reading.usual, reading.most) == (2 * MS, 31 * MS, 51 * MS)
    assert reading.record() == {
        "offset_ms": 3.0,
        "round_trip_ms": {"least": 2.0, "usual": 31.0, "most": 51.0},
    }


@pytest.fixture
def master():
    """Has this process keep to the clocks of a master: `master(ahead_s, to_unix_s)`."""
    yield lambda ahead_s, to_unix_s: clock.keep_to_master(int(ahead_s * 1e9), int(to_unix_s * 1e9))
    clock.Master.ahead_ns, clock.Master.to_unix_ns = 0, None


def test_times_are_those_of_this_machine_without_a_master():
    before = time()
    assert before <= clock.unix() <= time()
    moment = clock.from_unix(time() + 5)
    assert 0 < moment - perf_counter_ns() <= 5e9


def test_times_are_those_of_the_master_where_it_is_elsewhere(master):
    """Its engine's clock is 1000 s ahead of the one here; by its Unix time that clock began at 5 s."""
    master(1000, 5)
    here = perf_counter_ns()
    assert clock.unix() == pytest.approx(here / 1e9 + 1005, abs=1)
    assert clock.to_unix_ns() == 1005 * 10**9
    assert clock.from_unix(here / 1e9 + 1005 + 2) == pytest.approx(here + 2e9, abs=1e9)
