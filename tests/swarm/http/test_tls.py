"""TLS, with a certificate made for the test."""

from __future__ import annotations

import socket
from time import process_time

import gevent
import pytest

from swarm import FailureKind
from tests.certificates import AUTHORITY, issue
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import byte_by_byte, reply, then_close, then_reset


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Path of the certificate of whoever signs those of the servers."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """That of the servers here, and its key."""
    return issue(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serve_tls(serve, certificate):
    return lambda routes, **options: serve(routes, tls=certificate, **options)


BIG = bytes(range(256)) * 8192


def test_requests_over_tls_share_a_connection(serve_tls, live):
    server = serve_tls({"/": reply(b"secret"), "/slow": byte_by_byte(reply(b"drop")), "/big": reply(BIG)})

    def steps(user):
        for path in ("/", "/", "/slow", "/big", "/"):
            yield user.get(path)

    responses = live(server.url, steps, verify=False).responses
    assert [r.content for r in responses] == [b"secret", b"secret", b"drop", BIG, b"secret"]
    assert server.connections == 1


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_big_upload_over_tls_to_a_slow_reader(serve_tls, live, keep_alive):
    def wait(client):
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        gevent.sleep(0.1)

    server = serve_tls({"/": lambda client, asked: client.send(reply(b"got it"))}, connected=wait)

    def steps(user):
        yield user.post("/", data=BIG)
        yield user.post("/", data=BIG)

    responses = live(server.url, steps, verify=False, keep_alive=keep_alive).responses
    assert [response.text for response in responses] == ["got it"] * 2
    assert all(asked.body == BIG for asked in server.asked)
    assert server.connections == (1 if keep_alive else 2)


def one(user):
    yield user.get("/", timeout=60)


def test_the_certificate_is_checked_unless_told_otherwise(serve_tls, live, authority):
    server = serve_tls({"/": reply()})
    response = live(server.url, one).only
    assert response.failure_kind == FailureKind.CONNECT_FAILED
    assert "CERTIFICATE_VERIFY_FAILED" in response.detail
    assert not server.asked
    assert live(server.url, one, verify=authority).only.ok


def test_the_name_on_the_certificate_is_checked(serve, live, tmp_path, authority):
    server = serve({"/": reply()}, tls=issue(tmp_path, "elsewhere.example"))
    response = live(server.url, one, verify=authority).only
    assert response.failure_kind == FailureKind.CONNECT_FAILED
    assert "CERTIFICATE_VERIFY_FAILED" in response.detail
    assert not server.asked


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (then_close(), FailureKind.CLOSED_UNANSWERED),
        (then_close(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), FailureKind.RESET_MID_RESPONSE),
        (then_reset(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), FailureKind.RESET_MID_RESPONSE),
    ],
)
def test_losses_over_tls(serve_tls, live, script, kind):
    server = serve_tls({"/": script})
    response = live(server.url, one, verify=False).only
    assert response.failure_kind == kind, response.detail
    assert server.targets == ["/"]


def test_a_body_until_close_and_an_idle_close_over_tls(serve_tls, live):
    server = serve_tls({"/": then_close(b"HTTP/1.1 200 OK\r\n\r\nall of it"), "/idle": then_close(reply())})

    def steps(user):
        yield user.get("/")
        yield user.get("/idle")
        yield user.pause(0.05)
        yield user.get("/idle")

    answers = live(server.url, steps, verify=False)
    assert [r.text for r in answers.responses] == ["all of it", "ok", "ok"]
    assert answers.swarm.engine.counters.idle_closes >= 1


def test_plain_http_on_a_tls_connection(serve, live):
    def not_tls(client):
        client.sock.recv(1000)
        client.send(reply())

    response = live(serve({}, connected=not_tls).url.replace("http", "https"), one, verify=False).only
    assert response.failure_kind == FailureKind.CONNECT_FAILED
    assert response.detail.startswith("TLS: ")


def test_a_handshake_that_hangs_costs_no_cpu_and_is_a_connect_time_out(serve, live):
    server = serve({}, connected=lambda client: client.wait_until_closed())

    def steps(user):
        yield user.get("/", timeout=1.0)

    before = process_time()
    response = live(server.url.replace("http", "https"), steps, verify=False).only
    assert response.failure_kind == FailureKind.CONNECT_TIMEOUT
    assert process_time() - before < 0.5


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_is_none_fails_and_says_so(serve_tls, live, tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    response = live(serve_tls({"/": reply()}).url, one, verify=str(path)).only
    assert response.failure_kind == FailureKind.CONNECT_FAILED
    assert response.detail


def test_user_classes_do_not_share_their_trust(serve_tls, make_swarm):
    server = serve_tls({"/": reply()})
    strict = type("Strict", (user_class(one),), {})
    lax = type("Lax", (user_class(one, verify=False),), {})
    swarm = make_swarm(strict, lax, host=server.url).start(2)
    until(lambda: len(server.asked) > 3 and swarm.stats.num_failures, "one was let through, one was not")
    swarm.stop()
    assert swarm.stats.num_failures > 0
    assert swarm.stats.num_requests > swarm.stats.num_failures


def test_the_authority_of_the_suites_servers_is_trusted_as_well(serve_tls, live, authority, monkeypatch):
    monkeypatch.setenv("WHICHWORKER_AUTHORITY", authority)
    assert live(serve_tls({"/": reply()}).url, one).only.ok
