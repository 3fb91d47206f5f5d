"""Open loops: connections that are opened before the first arrival, and the options of the command line."""

from __future__ import annotations

from argparse import Namespace

import gevent
import gevent.event
import pytest
from locust import HttpUser, constant, task
from locust.env import Environment

from swarm import Arrivals, SwarmUser
from swarm.control.pacemaker import ARRIVALS, RATE, SEED, arrivals_of, check, pacemaker_of
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply


def ask(user):
    yield user.get("/")


@pytest.fixture
def server(serve):
    return serve({"/": reply(), "/two": reply()})


@pytest.fixture
def held_back(make_swarm):
    """Starts an open loop whose arrivals do not come before `begin` is called."""

    def started(host, users, **attributes):
        user = user_class(ask, **{"arrivals": Arrivals(100), **attributes})
        swarm = make_swarm(user, host=host, stop_timeout=20)
        swarm.begin = pacemaker_of(swarm.environment).begin
        pacemaker_of(swarm.environment).automatic = False
        return swarm.start(users)

    return started


def test_connections_are_open_before_the_first_arrival(server, held_back):
    swarm = held_back(server.url, 5)
    until(lambda: server.open == 5, "five connections")
    gevent.sleep(0.2)
    assert not server.asked
    swarm.begin()
    until(lambda: len(server.asked) > 20, "arrivals")
    swarm.stop()
    assert server.connections == swarm.engine.counters.connections_opened == 5
    assert swarm.engine.counters.idle_closes == 0


def test_without_keep_alive_none_is_opened_early(server, held_back):
    held_back(server.url, 5, keep_alive=False)
    gevent.sleep(0.3)
    assert server.connections == 0


def test_a_connection_that_cannot_be_opened_early_is_no_failure_and_no_idle_close(held_back):
    swarm = held_back("http://127.0.0.1:1", 3)
    gevent.sleep(0.3)
    assert swarm.coordinator.failures == swarm.engine.counters.idle_closes == 0
    swarm.begin()
    until(lambda: swarm.coordinator.failures > 5, "requests meet the same")
    swarm.stop()
    assert swarm.engine.counters.idle_closes == 0
    assert swarm.engine.loops.tally(0).completions == swarm.stats.num_failures


def test_one_that_the_server_closes_again_is_an_idle_close(serve, held_back):
    server = serve({"/": reply()}, connected=lambda client: client.sock.close())
    swarm = held_back(server.url, 3)
    until(lambda: swarm.engine.counters.idle_closes == 3, "three idle closes")
    assert swarm.coordinator.failures == 0


# -- Options


def options(**given):
    named = {f"whichworker_{name}": value for name, value in given.items()}
    return {ARRIVALS: None, RATE: None, SEED: None, **named}


def test_options_make_an_open_loop_of_all_users(server, make_swarm):
    class One(SwarmUser):
        steps = task(ask)

    class Other(SwarmUser):
        arrivals = Arrivals(0.001)

        @task
        def steps(self):
            yield self.get("/two")

    swarm = make_swarm(One, Other, host=server.url, locust_options=options(arrival_rate=100)).start(4)
    until(lambda: len(server.asked) > 50, "arrivals")
    swarm.stop()
    assert {"/", "/two"} <= set(server.targets)
    assert len(swarm.engine.loops.running) == 1


def test_the_option_none_makes_closed_loops(server, make_swarm):
    user = user_class(ask, arrivals=Arrivals(0.001))
    swarm = make_swarm(user, host=server.url, locust_options=options(arrivals="none")).start()
    until(lambda: len(server.asked) > 50, "answers bring requests")
    assert not swarm.engine.loops.running


def test_open_and_closed_loops_side_by_side(server, make_swarm):
    class Open(SwarmUser):
        arrivals = Arrivals(50)
        steps = task(ask)

    class Closed(SwarmUser):
        wait_time = constant(0.05)

        @task
        def steps(self):
            yield self.get("/two")

    swarm = make_swarm(Open, Closed, host=server.url, stop_timeout=20).start(4)
    until(lambda: min(server.targets.count("/"), server.targets.count("/two")) > 20, "both kinds")
    swarm.stop()
    assert swarm.engine.loops.tally(0).completions == server.targets.count("/")


def test_what_the_options_say():
    assert arrivals_of(None) is None
    assert arrivals_of(Namespace(**options())) is None
    assert arrivals_of(Namespace(**options(arrivals="none"))) is None
    assert arrivals_of(Namespace(**options(arrival_rate=5.0))) == Arrivals(5.0, "constant")
    poisson = options(arrival_rate=5.0, arrivals="poisson", arrival_seed=3)
    assert arrivals_of(Namespace(**poisson)) == Arrivals(5.0, "poisson", 3)


@pytest.mark.parametrize(
    ("given", "users", "message"),
    [
        ({"arrivals": "poisson"}, [], "needs --arrival-rate"),
        ({"arrivals": "none", "arrival_rate": 5.0}, [], "closed loops"),
        ({"arrival_rate": 5.0}, [HttpUser], "needs swarm users"),
    ],
)
def test_options_that_conflict_are_a_message(given, users, message):
    with pytest.raises(SystemExit, match=message):
        check(Environment(user_classes=users, parsed_options=Namespace(**options(**given))))


def test_arrivals_of_a_user_class_that_are_none_are_refused():
    with pytest.raises(TypeError, match=r"Hasty.arrivals is an Arrivals"):
        type("Hasty", (SwarmUser,), {"arrivals": 3000})
