"""The null server that learns: what it remembers, how it frames, and what it says of itself."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest
from gevent import socket

from tests.patience import LONG_S
from tests.swarm.scripted import byte_by_byte, reply, silent, then_close

PROGRAM = Path(__file__).parents[2] / "swarm" / "nullserver.py"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n"


class NullServer:
    """The program as a process, and connections to it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, *arguments], stdout=subprocess.PIPE, text=True
        )
        self.port = int(self.process.stdout.readline())
        self.sockets: list[socket.socket] = []

    def connect(self) -> socket.socket:
        self.sockets.append(socket.create_connection(("127.0.0.1", self.port), LONG_S))
        return self.sockets[-1]

    def ask(self, request: bytes, length: int) -> bytes:
        """The first bytes of the answer, on a connection of its own."""
        client = self.connect()
        client.sendall(request)
        return receive(client, length)

    def report(self) -> dict[str, object]:
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        self.process.kill()
        self.process.communicate()


def receive(client: socket.socket, length: int) -> bytes:
    """So many bytes, or fewer where the server closes first."""
    received = b""
    while len(received) < length and (data := client.recv(1 << 20)):
        received += data
    return received


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


def post(path: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def learning():
    """Starts null servers: `learning(server)` learns from it."""
    started: list[NullServer] = []

    def start(server) -> NullServer:
        started.append(NullServer("--learn", server.url))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_each_request_line_is_asked_for_once_and_answered_from_memory(serve, learning):
    server = serve({"/a": reply(b"the a"), "/b": reply(b"the b", "404 Not Found")})
    null = learning(server)
    client = null.connect()
    for path, answer in [
        ("/a", reply(b"the a")),
        ("/b", reply(b"the b", "404 Not Found")),
        ("/a?x=1", reply(b"the a")),
    ]:
        for headers in ([], [], ["Cookie: a=1"]):  # other headers, so another length: the same line
            client.sendall(get(path, *headers))
            assert receive(client, len(answer)) == answer
    assert server.targets == ["/a", "/b", "/a?x=1"]
    server.close()
    assert null.ask(get("/a"), len(reply(b"the a"))) == reply(b"the a")


def test_it_says_what_it_knows_and_when_it_asked(serve, learning):
    null = learning(serve({"/a": reply(b"")}))
    assert null.report() == {"knows": 0, "asked": 0, "last_asked": None, "error": None}
    before = time.time()
    null.ask(get("/a"), 1)
    null.ask(get("/a"), 1)
    report = null.report()
    assert (report["knows"], report["asked"], report["error"]) == (1, 1, None)
    assert before <= report["last_asked"] <= time.time()


@pytest.mark.parametrize("size", [10, 2000, 100_000, 3_000_000])
def test_uploads_of_any_length_are_counted_to_their_end(serve, learning, size):
    server = serve({"/up": lambda client, asked: client.send(reply(str(len(asked.body)).encode()))})
    null = learning(server)
    client, answer = null.connect(), reply(str(size).encode())
    for _ in range(3):
        client.sendall(post("/up", b"x" * size))
        assert receive(client, len(answer)) == answer
    # A body of another length has the same line, so the same answer, and leaves nothing behind.
    for other in (size * 2, size // 2, size):
        client.sendall(post("/up", b"y" * other))
        assert receive(client, len(answer)) == answer
    assert len(server.asked) == 1 and null.report()["error"] is None


def test_requests_may_come_in_pieces(serve, learning):
    server = serve({"/up": reply(b"done")})
    client = learning(server).connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = post("/up", b"hello")
    for _ in range(2):
        for place in range(0, len(request), 7):
            client.sendall(request[place : place + 7])
            gevent.sleep(0.001)
        assert receive(client, len(reply(b"done"))) == reply(b"done")
    assert [asked.body for asked in server.asked] == [b"hello"]


@pytest.mark.parametrize(
    "wire",
    [
        CHUNKED,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + reply(b"hi"),
    ],
    ids=["chunked", "no content", "not modified", "after 103"],
)
def test_answers_are_kept_byte_for_byte_however_they_are_framed(serve, learning, wire):
    server = serve({"/": byte_by_byte(wire)})
    null = learning(server)
    client = null.connect()
    for _ in range(3):
        client.sendall(get("/"))
        assert receive(client, len(wire)) == wire
    assert len(server.asked) == 1


def test_an_answer_to_head_has_no_body_to_wait_for(serve, learning):
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    null = learning(serve({"/": head}))
    request = get("/").replace(b"GET", b"HEAD")
    assert null.ask(request, len(head)) == null.ask(request, len(head)) == head


@pytest.mark.parametrize(
    "script",
    [
        then_close(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"),
        then_close(reply(b"bye", "200 OK", "connection: close")),
        reply(b"bye", "200 OK", "connection: close"),
    ],
    ids=["closing ends the body", "closed", "said only"],
)
def test_a_connection_is_closed_after_an_answer_that_ends_it(serve, learning, script):
    server = serve({"/": script})
    null = learning(server)
    answers = [null.ask(get("/", "Connection: close"), 1 << 20) for _ in range(3)]  # to the end
    assert answers[0].endswith((b"until the end", b"bye")) and len(set(answers)) == 1
    assert len(server.asked) == 1


def test_answers_longer_than_a_socket_takes_at_once_arrive_whole(serve, learning):
    body = bytes(range(256)) * 60_000
    null = learning(serve({"/": reply(body), "/last": reply(body, "200 OK", "connection: close")}))
    clients = [null.connect() for _ in range(3)]
    for _ in range(2):
        for client in clients:
            client.sendall(get("/"))
        gevent.sleep(0.1)  # nobody reads: what does not fit into the sockets has to wait
        for client in clients:
            assert receive(client, len(reply(body))) == reply(body)
    assert len(null.ask(get("/last"), 1 << 30)) == len(reply(body, "200 OK", "connection: close"))


def test_what_it_remembers_is_bounded(serve, learning):
    server = serve({"/": reply(b"ok")})
    null = learning(server)
    client = null.connect()
    for number in (*range(1010), 0, 1009):
        client.sendall(get(f"/?{number}"))
        assert receive(client, len(reply(b"ok"))) == reply(b"ok")
    report = null.report()
    assert (report["knows"], report["asked"]) == (1000, 1011)


def test_what_the_real_server_does_not_answer_is_dropped_and_told(serve, learning):
    server = serve(
        {"/": then_close(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), "/ok": reply(b"ok")}
    )
    null = learning(server)
    assert null.ask(get("/"), 1) == b""
    assert re.search(r"did not answer b'GET / HTTP/1.1': it closed the connection", null.report()["error"])
    assert null.ask(b"good morning\r\n\r\n", 1) == b""
    assert "not an HTTP/1.1 request" in null.report()["error"]
    assert null.ask(get("/ok"), len(reply(b"ok"))) == reply(b"ok")
    server.close()
    assert null.ask(get("/other"), 1) == b""
    assert "Connection refused" in null.report()["error"]


def test_clients_that_leave_in_mid_answer_or_request_leave_it_well(serve, learning):
    body = b"x" * (8 << 20)
    null = learning(serve({"/": reply(body), "/up": reply(b"ok"), "/silent": silent}))
    reset = null.connect()
    reset.sendall(get("/"))
    receive(reset, 1)
    reset.close()
    half = null.connect()
    half.sendall(post("/up", b"12345")[:-2])
    half.close()
    gevent.sleep(0.1)
    assert null.ask(post("/up", b"12345"), len(reply(b"ok"))) == reply(b"ok")
    assert null.process.poll() is None


def test_without_learning_it_answers_fixed_bytes_whatever_is_asked():
    null = NullServer("--body-bytes", "5")
    try:
        client = null.connect()
        fixed = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nHello"
        for request in (get("/a"), b"anything at all"):
            client.sendall(request)
            assert receive(client, len(fixed)) == fixed
    finally:
        null.close()


def test_a_server_it_cannot_learn_from_is_refused():
    done = subprocess.run(
        [sys.executable, PROGRAM, "--learn", "https://127.0.0.1:1"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "not a URL such as http://127.0.0.1:8000" in done.stderr
