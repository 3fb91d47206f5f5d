"""Every failure is classified, counted once, and nothing is ever sent again."""

from __future__ import annotations

import csv
import socket
from types import SimpleNamespace

import gevent
import pytest

from swarm import FailureKind
from swarm.http.connection import MOST_READS, Connection
from swarm.http.exchange import Origin
from tests.ports import free_port
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply, silent, then_close, then_reset

PARTIAL = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"
CHUNK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"


def drip(client, _asked):
    """An answer that goes on and on, so that only the time-out for the whole ends it."""
    client.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1000):
        client.send(b"x")
        gevent.sleep(0.02)


def endless(begin, piece):
    """An answer that never ends, as fast as it is taken."""

    def script(client, _asked):
        client.send(begin)
        while True:
            client.send(piece)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
LINES = b"x-a: b\r\n" * 512
NONSENSE = {
    "endless status line": (endless(b"HTTP/1.1 200 ", b"y" * 4096), FailureKind.PROTOCOL),
    "endless header": (endless(HEAD + b"x: ", b"y" * 4096), FailureKind.PROTOCOL),
    "endless headers": (endless(HEAD, LINES), FailureKind.PROTOCOL),
    "endless early hints": (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100), FailureKind.PROTOCOL),
    "endless trailers": (endless(CHUNK + b"0\r\n", LINES), FailureKind.PROTOCOL),
    "endless extension of a chunk": (endless(CHUNK + b"5;", b"y" * 4096), FailureKind.PROTOCOL),
    "endless body": (
        endless(HEAD + b"content-length: 10000000000\r\n\r\n", b"x" * 65536),
        FailureKind.TIMEOUT,
    ),
    "endless chunks": (endless(CHUNK, b"1\r\nx\r\n" * 1000), FailureKind.TIMEOUT),
    "negative length": (HEAD + b"content-length: -1\r\n\r\n", FailureKind.PROTOCOL),
    "length beyond all numbers": (
        HEAD + b"content-length: 1" + b"0" * 30 + b"\r\n\r\n",
        FailureKind.PROTOCOL,
    ),
    "two lengths": (HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc", FailureKind.PROTOCOL),
    "chunk beyond all numbers": (CHUNK + b"F" * 20 + b"\r\n", FailureKind.PROTOCOL),
    "status below 100": (b"HTTP/1.1 099 What\r\n\r\n", FailureKind.PROTOCOL),
    "zeros": (endless(b"", bytes(4096)), FailureKind.PROTOCOL),
}


def time_out(kind: FailureKind) -> float:
    """Of a request that is to be lost in this way: long where another way of losing it must come first."""
    return 0.2 if kind == FailureKind.TIMEOUT else 60.0


LOSSES = {
    "closed after sending": (then_close(), FailureKind.CLOSED_UNANSWERED),
    "reset after sending": (then_reset(), FailureKind.CLOSED_UNANSWERED),
    "closed in the head": (then_close(b"HTTP/1.1 200"), FailureKind.RESET_MID_RESPONSE),
    "closed in the body": (then_close(PARTIAL), FailureKind.RESET_MID_RESPONSE),
    "reset in the body": (then_reset(PARTIAL), FailureKind.RESET_MID_RESPONSE),
    "closed in a chunk": (then_close(CHUNK), FailureKind.RESET_MID_RESPONSE),
    "not HTTP": (b"SSH-2.0-OpenSSH\r\n", FailureKind.PROTOCOL),
    "more than was asked for": (reply() + reply(), FailureKind.PROTOCOL),
    "bad chunk": (CHUNK + b"zz\r\n", FailureKind.PROTOCOL),
    "switched protocols": (SWITCHED, FailureKind.PROTOCOL),
    "never answered": (silent, FailureKind.TIMEOUT),
    "too slow": (drip, FailureKind.TIMEOUT),
    "404": (reply(b"", "404 Not Found"), FailureKind.HTTP_4XX),
    "503": (reply(b"", "503 Service Unavailable"), FailureKind.HTTP_5XX),
    **NONSENSE,
}


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept alive", "connection per request"])
@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_has_its_kind_and_is_not_sent_again(serve, live, loss, keep_alive):
    script, kind = LOSSES[loss]
    server = serve({"/": script, "/after": reply(b"after")})

    def steps(user):
        yield user.get("/", timeout=time_out(kind))
        yield user.get("/after")

    answers = live(server.url, steps, keep_alive=keep_alive)
    response, after = answers.responses
    assert (response.failure_kind, response.ok) == (kind, False)
    assert response.answered == (kind in (FailureKind.HTTP_4XX, FailureKind.HTTP_5XX))
    assert after.text == "after"
    assert server.targets == ["/", "/after"]
    [error] = answers.swarm.stats.errors.values()
    assert (error.name, error.occurrences) == ("/", 1)
    assert str(error.error).startswith(f"{kind}: ")


def test_a_reused_connection_that_is_cut_is_not_sent_on_again(serve, live):
    def second_time(client, asked):
        if server.targets.count("/") == 1:
            client.send(reply())
        else:
            client.sock.close()

    server = serve({"/": second_time})

    def steps(user):
        yield user.get("/")
        yield user.get("/")

    answers = live(server.url, steps)
    assert [r.failure_kind for r in answers.responses] == [None, FailureKind.CLOSED_UNANSWERED]
    assert server.targets == ["/", "/"]
    assert answers.swarm.engine.counters.idle_closes == 0


def one(user):
    yield user.get("/")


def test_refused(live):
    assert live(f"http://127.0.0.1:{free_port()}", one).only.failure_kind == FailureKind.REFUSED


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 64 + ".invalid", "255.255.255.255"])
def test_what_cannot_be_connected_to(live, host):
    response = live(f"http://{host}:8000", one).only
    assert response.failure_kind == FailureKind.CONNECT_FAILED
    assert response.detail


def test_an_unknown_host_is_looked_up_once(live, monkeypatch):
    looked_up = []

    def look_up(*args, **kwargs):
        looked_up.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def steps(user):
        for _ in range(5):
            yield user.get("/")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    responses = live("http://no-such-host.invalid", steps).responses
    assert [(r.failure_kind, r.detail) for r in responses] == [
        (FailureKind.CONNECT_FAILED, "Name or service not known")
    ] * 5
    assert len(looked_up) == 1


def test_a_task_that_tries_again_and_again_leaves_the_others_their_turn(make_swarm):
    def forever(user):
        while True:
            yield user.get("/")

    swarm = make_swarm(user_class(forever), host=f"http://127.0.0.1:{free_port()}").start(2)
    until(lambda: swarm.coordinator.failures > 10, "it tries again and again")
    swarm.stop()
    assert swarm.stats.num_failures == swarm.stats.num_requests > 10


def test_a_failed_check_counts_as_a_failure(serve, live):
    server = serve({"/": reply(b"body")})

    def steps(user):
        for _ in range(3):
            response = yield user.get("/")
            response.failure("wrong body")
        yield user.get("/")

    swarm = live(server.url, steps).swarm
    entry = swarm.stats.get("/", "GET")
    assert (entry.num_requests, entry.num_failures) == (4, 3)
    assert [e.error for e in swarm.stats.errors.values()] == ["check: wrong body"]


def test_success_forgives_a_404(serve, live):
    server = serve({"/": reply(b"", "404 Not Found")})

    def steps(user):
        response = yield user.get("/")
        response.success()
        yield user.get("/")

    entry = live(server.url, steps).swarm.stats.get("/", "GET")
    assert (entry.num_requests, entry.num_failures) == (2, 1)


def test_a_lost_request_cannot_be_forgiven_nor_renamed(serve, live):
    server = serve({"/": then_close()})

    def steps(user):
        response = yield user.get("/")
        response.success()
        response.failure("my own words")

    answers = live(server.url, steps)
    assert answers.only.failure_kind == FailureKind.CLOSED_UNANSWERED
    assert answers.swarm.stats.num_failures == 1


def test_a_task_that_raises_after_a_failed_check_still_counts_it(serve, live):
    server = serve({"/": reply()})

    def steps(user):
        response = yield user.get("/")
        response.failure("no")
        raise ZeroDivisionError

    attempts = []

    def once(user):
        attempts.append(user)
        if len(attempts) > 1:
            return
        yield from steps(user)

    swarm = live(server.url, once).swarm
    assert swarm.stats.num_failures == 1


def test_the_rows_say_what_was_lost_where(serve, make_swarm, tmp_path):
    server = serve({"/ok": reply(b"body"), "/cut": then_reset(PARTIAL)})

    def steps(user):
        yield user.get("/ok")
        response = yield user.get("/ok", name="checked")
        response.failure("wrong")
        response = yield user.get("/ok", name="checked")  # equal bytes: the short way round the parser
        response.failure("wrong")
        yield user.get("/cut")
        yield user.get("/ok")
        yield user.pause(60)

    swarm = make_swarm(user_class(steps), host=server.url, record=str(tmp_path)).start()
    until(lambda: len(server.asked) == 5, "all was asked")
    gevent.sleep(0.05)
    swarm.stop()
    with (tmp_path / "failures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    whole, cut = str(len(reply(b"body"))), str(len(PARTIAL))
    assert [
        (
            row["name"],
            row["kind"],
            row["connection_requests"],
            row["bytes_received"],
            row["count"],
            row["detail"],
        )
        for row in rows
    ] == [
        ("checked", "check", "2", whole, "1", "wrong"),
        ("checked", "check", "3", whole, "1", "wrong"),
        ("/cut", "reset_mid_response", "3", cut, "1", "Connection reset by peer"),
    ]
    assert all(float(row["connection_age_s"]) > 0 and float(row["latency_us"]) > 0 for row in rows)


def test_what_never_connected_has_no_connection_in_its_row(make_swarm, tmp_path):
    swarm = make_swarm(user_class(one), host=f"http://127.0.0.1:{free_port()}", record=str(tmp_path)).start()
    until(lambda: swarm.coordinator.failures, "a request met nobody")
    swarm.stop()
    with (tmp_path / "failures.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["kind"] == "refused"
    assert row["bytes_received"] in ("", "0")


def test_a_flood_leaves_the_others_their_turn_and_time_outs_theirs():
    """A server in a process of its own may send faster than the engine takes it in."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = (socket.AF_INET, socket.SOCK_STREAM, 0, server.getsockname())
        connection = Connection(None, Origin(f"http://127.0.0.1:{server.getsockname()[1]}"), address, 0)
        connection.connecting = False
        connection.assign(SimpleNamespace(method="GET"), b"", 0)
        taken = []

        def flood(most):
            data = b"x" * most if taken else HEAD + b"content-length: 10000000000\r\n\r\n" + b"x" * most
            taken.append(most)
            return data[:most]

        connection.recv = flood
        assert connection.receive() is None and 1 < len(taken) <= MOST_READS
        connection.close()
