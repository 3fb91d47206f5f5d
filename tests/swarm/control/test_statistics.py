"""The numbers that reach Locust's statistics, and the `request` event."""

from __future__ import annotations

from time import time

import gevent
import pytest

from swarm.control.plugin import RequestFailed
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply


def slow(client, _asked):
    gevent.sleep(0.1)
    client.send(reply(b"slow"))


@pytest.fixture
def server(serve):
    return serve({"/": reply(b"12345"), "/slow": slow, "/no": reply(b"gone", "404 Not Found")})


def test_counts_times_and_lengths(server, live):
    def steps(user):
        for _ in range(7):
            yield user.get("/")
        for _ in range(3):
            yield user.get("/slow")

    answers = live(server.url, steps)
    entry, total = answers.swarm.stats.get("/slow", "GET"), answers.swarm.stats.total
    taken = [r.elapsed * 1e3 for r in answers.responses]
    assert (entry.num_requests, total.num_requests, total.num_failures) == (3, 10, 0)
    assert entry.min_response_time == pytest.approx(min(taken[7:]))
    assert total.min_response_time == pytest.approx(min(taken))
    assert total.max_response_time == pytest.approx(max(taken))
    assert entry.avg_response_time == pytest.approx(sum(taken[7:]) / 3)
    assert total.avg_response_time == pytest.approx(sum(taken) / 10)
    assert (entry.avg_content_length, total.total_content_length) == (4, 7 * 5 + 3 * 4)
    assert entry.get_response_time_percentile(0.5) == pytest.approx(sorted(taken[7:])[1], rel=0.06)
    assert total.get_response_time_percentile(1.0) == pytest.approx(max(taken), rel=0.06)
    assert sum(total.num_reqs_per_sec.values()) == 10


def test_times_below_a_hundred_milliseconds_keep_two_digits(server, live):
    def steps(user):
        for _ in range(20):
            yield user.get("/")

    answers = live(server.url, steps)
    median = answers.swarm.stats.get("/", "GET").median_response_time
    taken = sorted(r.elapsed * 1e3 for r in answers.responses)
    assert taken[9] * 0.94 < median < taken[10] * 1.06


def test_failures_are_requests_too(server, live):
    def steps(user):
        yield user.get("/")
        yield user.get("/no")
        yield user.get("/no")

    total = live(server.url, steps).swarm.stats.total
    assert (total.num_requests, total.num_failures, total.fail_ratio) == (3, 2, pytest.approx(2 / 3))
    assert total.num_none_requests == 0


def test_requests_per_second_and_current_percentiles_move_while_it_runs(null_server, make_swarm):
    def forever(user):
        yield user.get("/")

    swarm = make_swarm(user_class(forever), host=null_server).start(2)
    until(lambda: swarm.stats.total.current_rps > 0, "a current rate")
    total = swarm.stats.total
    assert total.get_current_response_time_percentile(0.5) is not None
    swarm.stop()
    assert total.num_requests == sum(total.num_reqs_per_sec.values()) == sum(total.response_times.values())


def test_the_seconds_are_those_of_completion(server, live):
    def steps(user):
        yield user.get("/")
        yield user.pause(1.1)
        yield user.get("/")

    began = int(time())
    seconds = live(server.url, steps).swarm.stats.get("/", "GET").num_reqs_per_sec
    assert sum(seconds.values()) == 2
    assert len(seconds) == 2
    assert all(began <= second <= time() for second in seconds)


def test_each_run_counts_from_nothing(server, make_swarm):
    def once(user):
        yield user.get("/")
        yield user.pause(1000)

    swarm = make_swarm(user_class(once), host=server.url)
    for _ in range(2):
        asked = len(server.asked)
        swarm.start(3)
        until(lambda asked=asked: len(server.asked) == asked + 3, "three requests")
        gevent.sleep(0.05)
        swarm.stop()
        assert swarm.stats.total.num_requests == 3


ARGUMENTS = {
    "request_type",
    "name",
    "response_time",
    "response_length",
    "response",
    "context",
    "exception",
    "start_time",
    "url",
}


def test_the_request_event_is_fired_once_for_each_request(server, make_swarm):
    def steps(user):
        yield user.get("/", name="root")
        yield user.get("/", name="root")
        yield user.get("/no?a=1")
        response = yield user.get("/")
        response.failure("wrong")
        yield user.pause(1000)

    heard = []
    swarm = make_swarm(user_class(steps, context=lambda user: {"who": "me"}), host=server.url)
    swarm.environment.events.request.add_listener(lambda **fields: heard.append(fields))
    began = time()
    swarm.start()
    until(lambda: len(heard) == 4, "four events")
    gevent.sleep(0.05)
    swarm.stop()
    assert len(heard) == 4
    assert all(set(fields) >= ARGUMENTS for fields in heard)
    assert [fields["name"] for fields in heard] == ["root", "root", "/no?a=1", "/"]
    assert [fields["response_length"] for fields in heard] == [5, 5, 4, 5]
    assert [str(fields["exception"]) for fields in heard] == [
        "None",
        "None",
        "http_4xx: status 404",
        "check: wrong",
    ]
    assert isinstance(heard[2]["exception"], RequestFailed)
    assert all(fields["request_type"] == "GET" and fields["context"] == {"who": "me"} for fields in heard)
    assert all(began - 1 < fields["start_time"] < time() for fields in heard)
    assert all(fields["response_time"] == pytest.approx(fields["response"].elapsed * 1e3) for fields in heard)
    assert heard[2]["url"] == f"{server.url}/no?a=1"
    total = swarm.stats.total  # and what is fired is not counted twice
    assert (total.num_requests, total.num_failures) == (4, 2)


def test_without_listeners_nobody_is_called(server, make_swarm):
    def steps(user):
        yield user.get("/")
        yield user.pause(1000)

    swarm = make_swarm(user_class(steps), host=server.url).start()
    until(lambda: server.asked, "a request")
    assert not swarm.engine.listeners


def test_a_listener_that_raises_stops_nobody(server, make_swarm):
    def forever(user):
        yield user.get("/")

    def broken(**_):
        raise ZeroDivisionError

    heard = []
    swarm = make_swarm(user_class(forever), host=server.url)
    swarm.environment.events.request.add_listener(broken)
    swarm.environment.events.request.add_listener(lambda **_: heard.append(1))
    swarm.start()
    until(lambda: len(heard) > 20, "the other listener hears, the user goes on")
