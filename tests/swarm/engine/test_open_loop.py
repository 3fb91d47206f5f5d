"""Open loops: tasks begin by the clock, and latency counts from the schedule."""

from __future__ import annotations

import csv
from itertools import pairwise
from statistics import median
from time import perf_counter, perf_counter_ns

import gevent
import gevent.event
import pytest
from locust import SequentialTaskSet, TaskSet, constant, task
from locust.exception import RescheduleTaskImmediately, StopUser

from swarm import Arrivals, SwarmUser
from swarm.engine import counters
from swarm.engine.counters import Counters
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply


def ask(user):
    yield user.get("/")


class Times:
    """A script that answers after `seconds`, and knows when it was asked."""

    def __init__(self, seconds=0.0, first=0.0):
        self.at = []
        self._seconds, self._first = seconds, first

    def __call__(self, client, _asked):
        self.at.append(perf_counter())
        gevent.sleep(self._first if len(self.at) == 1 and self._first else self._seconds)
        client.send(reply())


def latencies(folder, kind, name="/"):
    """Every recorded latency of a kind in seconds, ascending."""
    with (folder / "latency.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["kind"], row["name"]) == (kind, name)]
    return sorted(float(row["bucket_us"]) / 1e6 for row in rows for _ in range(int(row["count"])))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def run(make_swarm, tmp_path):
    """Records an open loop until a condition holds: `run(host, condition, task, users=..., rate=...)`."""

    def ran(host, condition, steps=ask, *, users=1, rate=20, kind="constant", **attributes):
        attributes = {"arrivals": Arrivals(rate, kind, seed=1), **attributes}
        swarm = make_swarm(user_class(steps, **attributes), host=host, record=str(tmp_path), stop_timeout=20)
        swarm.start(users)
        until(condition, "enough arrivals")
        return swarm.stop()

    return ran


@pytest.fixture
def server(serve):
    return serve({"/": reply(), "/two": reply(), "/no": reply(b"", "500 Oops")})


# -- Arrivals


@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_arrivals_come_by_the_clock_and_not_by_the_answers(serve, run, tmp_path, kind):
    times = Times(seconds=0.05)
    server = serve({"/": times})
    swarm = run(
        server.url, lambda: len(times.at) >= 300, users=30, rate=200, kind=kind, wait_time=constant(1000)
    )
    asked = len(times.at)
    assert (asked - 1) / (times.at[-1] - times.at[0]) == pytest.approx(200, rel=0.25)
    tally = swarm.engine.loops.tally(0)
    assert tally.arrivals >= tally.completions == asked
    assert [len(latencies(tmp_path, each)) for each in ("service", "from_schedule", "lateness")] == [
        asked
    ] * 3
    assert len({each.connection for each in server.asked}) == server.connections == 30  # first in, first out


def test_arrivals_begin_when_all_users_are_there(server, make_swarm):
    swarm = make_swarm(user_class(ask, arrivals=Arrivals(1000)), host=server.url)
    swarm.start(3, spawn_rate=2)
    until(lambda: server.open == 2, "the first two are connected")
    gevent.sleep(0.3)
    assert not server.asked
    until(lambda: len(server.asked) > 10, "arrivals")
    assert server.open == 3


def test_a_pool_of_one_serves_one_after_the_other(serve, run, tmp_path):
    """20 arrivals per second, 0.1 s each: the k-th waits k times 0.05 s."""
    times = Times(seconds=0.1)
    server = serve({"/": times})
    run(server.url, lambda: len(times.at) >= 10, users=1, rate=20)
    assert all(after - before >= 0.095 for before, after in pairwise(times.at))
    service, from_schedule = (latencies(tmp_path, kind) for kind in ("service", "from_schedule"))
    assert service[0] >= 0.099
    assert sum(latencies(tmp_path, "lateness")) < 1  # the waits, over 2 s in all, are the server's
    overhead = sum(service) - 0.1 * len(service) + sum(latencies(tmp_path, "lateness"))
    for number, latency in enumerate(from_schedule):
        expected = 0.1 + number * 0.05
        assert expected * 0.998 <= latency <= expected + overhead + 0.01


def test_a_stall_is_seen_from_the_schedule_and_not_by_the_service_times(serve, run, tmp_path):
    """At 50 per second some 25 arrivals come in a stall of 0.5 s: they wait 0.48, 0.46, ... seconds."""
    times = Times(first=0.5)
    server = serve({"/": times})
    run(server.url, lambda: len(times.at) >= 40, users=1, rate=50)
    service, from_schedule = (latencies(tmp_path, kind) for kind in ("service", "from_schedule"))
    assert sum(latency > 0.4 for latency in service) == 1
    for number, latency in enumerate(reversed(from_schedule[-20:])):
        assert latency >= (0.5 - number * 0.02) * 0.998
    assert len(service) == len(from_schedule)


def test_a_closed_loop_hides_the_same_stall(serve, make_swarm, tmp_path):
    times = Times(first=0.5)
    server = serve({"/": times})
    swarm = make_swarm(user_class(ask), host=server.url, record=str(tmp_path), stop_timeout=20).start()
    until(lambda: len(times.at) >= 40, "requests")
    swarm.stop()
    assert sum(latency > 0.4 for latency in latencies(tmp_path, "service")) == 1
    assert not latencies(tmp_path, "from_schedule")
    assert not latencies(tmp_path, "lateness")
    for row in rows(tmp_path / "generator.csv"):
        assert row["arrivals"] == row["completions"] == row["waiting"] == ""


def test_what_waits_is_counted(serve, make_swarm, tmp_path):
    opened = gevent.event.Event()

    def held(client, _asked):
        opened.wait()
        client.send(reply())

    server = serve({"/": held})
    user = user_class(ask, arrivals=Arrivals(100))
    swarm = make_swarm(user, host=server.url, record=str(tmp_path), stop_timeout=20).start(2)
    until(lambda: len(server.asked) == 2, "both are busy")
    gevent.sleep(2.1)
    opened.set()
    until(lambda: len(server.asked) > 150, "the backlog is served")
    swarm.stop()
    held_rows = [row for row in rows(tmp_path / "generator.csv") if row["completions"] == "0"]
    assert int(held_rows[-1]["arrivals"]) > 80
    assert int(held_rows[-1]["waiting"]) == int(held_rows[-1]["arrivals"]) - 2


# -- Tasks


def test_only_the_first_request_of_a_task_waited(serve, run, tmp_path):
    def both(user):
        yield user.get("/first")
        yield user.get("/second")

    slow = Times(seconds=0.1)
    server = serve({"/first": slow, "/second": reply()})
    run(server.url, lambda: len(server.asked) >= 16, both, users=1, rate=20)
    assert max(latencies(tmp_path, "from_schedule", "/first")) > 0.3
    assert latencies(tmp_path, "from_schedule", "/second") == latencies(tmp_path, "service", "/second")
    assert len(latencies(tmp_path, "lateness", "/first")) == len(slow.at)
    assert not latencies(tmp_path, "lateness", "/second")


def test_a_rest_before_the_first_request_is_no_lateness(server, run, tmp_path):
    def rests(user):
        yield user.pause(1.0)
        yield user.get("/")

    run(server.url, lambda: len(server.asked) >= 10, rests, users=20, rate=20)
    assert len(latencies(tmp_path, "lateness")) == len(server.asked)
    assert latencies(tmp_path, "lateness")[0] < 0.9


def test_failures_are_counted_and_are_late_as_others_are(server, run, tmp_path):
    def fails(user):
        yield user.get("/no")

    run(server.url, lambda: len(server.asked) >= 20, fails, users=2, rate=100)
    failures = rows(tmp_path / "failures.csv")
    assert {row["kind"] for row in failures} == {"http_5xx"}
    assert len(failures) == len(server.asked) == len(latencies(tmp_path, "lateness", "/no"))
    assert not latencies(tmp_path, "service", "/no")


def test_tasks_without_requests_use_arrivals_up(server, run):
    begun = []

    def idles(user):
        begun.append(1)

    swarm = run(server.url, lambda: len(begun) >= 30, idles, users=2, rate=200)
    assert swarm.engine.loops.tally(0).completions == len(begun)
    assert not server.asked


def test_one_arrival_for_each_task_of_a_task_set(server, make_swarm):
    begun = []

    class Inner(SequentialTaskSet):
        @task
        def first(self):
            begun.append("first")
            yield self.user.get("/")

        @task
        def again(self):
            begun.append("again")
            raise RescheduleTaskImmediately

        @task
        def last(self):
            begun.append("last")
            yield self.user.get("/two")
            self.interrupt(reschedule=False)

    class Nested(SwarmUser):
        arrivals = Arrivals(40)
        tasks = [Inner]  # noqa: RUF012

    swarm = make_swarm(Nested, host=server.url, stop_timeout=20).start()
    until(lambda: len(server.asked) >= 10, "arrivals")
    swarm.stop()
    assert begun[:6] == ["first", "again", "last"] * 2
    # What reschedules itself at once has done nothing yet: its arrival starts the next task.
    assert swarm.engine.loops.tally(0).completions == len(server.asked)


def test_hooks_are_no_arrivals(server, run, tmp_path):
    def on_start(user):
        yield user.get("/two")

    swarm = run(server.url, lambda: len(server.asked) >= 10, users=3, rate=50, on_start=on_start)
    assert server.targets[:3] == ["/two"] * 3
    assert swarm.engine.loops.tally(0).completions == len(server.asked) - 3
    assert not latencies(tmp_path, "lateness", "/two")
    assert len(latencies(tmp_path, "from_schedule", "/two")) == 3


def test_users_that_stop_themselves_leave_the_pool(server, make_swarm):
    def leaves(user):
        yield user.get("/")
        raise StopUser

    swarm = make_swarm(user_class(leaves, arrivals=Arrivals(50)), host=server.url).start(3)
    until(lambda: swarm.runner.user_count == 0, "all have left")
    gevent.sleep(0.2)
    swarm.stop()
    tally = swarm.engine.loops.tally(0)
    assert tally.completions == len(server.asked) == 3
    assert tally.waiting == tally.arrivals - 3 > 0


def test_tasks_that_raise_go_on_with_the_next_arrival(server, run):
    def raises(user):
        yield user.get("/")
        raise ZeroDivisionError

    swarm = run(server.url, lambda: len(server.asked) >= 10, raises, users=2, rate=50)
    assert swarm.engine.loops.tally(0).completions == len(server.asked)


# -- Users


def test_the_number_of_users_may_change(server, make_swarm):
    swarm = make_swarm(user_class(ask, arrivals=Arrivals(100)), host=server.url, stop_timeout=20)
    for users in (2, 6, 1, 3):
        asked = len(server.asked)
        swarm.start(users)
        until(lambda users=users: swarm.runner.user_count == server.open == users, f"{users} users")
        until(lambda asked=asked: len(server.asked) > asked + 10, "arrivals")
    swarm.stop()
    tally = swarm.engine.loops.tally(0)
    assert tally.completions == len(server.asked)
    assert not swarm.engine.loops.running[0].free
    assert swarm.stats.num_failures == 0


def test_a_test_can_be_started_again_and_counts_from_nothing(server, make_swarm):
    swarm = make_swarm(user_class(ask, arrivals=Arrivals(100)), host=server.url, stop_timeout=20)
    for _ in range(2):
        before = len(server.asked)
        swarm.start(2)
        until(lambda before=before: len(server.asked) > before + 10, "arrivals")
        swarm.stop()
        assert swarm.engine.loops.tally(0).completions == len(server.asked) - before


def test_a_task_may_end_the_whole_test(server, make_swarm):
    def quits(user):
        yield user.get("/")
        if len(server.asked) > 20:
            user.environment.runner.quit()

    swarm = make_swarm(user_class(quits, arrivals=Arrivals(200)), host=server.url).start(4)
    until(lambda: swarm.runner.state == "stopped" and server.open == 0, "the test has ended")
    assert swarm.runner.user_count == 0
    assert not swarm.engine.loops.running[0].free


def test_other_greenlets_have_their_turn_while_arrivals_never_end(null_server, make_swarm):
    swarm = make_swarm(user_class(ask, arrivals=Arrivals(500_000)), host=null_server).start(32)
    until(lambda: swarm.stats.total.num_requests > 1000, "load")
    ticks = [perf_counter()]
    for _ in range(30):
        gevent.sleep(0.01)
        ticks.append(perf_counter())
    tally = swarm.engine.loops.tally(perf_counter_ns())
    swarm.stop()
    # Turns come every 5 to 10 ms; a starving greenlet would wait for ever, a busy machine holds up a few.
    assert median(after - before for before, after in pairwise(ticks)) < 0.1
    assert tally.waiting > 0


@pytest.mark.parametrize("stop_timeout", [0, 30])
def test_users_that_wait_for_an_arrival_stop_at_once(server, make_swarm, stop_timeout):
    said = []
    user = user_class(ask, arrivals=Arrivals(0.001), on_stop=lambda user: said.append(1))
    swarm = make_swarm(user, host=server.url, stop_timeout=stop_timeout).start(20)
    until(lambda: len(server.asked) == 1, "the first arrival")
    began = perf_counter()
    swarm.stop()
    assert perf_counter() - began < 15
    assert swarm.runner.user_count == 0
    assert len(said) == 20


def test_a_task_in_flight_gets_the_stop_time_out(serve, make_swarm):
    server = serve({"/": Times(seconds=0.5)})
    swarm = make_swarm(user_class(ask, arrivals=Arrivals(0.001)), host=server.url, stop_timeout=30).start(5)
    until(lambda: server.asked, "the first arrival")
    swarm.stop()
    assert swarm.stats.num_requests == 1
    assert swarm.engine.loops.tally(0).completions == 1


def test_killed_in_mid_task_an_arrival_has_ended_too(serve, make_swarm):
    server = serve({"/": Times(seconds=100)})
    swarm = make_swarm(user_class(ask, arrivals=Arrivals(0.001)), host=server.url).start(5)
    until(lambda: server.asked, "the first arrival")
    swarm.stop()
    assert swarm.runner.user_count == 0
    assert swarm.stats.num_requests == 0
    assert swarm.engine.loops.tally(0) == (1, 1, 0)


def test_a_task_set_may_be_the_first_task_of_an_arrival(server, make_swarm):
    class Inner(TaskSet):
        @task
        def work(self):
            yield self.user.get("/")

    class Outer(SwarmUser):
        arrivals = Arrivals(40)
        tasks = [Inner]  # noqa: RUF012

    swarm = make_swarm(Outer, host=server.url, stop_timeout=20).start(2)
    until(lambda: len(server.asked) >= 10, "arrivals")
    swarm.stop()
    assert swarm.engine.loops.tally(0).completions == len(server.asked)


def test_the_mean_wait_is_the_sum_of_squared_blind_times(monkeypatch):
    now = [0]
    monkeypatch.setattr(counters, "clock", lambda: now[0])
    counted = Counters()
    assert counted._taken_ns >= 0
    counted.begin()
    for blind in (3_000_000, 1_000_000):
        counted.was_blind(blind)
    now[0] = 1_000_000_000
    longest_ms, wait_us = counted.take_blind()
    assert longest_ms == 3
    assert wait_us == pytest.approx(10.0)  # (3 ms)² + (1 ms)² in 1 s
    now[0] = 2_000_000_000
    assert counted.take_blind() == (0, None)
