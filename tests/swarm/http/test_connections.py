"""Connections: kept, closed, opened anew, slow to connect, slow to read, and many."""

from __future__ import annotations

import gc
import socket

import gevent
import pytest
from locust import constant, task

from swarm import FailureKind, SwarmUser
from swarm.http.connection import Connection
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import Scripted, reply, then_close


def test_a_connection_is_kept_for_the_next_request(serve, live):
    server = serve({"/": reply()})

    def steps(user):
        for _ in range(5):
            yield user.get("/")

    swarm = live(server.url, steps).swarm
    assert [asked.connection for asked in server.asked] == [1] * 5
    assert swarm.engine.counters.connections_opened == 1
    until(lambda: server.open == 0, "the user's connection is closed when it has ended")


ENDING = {
    "close": reply(b"ok", "200 OK", "Connection: close"),
    "HTTP/1.0": reply(b"ok", version="1.0"),
}


@pytest.mark.parametrize("how", ENDING)
def test_what_the_server_will_close_is_not_used_again(serve, live, how):
    server = serve({"/": ENDING[how]})

    def steps(user):
        for _ in range(3):
            yield user.get("/")

    answers = live(server.url, steps)
    assert all(response.ok for response in answers.responses)
    assert [asked.connection for asked in server.asked] == [1, 2, 3]
    assert answers.swarm.engine.counters.idle_closes == 0  # it said so: that is no surprise


def test_http_1_0_may_keep_alive(serve, live):
    server = serve({"/": reply(b"ok", "200 OK", "Connection: keep-alive", version="1.0")})

    def steps(user):
        for _ in range(3):
            yield user.get("/")

    live(server.url, steps)
    assert server.connections == 1


def test_a_connection_for_each_request(serve, live):
    server = serve({"/": reply()})

    def steps(user):
        for _ in range(3):
            yield user.get("/")

    live(server.url, steps, keep_alive=False)
    assert [asked.connection for asked in server.asked] == [1, 2, 3]
    assert all(asked.headers["connection"] == "close" for asked in server.asked)


def test_one_user_may_change_its_mind_about_keep_alive(serve, live):
    server = serve({"/": reply()})

    def steps(user):
        yield user.get("/")
        user.keep_alive = False
        yield user.get("/")

    live(server.url, steps)
    assert [asked.headers.get("connection") for asked in server.asked] == [None, "close"]


def test_a_server_that_closes_idle_connections_loses_nothing(serve, live):
    server = serve({"/": then_close(reply())})

    def steps(user):
        for _ in range(3):
            yield user.get("/")
            yield user.pause(0.05)

    answers = live(server.url, steps)
    assert [response.ok for response in answers.responses] == [True] * 3
    assert answers.swarm.engine.counters.idle_closes == 3
    assert answers.swarm.engine.counters.connections_opened == server.connections == 3
    assert answers.swarm.stats.num_failures == 0


def test_an_answer_that_nobody_asked_for_is_no_request_s_and_ends_its_connection(serve, live):
    """It comes to an idle connection: taken for the next answer, it would be wrong ever after."""
    told = []

    def twice(client, _asked):
        client.send(reply(b"own"))
        gevent.sleep(0.05)
        client.send(reply(b"unasked") * 100)
        told.append(client)

    server = serve({"/": twice, "/after": reply(b"after")})

    def steps(user):
        yield user.get("/")
        while not told:
            yield user.pause(0.01)
        yield user.pause(0.05)
        yield user.get("/after")

    answers = live(server.url, steps)
    assert [response.text for response in answers.responses] == ["own", "after"]
    assert server.connections == 2 and answers.swarm.stats.num_failures == 0


def test_a_fin_that_nobody_looked_at_yet_is_still_no_loss(serve, live):
    """The task itself waits while the FIN arrives, so the engine meets it at sending."""
    server = serve({"/": then_close(reply())})

    def steps(user):
        for _ in range(2):
            yield user.get("/")
            yield user.get("/")
            gevent.sleep(0.05)  # holds the engine up

    answers = live(server.url, steps)
    lost = [r for r in answers.responses if not r.ok]
    assert server.connections == 4 - len(lost)
    # A close that crosses the request is a loss; one that had arrived before it is none.
    assert all(r.failure_kind == FailureKind.CLOSED_UNANSWERED for r in lost)


BIG = bytes(range(256)) * 8192  # 2 MiB: more than the socket buffers hold


def test_a_big_upload_to_a_slow_reader(serve, live):
    def slowly(client, asked):
        client.send(reply(str(len(asked.body)).encode()))

    def connected(client):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        gevent.sleep(0.1)

    server = serve({"/": slowly}, connected=connected)

    def steps(user):
        yield user.post("/", data=BIG)
        yield user.post("/", data=BIG)

    responses = live(server.url, steps).responses
    assert [response.text for response in responses] == [str(len(BIG))] * 2
    assert all(asked.body == BIG for asked in server.asked)


def test_a_big_download(serve, ask):
    assert ask(serve({"/": reply(BIG)}), "GET", "/").content == BIG


def test_an_answer_that_comes_before_the_upload_is_through(serve, ask):
    def refuse(client):
        client.sock.recv(1000)
        client.send(reply(b"too big", "413 Payload Too Large", "Connection: close"))
        client.wait_until_closed()

    response = ask(serve({}, connected=refuse), "POST", "/", data=BIG)
    assert (response.status_code, response.failure_kind) == (413, FailureKind.HTTP_4XX)


@pytest.fixture
def deaf():
    """The port of a listener whose queue is full, so that connects hang."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    yield port
    for each in (*fillers, listener):
        each.close()


def test_a_connect_that_hangs_does_not_hold_the_others_up(serve, make_swarm, deaf):
    server = serve({"/": reply()})

    class Stuck(SwarmUser):
        host = f"http://127.0.0.1:{deaf}"

        @task
        def ask(self):
            yield self.get("/")

    class Free(SwarmUser):
        host = server.url

        @task
        def ask(self):
            yield self.get("/")

    swarm = make_swarm(Stuck, Free).start(2)
    until(lambda: len(server.asked) > 20, "the other user goes on")
    assert swarm.runner.user_count == 2
    assert swarm.stats.num_failures == 0


def test_a_connect_that_hangs_times_out(live, deaf):
    def steps(user):
        yield user.get("/", timeout=0.2)

    response = live(f"http://127.0.0.1:{deaf}", steps).only
    assert response.failure_kind == FailureKind.CONNECT_TIMEOUT


def test_two_thousand_connections_at_once(serve, make_swarm):
    server: Scripted = serve({"/": reply()})
    waiting = []

    def all_wait(user):
        yield user.get("/")
        waiting.append(user)
        yield user.pause(60)

    swarm = make_swarm(user_class(all_wait), host=server.url).start(2000)
    until(lambda: len(waiting) == 2000, "each of the 2000 users was answered")
    assert server.connections == server.open == swarm.engine.counters.connections_open == 2000
    swarm.stop()
    until(lambda: server.open == 0, "all are closed")
    assert swarm.stats.total.num_requests == 2000
    assert swarm.stats.num_failures == 0


def test_among_many_the_next_free_local_port_is_taken(serve, make_swarm, monkeypatch):
    """In place of every second one first, through all of which the kernel looks once they are taken."""
    monkeypatch.setattr("swarm.engine.traffic.MANY", 20)
    server: Scripted = serve({"/": reply()})

    def waits(user):
        yield user.get("/")
        yield user.pause(60)

    swarm = make_swarm(user_class(waits), host=server.url).start(60)
    until(lambda: server.open == 60, "each of the 60 users has its connection")
    opened = sorted(swarm.engine._traffic.connections.values(), key=lambda each: each.serial)
    odd = [each.sock.getsockname()[1] % 2 for each in opened]
    assert len(set(odd[:20])) == 1 and len(set(odd[20:])) == 2


def test_connections_that_are_closed_are_forgotten(serve, make_swarm):
    """With a connection per request, what watched their time-outs must not keep them for 30 s."""
    server = serve({"/": reply()})

    class Closing(SwarmUser):
        wait_time = constant(0)
        keep_alive = False

        @task
        def ask(self):
            yield self.get("/")

    swarm = make_swarm(Closing, host=server.url).start(4)
    until(lambda: len(server.asked) > 2000, "3000 connections were used")
    swarm.stop()
    assert sum(isinstance(thing, Connection) for thing in gc.get_objects()) < 1000
