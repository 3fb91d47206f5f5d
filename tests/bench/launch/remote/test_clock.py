import pytest

from bench.launch.remote.clock import Clock, Trip, reading
from bench.launch.remote.mirror import Mirror, by_clock_here


def trip(clock, *, ahead_s, out_s, back_s, at=100.0, there_s=0.01):
    """A round trip to a clock that is so far ahead, with so long a way out and back."""
    received = at + out_s + ahead_s
    answered = received + there_s
    clock.add(at, received, answered, answered - ahead_s + back_s)


def test_the_quickest_round_trip_says_how_far_a_clock_is_ahead():
    clock = Clock()
    trip(clock, ahead_s=-3.0, out_s=0.2, back_s=0.001)
    trip(clock, ahead_s=-3.0, out_s=0.001, back_s=0.001)
    trip(clock, ahead_s=-3.0, out_s=0.001, back_s=0.4)
    assert clock.ahead_s == pytest.approx(-3.0)
    facts = clock.facts()
    assert (facts["ahead_ms"], facts["uncertain_ms"], facts["moved_ms"]) == (-3000.0, 1.0, 0.0)
    assert facts["round_trip_us"] == pytest.approx(201_000, abs=1)


def test_a_clock_that_drifts_is_followed_and_told():
    clock = Clock(recent=4)
    for step in range(12):
        trip(clock, ahead_s=0.001 * step, out_s=0.0001, back_s=0.0001)
    assert clock.ahead_s > 0.0079 and clock.facts()["moved_ms"] >= 5.0


@pytest.mark.parametrize("by_s", [-3600.0, -0.5, 0.5, 3600.0])
def test_a_clock_that_is_set_is_known_anew_at_once_and_told(by_s):
    clock = Clock(recent=4)
    for _ in range(6):
        trip(clock, ahead_s=1.0, out_s=0.001, back_s=0.001)
    clock.add(100.0, 101.001, 101.002, 100.003 + by_s)  # it is set here while this one is under way
    for _ in range(2):
        trip(clock, ahead_s=1.0 - by_s, out_s=0.02, back_s=0.02)
    assert clock.ahead_s == pytest.approx(1.0 - by_s)
    assert clock.facts()["moved_ms"] >= abs(by_s) * 1e3 - 1 and clock.facts()["uncertain_ms"] == 20.0


def test_what_one_way_takes_longer_is_within_what_is_said():
    clock = Clock()
    trip(clock, ahead_s=0.0, out_s=0.004, back_s=0.0)
    assert clock.facts()["uncertain_ms"] == 2.0 and abs(clock.ahead_s) == pytest.approx(0.002)


def test_a_reading_is_by_the_quickest_trip_and_tells_how_long_all_took():
    trips = [Trip.of(100.0, 97.2, 97.21, 100.211), Trip.of(101.0, 98.001, 98.002, 101.003)]
    assert reading(trips) == {
        "offset_ms": -3000.0,
        "round_trip_ms": {"least": 2.0, "usual": 101.5, "most": 201.0},
    }


def test_times_of_tables_are_by_the_clock_here():
    rows = b"time,pid\n1000.500000,7\n1001.25,8\n"
    assert by_clock_here(rows, 0.5) == b"time,pid\n1000.000000,7\n1000.750000,8\n"


def test_files_grow_here_and_serves_facts_come_whole(tmp_path):
    clock = Clock()
    trip(clock, ahead_s=2.0, out_s=0.0, back_s=0.0)
    mirror = Mirror(tmp_path / "0", tmp_path / "0.log", clock)
    mirror.grown("workers.csv", b"time,event\n")
    mirror.grown("workers.csv", b"12.000000,born\n")
    mirror.grown("server.log", b"12.0,a line of anybody's\n")
    mirror.grown("server.json", b'{"started": 12.5, "url": "u"}')
    mirror.grown("", b"serve: oh\n")
    assert (tmp_path / "0" / "workers.csv").read_text() == "time,event\n10.000000,born\n"
    assert (tmp_path / "0" / "server.log").read_text() == "12.0,a line of anybody's\n"
    assert '"started": 10.5' in (tmp_path / "0" / "server.json").read_text()
    assert (tmp_path / "0.log").read_text() == "serve: oh\n"
