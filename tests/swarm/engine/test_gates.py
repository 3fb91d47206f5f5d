"""The parts of a rotation that need no server: timetables, gates, meters, and which users there are."""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise
from threading import Event
from time import perf_counter_ns
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from locust import User, task

from swarm import FailureKind, SwarmUser
from swarm.control.cell import Ramp
from swarm.control.rotating import Target, classes_of_targets, spread
from swarm.engine.gates import BUCKETED, Gate
from swarm.engine.rotation.meters import Meters
from swarm.engine.rotation.rounds import Rounds
from swarm.engine.rotation.timetable import Timetable, settling_order
from swarm.recording.batch import FAILURE_ROWS_PER_SECOND
from swarm.recording.slices import FailureBook, Loaded, Part, Slice, merged_slices


def drawn(seed=1, targets=("a", "b", "c"), manners=("polls",), load_s=1.0, slice_s=None, latency_s=0.001):
    usual_s = {name: latency_s * (number + 1) / len(targets) for number, name in enumerate(targets)}
    return Timetable.drawn(seed, targets, manners, load_s=load_s, slice_s=slice_s, usual_s=usual_s)


@given(
    st.integers(min_value=0, max_value=2**64),
    st.integers(min_value=1, max_value=9),
    st.floats(min_value=0, max_value=5),
)
def test_each_round_gives_each_target_one_slice(seed, count, latency_s):
    names = tuple(f"server{number}" for number in range(count))
    table = drawn(seed, names, ("polls", "sleeps"), latency_s=latency_s)
    slices = list(table.slices(1_000))
    assert len(slices) == table.rounds * count and table.rounds >= 2
    for number in range(table.rounds):
        of_round = [each for each in slices if each.round == number]
        assert sorted(each.target for each in of_round) == sorted(names)
        assert [each.place for each in of_round] == list(range(count))
        assert {each.manner for each in of_round} == {("polls", "sleeps")[number % 2]}
    assert slices[0].open_ns == 1_000
    assert all(before.over_ns == after.open_ns for before, after in pairwise(slices))
    assert all(each.open_ns < each.start_ns < each.end_ns < each.over_ns for each in slices)
    assert (slices[-1].over_ns - 1_000) / 1e9 == pytest.approx(table.length_s, abs=1e-6)
    assert list(table.slices(1_000)) == slices


def test_other_seeds_draw_other_orders():
    names = tuple("abcdefgh")
    assert len({tuple(each.target for each in drawn(seed, names).slices(0)) for seed in range(20)}) == 20
    assert len({tuple(settling_order(seed, names)) for seed in range(20)}) > 15
    assert settling_order(3, names) == settling_order(3, names)


@pytest.mark.parametrize(
    ("given_s", "latency_s", "slice_s", "warm_s", "gap_s"),
    [
        (None, 0.0, 0.05, 0.01, 0.01),
        (None, 0.030, 0.1, 0.045, 0.075),
        (None, 3.0, 1.0, 1.0, 2.0),
        (0.3, 0.010, 0.3, 0.015, 0.025),
    ],
)
def test_the_usual_target_decides_how_long_slices_are(given_s, latency_s, slice_s, warm_s, gap_s):
    table = drawn(load_s=6.0, slice_s=given_s, latency_s=latency_s)
    assert (table.slice_s, table.warm_s["c"], table.gap_s["c"]) == pytest.approx((slice_s, warm_s, gap_s))
    assert table.warm_s["a"] == pytest.approx(min(1.0, max(0.01, 1.5 * latency_s / 3)))
    assert table.rounds == round(6.0 / slice_s)


# -- Gates


class Member:
    """What a gate knows of an agent."""

    def __init__(self, connection=None):
        self.wake = 0
        self.diverted = False
        self.active = connection
        self.finished = Event()


def answer(gate, latency_ns, failure_kind=None, name="/"):
    request = SimpleNamespace(samples=gate.samples("GET", name), method="GET", name=name)
    return SimpleNamespace(
        request=request, latency_ns=latency_ns, failure_kind=failure_kind, detail="", content_bytes=0
    )


def connection(started_ns):
    return SimpleNamespace(started_ns=started_ns, awaiting=True, opened_ns=0, served=1, received=0)


def latencies(gate):
    return Counter(
        {
            bucket: count
            for each in gate.histograms().values()
            for bucket, count in zip(each.buckets.tolist(), each.counts.tolist(), strict=True)
        }
    )


def test_latencies_count_where_the_request_was_begun_in_a_window():
    gate = Gate("a", 0)
    agent = Member(connection(started_ns=50))
    gate.admit(agent)
    assert agent.diverted
    gate.open()
    assert not agent.diverted
    gate.samples("GET", "/").add(7)  # the hot path, in the warm-up
    gate.begin(100)
    assert not agent.active.awaiting  # what is in flight is looked at
    before = gate.requests
    gate.record(answer(gate, 60), connection(started_ns=50), None)  # begun in the warm-up
    gate.record(answer(gate, 61), connection(started_ns=100), None)
    gate.samples("GET", "/").add(62)  # the hot path, begun in the window
    assert gate.requests - before == 3
    gate.end(200)
    gate.close()
    assert agent.diverted
    gate.record(answer(gate, 63), connection(started_ns=199), None)  # ends in the gap
    gate.record(answer(gate, 64), connection(started_ns=200), None)
    gate.keep()
    gate.open()
    gate.record(answer(gate, 65), connection(started_ns=150), None)  # it took until the next warm-up
    gate.keep()
    gate.begin(300)
    gate.record(answer(gate, 66), connection(started_ns=150), None)  # and until the next window
    gate.end(400)
    assert latencies(gate) == Counter([61, 62, 63, 65, 66])
    assert gate.requests == 8


LENGTHS = st.integers(min_value=1, max_value=30)


@given(
    st.lists(st.tuples(LENGTHS, LENGTHS, LENGTHS), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 360), st.integers(0, 150)), max_size=30),
)
@example([(5, 5, 5), (5, 5, 5)], [(7, 10)])  # it is answered in the next warm-up
def test_every_request_counts_once_where_it_ended_and_once_where_it_was_begun(lengths, drawn):
    """Slices are warm-ups, windows and gaps, in which no request is begun; a request may outlast several."""
    gate, events, windows, begin_ns = Gate("a", 0), [], [], 1
    for warm_ns, window_ns, gap_ns in lengths:
        start_ns, end_ns = begin_ns + 2 * warm_ns, begin_ns + 2 * (warm_ns + window_ns)
        events += [(begin_ns, "open"), (start_ns, "begin"), (end_ns, "end")]
        windows.append((start_ns, end_ns))
        opened = [(2 * at, 2 * lasts) for at, lasts in drawn if begin_ns < 2 * at < end_ns]
        events += [(at, "ask", lasts) for at, lasts in opened]
        begin_ns = end_ns + 2 * gap_ns
    asked = [(at, lasts) for at, *what in events if what[0] == "ask" for lasts in what[1:]]
    in_window = []
    flying = []
    for at, what, *more in sorted([*events, (10**9, "open")], key=lambda event: event[0]):
        for ends, member in sorted(flying, key=lambda each: each[0]):
            if ends < at:
                answered(gate, member, ends - member.active.started_ns)
                flying.remove((ends, member))
        if what == "open":
            gate.look_at_flying()
            gate.keep()
            gate.open()
        elif what == "begin":
            gate.begin(at)
            before = gate.requests
        elif what == "end":
            in_window.append(gate.requests - before)
            gate.end(at)
            gate.close()
        else:
            member = Member(connection(started_ns=at))
            gate.admit(member)
            flying.append((at + more[0], member))
    begun = [lasts for at, lasts in asked if any(start < at < end for start, end in windows)]
    ended = [sum(start < at + lasts < end for at, lasts in asked) for start, end in windows]
    assert latencies(gate) == Counter(begun) and in_window == ended
    assert gate.requests == len(asked)


def answered(gate, member, lasts_ns):
    """As the engine does: on its hot path, unless it was told to look."""
    if member.active.awaiting:
        gate.samples("GET", "/").add(lasts_ns)
    else:
        gate.record(answer(gate, lasts_ns), member.active, None)
    member.active = None


def test_failures_count_where_they_were_begun_or_ended_in_a_window():
    gate = Gate("a", 0)
    lost = FailureKind.TIMEOUT
    gate.record(answer(gate, 1, lost), connection(started_ns=10), None)
    gate.begin(100)
    gate.record(answer(gate, 2, lost), connection(started_ns=10), None)
    gate.end(200)
    gate.record(answer(gate, 3, lost), connection(started_ns=150), None)
    gate.record(answer(gate, 4, lost), connection(started_ns=250), None)
    assert [row.latency_us for row in gate.failures.rows()] == [0.002, 0.003]
    assert (gate.failed, gate.lost, gate.requests) == (1, 4, 0)


def test_users_that_are_late_are_set_off_without_a_look_at_the_sockets_after_each():
    released = []
    stage = SimpleNamespace(release=lambda _gate, most: released.append(most))
    gate, rounds = SimpleNamespace(parked=range(64)), Rounds({}, [], None)
    (planned, *_) = drawn(latency_s=100.0).slices(perf_counter_ns())
    assert len(list(rounds._let_in(stage, gate, planned))) == 32
    long_ago = planned._replace(open_ns=0, start_ns=1_000)
    assert list(rounds._let_in(stage, gate, long_ago)) == [] and sum(released) == 128


def test_what_settled_is_forgotten_and_parked_requests_of_the_dead_are_not_sent():
    gate = Gate("a", 0)
    alive, killed, finished = Member(), Member(), Member()
    for each in (alive, killed, finished):
        gate.park(each, each)
    killed.wake += 1
    finished.finished.set()
    assert list(gate.released(1)) == [(alive, alive)]
    assert list(gate.released(9)) == [] and not gate.parked
    gate.begin(1)
    gate.samples("GET", "/").add(5)
    assert gate.usual_ns() == 5
    gate.forget()
    assert gate.usual_ns() is None and gate.requests == 1


def test_many_latencies_are_bucketed_without_loss():
    gate = Gate("a", 0)
    gate.begin(1)
    for number in range(3):
        for latency in range(BUCKETED // 2):
            gate.samples("GET", "/").add(latency % 1000 + number)
        gate.keep()
    assert sum(latencies(gate).values()) == 3 * (BUCKETED // 2)


def test_failures_are_bounded_and_counted():
    gate, book = Gate("a", 0), FailureBook()
    for _ in range(FAILURE_ROWS_PER_SECOND + 5):
        gate.begin(0)
        gate.record(answer(gate, 1, FailureKind.REFUSED), connection(1), None)
        [row] = gate.failures.rows()
        book.add(row)
        gate.forget()
    rows = book.rows()
    assert len(rows) <= FAILURE_ROWS_PER_SECOND + 5
    assert sum(row.count for row in rows) == FAILURE_ROWS_PER_SECOND + 5


# -- What several processes have


def a_slice(**fields):
    usual = dict.fromkeys(Slice.__dataclass_fields__, 0)
    return Slice(**{**usual, "target": "a", "manner": "polls", "cpu_s": {}, "busy_s": None, **fields})


def test_slices_of_several_processes_are_added():
    first = a_slice(start=1.0, end=2.0, requests=3, in_flight=1, cpu_s={"a": 0.5, "b": None}, busy_s=0.9)
    second = a_slice(start=1.2, end=2.2, requests=4, failures=2)
    alone, unloaded = a_slice(round=1, requests=5), a_slice(round=2)
    reader = Part([unloaded], {}, [])
    parts = [Part([first], {}, [], {"a": 3}), Part([second, alone], {}, [], {"a": 2}), reader]
    whole, missed = merged_slices([Part.unpacked(part.packed()) for part in reversed(parts)])
    assert (whole.requests, whole.failures, whole.in_flight, whole.busy_s) == (7, 2, 1, 0.9)
    assert (whole.start, whole.end) == pytest.approx((1.1, 2.1))
    assert whole.row()[10:12] == [0.5, None]
    # Its latencies are among those of the rest: so it has a row, with the users of who came too late.
    assert (missed.round, missed.requests, missed.absent, whole.absent) == (1, 5, 3, 0)


def test_what_was_loaded_travels_whole():
    gate = Gate("a", 0)
    gate.begin(0)
    for name in ("/", "/b"):
        gate.samples("GET", name).add(2047)
        gate.record(answer(gate, 1, FailureKind.REFUSED, name), connection(1), None)
    part = Part([], {"a": Loaded(gate.histograms(), gate.failures.rows())}, [])
    both = Loaded.merged([Part.unpacked(part.packed()).loaded["a"]] * 2)
    assert both.counts() == {2.047: 4}
    assert both.failed == 4 and set(both.latencies) == {("GET", "/"), ("GET", "/b")}


# -- Meters


def test_clocks_of_processes_and_cpus():
    own = [os.getpid()]
    pids = {"own": own, "own@b": own, "gone": [os.getpid(), 2**22 - 1], "none": []}
    meters = Meters(pids, [0], {"own": "own", "own@b": "own", "gone": "gone", "none": "none"})
    try:
        first, stat = meters.cpu_ns("own"), meters.cpus()
        sum(range(100_000))
        assert meters.cpu_ns("own") > first
        assert meters.cpu_of_all(but="own") == meters.cpu_of_all(but="own@b") == {"gone": None, "none": None}
        assert set(meters.cpu_of_all(but="none")) == {"own", "gone"}
        busy, stolen = meters.between(stat, meters.cpus())
        assert busy >= 0 and stolen >= 0
        before = b"cpu  9 9 9 9 9 9 9 9\ncpu0 100 10 20 7 7 1 2 5 50 0\ncpu1 9 9 9 9 9 9 9 9\n"
        after = b"cpu  0 0 0 0 0 0 0 0\ncpu0 200 10 40 9 9 1 2 15 60 0\ncpu1 0 0 0 0 0 0 0 0\n"
        ticks = os.sysconf("SC_CLK_TCK")
        assert meters.between(before, after) == (120 / ticks, 10 / ticks)
    finally:
        meters.close()


# -- Users


class Many(SwarmUser):
    weight = 3

    @task
    def work(self):
        yield self.get("/")


class Few(SwarmUser):
    @task
    def work(self):
        yield self.get("/")


class Two(SwarmUser):
    fixed_count = 2

    @task
    def work(self):
        yield self.get("/")


@pytest.mark.parametrize(
    ("classes", "users", "counts"),
    [
        ([Many, Few], 8, {"Many": 6, "Few": 2}),
        ([Many, Few, Two], 6, {"Many": 3, "Few": 1, "Two": 2}),
        ([Many, Few, Two], 1, {"Two": 1}),
        ([Two], 5, {"Two": 2}),
    ],
)
def test_each_target_has_the_users_that_locust_would_have(classes, users, counts):
    assert spread(classes, users) == counts
    made = classes_of_targets(classes, users, [Target("a", "http://a"), Target("b", "http://b")])
    assert {each.__name__: each.fixed_count for each in made} == {
        f"{target}/{name}": count for target in "ab" for name, count in counts.items()
    }
    for each in made:
        assert issubclass(each, SwarmUser) and not each.abstract
        assert each.host == f"http://{each.whichworker_target}" and len(each.tasks) == 1
    assert not any(each.whichworker_target for each in classes) and User.host is None


def test_each_process_has_its_share_of_each_target():
    classes = classes_of_targets([Many, Few], 4, [Target("a", "http://a"), Target("b", "http://b")])
    dispatcher = Ramp([SimpleNamespace(id=f"here_{number}") for number in range(2)], classes)
    dispatcher.new_dispatch(8, 100.0)
    *_, whole = dispatcher
    shares = [Counter(name[0] for name in each for _ in range(each[name])) for each in whole.values()]
    assert shares == [{"a": 2, "b": 2}] * 2
