"""A server whose answers are known before they are measured: when they come, and which of them fail.

It is served and measured as any configuration is, so that the whole pipeline can be held against
arithmetic. Standard library only, one thread, one epoll set. Time-outs of epoll are whole milliseconds,
so it sleeps in `select` on the epoll descriptor (microseconds) and polls for the last stretch.

    python bench/studies/self_check/known/server.py --port 8099 --service-ms 5

`GET` on any path is answered a known time after it was received, each connection on its own; one
request at a time on each (no pipelining). `/whoami` is answered at once and counts for nothing.
Requests are numbered from 1, in the order of their arrival; when the last connection has closed, the
totals are printed, and numbers and stalls begin anew.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import json
import os
import platform
import re
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

BACKLOG = 4096
EVENTS = 512
RECEIVE_BYTES = 16384
# How long before an answer is due it stops sleeping: longer than a virtual CPU needs to wake up.
SPIN_NS = 200_000

# What the scenario index wants, so that it can be one of this server.
_BODY = b"Hello, world!"
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: text/plain\r\n\r\n%b" % (len(_BODY), _BODY)
_ERROR = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 6\r\n\r\nfailed"


@dataclass(frozen=True)
class Behaviour:
    """What is known of the server. Times are seconds; a number of 0 means never.

    Every `fail_every`th request gets a 500, every `slow_every`th one takes `slow_s` instead of
    `service_s`. For `stall_s` seconds in every `period_s`, from the middle of the period, nothing is read
    and nothing is answered; the first period begins with the first request.
    """

    service_s: float = 0.0
    fail_every: int = 0
    slow_every: int = 0
    slow_s: float = 0.0
    stall_s: float = 0.0
    period_s: float = 0.0

    def delay_s(self, number: int) -> float:
        """How long request `number` (from 1) takes."""
        return self.slow_s if self.slow_every and number % self.slow_every == 0 else self.service_s

    def fails(self, number: int) -> bool:
        """Whether request `number` (from 1) gets a 500."""
        return bool(self.fail_every) and number % self.fail_every == 0

    def stalled_for_s(self, since_s: float) -> float:
        """How much of a stall is left, `since_s` seconds after the first request; 0 outside of stalls.

        From the middle of the period, so that a measured window of whole periods, which begins a second
        or two after the first request, neither begins nor ends in one.
        """
        if not self.period_s:
            return 0.0
        return max(0.0, self.stall_s - (since_s - self.period_s / 2) % self.period_s)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that make a `Behaviour`."""
    add = parser.add_argument
    add("--service-ms", type=float, default=0.0, help="from the receipt of a request to its answer")
    add("--fail-every", type=int, default=0, metavar="K", help="every Kth request gets a 500")
    add("--slow-every", type=int, default=0, metavar="K", help="every Kth request takes --slow-ms")
    add("--slow-ms", type=float, default=0.0)
    add("--stall-s", type=float, default=0.0, help="do nothing for so long ...")
    add("--period-s", type=float, default=0.0, help="... once in so many seconds")


def behaviour_of(options: argparse.Namespace) -> Behaviour:
    """The behaviour that parsed options ask for."""
    return Behaviour(
        service_s=options.service_ms / 1e3,
        fail_every=options.fail_every,
        slow_every=options.slow_every,
        slow_s=options.slow_ms / 1e3,
        stall_s=options.stall_s,
        period_s=options.period_s,
    )


def behaviour_in(command: Sequence[str]) -> Behaviour:
    """The behaviour in a command line of this server; its other words are passed over."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    return behaviour_of(parser.parse_known_args(list(command))[0])


class _Connection:
    """A client's connection: what of its request has come, and the answer it waits for."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.received = b""
        self.answer = b""
        self.closes = False


class KnownServer:
    """Serves one listening socket for ever."""

    def __init__(self, listener: socket.socket, behaviour: Behaviour) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._behaviour = behaviour
        self._epoll = select.epoll()
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self._due: list[tuple[int, int, _Connection]] = []  # monotonic ns, a tie-breaker, whom to answer
        self._scheduled = 0
        self._requests = 0
        self._failures = 0
        self._first = 0.0  # when the first of these requests came, monotonic

    def run(self) -> None:
        while True:
            events = self._wait()
            self._sit_out_a_stall()
            received_ns = time.monotonic_ns()
            for fd, _ in events:
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._connections:
                    self._read(self._connections[fd], received_ns)
            self._answer_due()

    def _wait(self) -> list[tuple[int, int]]:
        """Events of the sockets; returns without any when an answer is due."""
        if not self._due:
            return self._epoll.poll(-1, EVENTS)
        left = self._due[0][0] - time.monotonic_ns()
        if left > SPIN_NS:
            select.select([self._epoll], [], [], (left - SPIN_NS) / 1e9)
        return self._epoll.poll(0, EVENTS)

    def _sit_out_a_stall(self) -> None:
        while self._requests and (left := self._behaviour.stalled_for_s(time.monotonic() - self._first)) > 0:
            time.sleep(left)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[client.fileno()] = _Connection(client)
            self._epoll.register(client.fileno(), select.EPOLLIN)

    def _read(self, connection: _Connection, received_ns: int) -> None:
        try:
            data = connection.client.recv(RECEIVE_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.received += data
        if not connection.received.endswith(b"\r\n\r\n"):
            return
        head, connection.received = connection.received, b""
        if head.startswith(b"GET /whoami "):
            connection.closes = b"connection: close" in head.lower()
            connection.answer = _whoami()
            self._answer(connection)
            return
        self._requests += 1
        if self._requests == 1:
            self._first = time.monotonic()
        if self._behaviour.fails(self._requests):
            self._failures += 1
            connection.answer = _ERROR
        else:
            connection.answer = _OK
        due = received_ns + int(self._behaviour.delay_s(self._requests) * 1e9)
        self._scheduled += 1
        heapq.heappush(self._due, (due, self._scheduled, connection))

    def _answer_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic_ns():
            connection = heapq.heappop(self._due)[2]
            if connection.answer:  # else it was closed meanwhile
                self._answer(connection)

    def _answer(self, connection: _Connection) -> None:
        answer, connection.answer = connection.answer, b""
        try:
            # So few bytes always fit an idle connection's buffer.
            connection.client.send(answer)
        except ConnectionError:
            self._close(connection)
            return
        if connection.closes:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        connection.answer = b""
        del self._connections[connection.client.fileno()]
        connection.client.close()
        if not self._connections and self._requests:
            print(totals_line(self._requests, self._failures), flush=True)  # noqa: T201
            self._requests = self._failures = 0


def totals_line(requests: int, failures: int) -> str:
    """What is printed when the last connection has closed."""
    return f"totals requests={requests} failures={failures}"


def read_totals(log: str) -> tuple[int, int] | None:
    """Requests and failures of all `totals_line`s in a log added up; None if there is none."""
    found = re.findall(r"^totals requests=(\d+) failures=(\d+)$", log, re.MULTILINE)
    if not found:
        return None
    return sum(int(requests) for requests, _ in found), sum(int(failures) for _, failures in found)


def _whoami() -> bytes:
    content: dict[str, object] = {
        "configuration": os.environ.get("WHICHWORKER_CONFIGURATION"),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "loop": "epoll",
        "parser": "none",
        "versions": {},
    }
    body = json.dumps(content).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n"
    return head % len(body) + body


def _announce() -> None:
    """Say to `targets.serve`, in the file it watches, that this worker has started."""
    path = os.environ.get("WHICHWORKER_READY")
    if path:
        with open(path, "a", encoding="ascii") as file:  # noqa: PTH123
            file.write(f"{time.time():.6f},{os.getpid()}\n")


def main() -> None:
    """Serve until killed; the port is printed."""
    parser = argparse.ArgumentParser(description="Answer after known times.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) picks a free one")
    add_options(parser)
    options = parser.parse_args()
    listener = socket.create_server((options.host, options.port), backlog=BACKLOG)
    print(f"port {listener.getsockname()[1]}", flush=True)  # noqa: T201
    _announce()
    KnownServer(listener, behaviour_of(options)).run()


if __name__ == "__main__":
    main()
