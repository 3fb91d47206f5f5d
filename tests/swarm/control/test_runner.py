"""Locust's runner and swarm users: counts up and down, and how a test is stopped."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from time import perf_counter, process_time

import gevent
import gevent.event
import pytest
from locust import HttpUser, constant, task

from swarm import SwarmUser
from tests.patience import LONG_S
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply


def forever(user):
    yield user.get("/")


def paused(user):
    yield user.get("/")
    yield user.pause(1000)


@pytest.fixture
def gate(serve):
    """A server whose answer to /slow waits until the test opens the gate."""
    opened = gevent.event.Event()

    def slow(client, _asked):
        opened.wait()
        client.send(reply(b"slow"))

    server = serve({"/": reply(), "/slow": slow, "/stop": reply()})
    server.open_gate = opened.set
    return server


class Slow(SwarmUser):
    ends: list[str]

    @task
    def work(self):
        self.ends.append("asked")
        response = yield self.get("/slow")
        self.ends.append(response.text)


def test_the_user_count_follows_up_and_down(serve, make_swarm):
    server = serve({"/": reply()})
    swarm = make_swarm(user_class(paused), host=server.url)
    for users in (3, 10, 4, 7, 1):
        swarm.start(users, spawn_rate=100)
        until(lambda users=users: swarm.runner.user_count == server.open == users, f"{users} users")
    swarm.stop()
    until(lambda: server.open == swarm.runner.user_count == 0, "no users")
    assert swarm.stats.total.num_requests == server.connections


def test_the_spawn_rate_is_locusts(serve, make_swarm):
    server = serve({"/": reply()})
    make_swarm(user_class(paused), host=server.url).start(6, spawn_rate=4)
    began = perf_counter()
    until(lambda: server.open == 6, "all six users")
    assert perf_counter() - began > 0.9  # four at once, the rest after a second


def test_a_test_can_be_started_again(serve, make_swarm):
    server = serve({"/": reply()})
    swarm = make_swarm(user_class(forever), host=server.url)
    for _ in range(3):
        asked = len(server.asked)
        swarm.start(2)
        until(lambda asked=asked: len(server.asked) > asked + 50, "requests")
        swarm.stop()
        until(lambda: server.open == 0, "all connections are closed")
    assert swarm.stats.num_failures == 0


def test_a_graceful_stop_finishes_what_is_in_flight(gate, make_swarm):
    Slow.ends = []
    swarm = make_swarm(Slow, host=gate.url, stop_timeout=30).start(3)
    until(lambda: len(gate.asked) == 3, "three requests are in flight")
    gevent.spawn_later(0.2, gate.open_gate)
    swarm.stop()
    assert Slow.ends == ["asked"] * 3 + ["slow"] * 3
    assert swarm.stats.total.num_requests == 3
    assert swarm.stats.num_failures == 0


def test_without_a_stop_time_out_users_are_killed_at_once(gate, make_swarm):
    Slow.ends = []
    swarm = make_swarm(Slow, host=gate.url).start(3)
    until(lambda: len(gate.asked) == 3, "three requests are in flight")
    swarm.stop()
    assert Slow.ends == ["asked"] * 3
    assert swarm.runner.user_count == 0
    assert swarm.stats.total.num_requests == 0
    gate.open_gate()
    until(lambda: gate.open == 0, "their connections are closed")


def test_what_does_not_end_within_the_stop_time_out_is_killed(gate, make_swarm):
    Slow.ends = []
    swarm = make_swarm(Slow, host=gate.url, stop_timeout=0.2).start(2)
    until(lambda: len(gate.asked) == 2, "two requests are in flight")
    swarm.stop()
    assert swarm.runner.user_count == 0
    assert Slow.ends == ["asked"] * 2


def test_killed_users_still_say_good_bye(gate, make_swarm):
    class Polite(Slow):
        def on_stop(self):
            yield self.get("/stop")

    Slow.ends = []
    swarm = make_swarm(Polite, host=gate.url).start(2)
    until(lambda: len(gate.asked) == 2, "two requests are in flight")
    swarm.stop()
    assert gate.targets == ["/slow"] * 2 + ["/stop"] * 2
    assert swarm.stats.total.num_requests == 2


def test_an_on_stop_that_hangs_ends_with_its_own_time_out(gate, make_swarm):
    class Hanging(Slow):
        def on_stop(self):
            response = yield self.get("/slow", timeout=0.2)
            self.ends.append(response.failure_kind)

    Slow.ends = []
    swarm = make_swarm(Hanging, host=gate.url).start(2)
    until(lambda: len(gate.asked) == 2, "two requests are in flight")
    swarm.stop()
    assert Slow.ends == ["asked"] * 2 + ["timeout"] * 2


def test_a_task_may_end_the_whole_test(serve, make_swarm):
    server = serve({"/": reply()})

    def quits(user):
        yield user.get("/")
        if len(server.asked) > 50:
            user.environment.runner.quit()

    swarm = make_swarm(user_class(quits), host=server.url).start(4)
    until(lambda: swarm.runner.state == "stopped" and server.open == 0, "the test has ended")
    assert swarm.runner.user_count == 0


def test_swarm_and_plain_users_run_side_by_side(serve, make_swarm):
    class Plain(HttpUser):
        wait_time = constant(0.01)

        @task
        def work(self):
            self.client.get("/plain")

    server = serve({"/": reply(), "/plain": reply()})
    make_swarm(user_class(forever), Plain, host=server.url).start(2)
    until(lambda: {"/", "/plain"} <= set(server.targets), "both kinds of users ask")


def test_users_in_long_waits_cost_next_to_nothing(serve, make_swarm):
    server = serve({"/": reply()})
    make_swarm(user_class(forever, wait_time=constant(1000)), host=server.url).start(50)
    until(lambda: len(server.asked) == 50, "all have asked once")
    gevent.sleep(0.1)
    before = process_time()
    gevent.sleep(1.5)
    assert process_time() - before < 0.5


def test_users_that_wait_for_a_slow_server_cost_next_to_nothing(gate, make_swarm):
    Slow.ends = []
    make_swarm(Slow, host=gate.url).start(20)
    until(lambda: len(gate.asked) == 20, "all have asked")
    before = process_time()
    gevent.sleep(1.5)
    assert process_time() - before < 0.5
    gate.open_gate()


def test_other_greenlets_have_their_turn_while_the_engine_is_busy(null_server, make_swarm):
    swarm = make_swarm(user_class(forever), host=null_server).start(32)
    until(lambda: swarm.stats.total.num_requests > 1000, "load")
    ticks = [perf_counter()]
    with gevent.Timeout(LONG_S):
        while len(ticks) <= 50:
            gevent.sleep(0.01)
            ticks.append(perf_counter())
    swarm.stop()
    # Slices are 5 ms; a starving ticker would wait for seconds each time, a busy machine holds up a few.
    assert median(after - before for before, after in pairwise(ticks)) < 0.1
