"""The window of a cell: whole Unix seconds, fewer of them where it was enough."""

from __future__ import annotations

from types import SimpleNamespace

import gevent
import pytest

from swarm.control import cell as progress_module
from swarm.control.cell import CellFailed, Progress
from tests.patience import LONG_S
from tests.swarm.harness import until

START = 100


class Clock:
    """What time it is: what the test says, and a microsecond more at each look."""

    def __init__(self, now):
        self.now = now
        self.step = 1e-6
        self.looked = 0

    def __call__(self):
        self.looked += 1
        self.now += self.step
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(START)
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def events(monkeypatch):
    """The events that are written, in the place of the pipe."""
    written = []
    monkeypatch.setattr(progress_module, "emit", lambda **event: written.append(event))
    return written


@pytest.fixture
def progress():
    runner = SimpleNamespace(stats=SimpleNamespace(num_requests=10, num_failures=3), user_count=5)
    coordinator = SimpleNamespace(successes_since=lambda second: second * 2)
    return Progress(runner, coordinator, check=lambda: None)


def begin(call, *arguments):
    """Start a wait of the progress's, and let it come to its first look at the clock."""
    waiting = gevent.spawn(call, *arguments)
    turns()
    return waiting


def turns():
    """Let the others do what they can without waiting."""
    for _ in range(5):
        gevent.sleep(0)


@pytest.mark.parametrize(
    ("moment", "end"),
    [(100, 101), (100.999, 101), (101, 102), (109.5, 110)],
)
def test_it_ends_at_the_next_whole_second(progress, clock, moment, end):
    measuring = begin(progress.measure, START, 10)
    looked, clock.now, clock.step = clock.looked, moment, 0
    progress.enough()
    clock.step = 1e-6
    turns()
    assert clock.looked > looked + 1  # at once: a second of load that is not wanted may be a lot
    assert not measuring.ready()
    clock.now = end
    assert measuring.get(timeout=LONG_S) == end


def test_what_was_enough_once_may_not_be_more_later(progress, clock):
    measuring = begin(progress.measure, START, 10)
    progress.enough()
    clock.now = 100.9
    progress.enough()
    clock.now = 101
    assert measuring.get(timeout=LONG_S) == 101


def test_what_comes_when_the_window_is_over_does_not_lengthen_it(progress, clock):
    measuring = begin(progress.measure, START, 10)
    clock.now = START + 10.5
    progress.enough()
    assert measuring.get(timeout=LONG_S) == START + 10


def test_nothing_is_enough_for_a_warm_up_nor_between_cells(progress, clock):
    progress.enough()
    warming = begin(progress.warm_up, START + 5)
    progress.enough()
    clock.now = START + 2
    looked = clock.looked
    until(lambda: clock.looked > looked + 1, "it looks at the clock again")
    assert not warming.ready()
    clock.now = START + 5
    warming.get(timeout=LONG_S)
    clock.now = START
    measuring = begin(progress.measure, START, 1)
    clock.now = START + 1
    assert measuring.get(timeout=LONG_S) == START + 1
    progress.enough()
    measuring = begin(progress.measure, START + 1, 1)
    clock.now = START + 2
    assert measuring.get(timeout=LONG_S) == START + 2


def test_it_says_what_it_knows(progress, clock, events):
    progress.cell = "the third"

    def told():
        said = list(events)
        events.clear()
        return said

    warming = begin(progress.warm_up, START + 1)
    clock.now = START + 1
    warming.get(timeout=LONG_S)
    [event] = told()
    assert (event["event"], event["cell"], event["users"]) == ("progress", "the third", 5)
    assert (event["window_start"], event["requests"]) == (None, None)
    measuring = begin(progress.measure, START + 1, 1)
    clock.now = START + 2
    measuring.get(timeout=LONG_S)
    [event] = told()
    assert event["time"] == pytest.approx(102)
    assert (event["window_start"], event["requests"]) == (101, 202)
    assert (event["requests_per_s"], event["failures_per_s"]) == (0, 0)


def test_what_ends_a_cell_ends_the_wait(clock):
    def fails():
        raise CellFailed("the server died")

    runner = SimpleNamespace(stats=SimpleNamespace(num_requests=0, num_failures=0), user_count=0)
    with pytest.raises(CellFailed, match="the server died"):
        Progress(runner, SimpleNamespace(successes_since=lambda _: 0), fails).measure(START, 10)
