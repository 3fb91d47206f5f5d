"""Loads that are about connections: kept ones that pause, bursts of new ones, more of them than are taken.

    python swarm/connections.py pause --connections 1000 http://127.0.0.1:8000/index=75 http://127.0.0.1:8001/index=5
    python swarm/connections.py burst --connections 300 http://127.0.0.1:8000/index
    python swarm/connections.py overload --connections 256 --seconds 2 http://127.0.0.1:8000/index

It prints a JSON list with an object for each server: how many requests ended in which way (`KINDS`), and
`p99_us` and `slowest_us` of those that were answered; one that timed out counts as long as it was waited for.
The exit status is 1, with a line on standard error, where a server answers anything else than 2xx and 503.

Run it by its path: as a module of `swarm` it would be patched by gevent.
"""

from __future__ import annotations

import argparse
import errno
import itertools
import json
import math
import random
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools

KINDS: Final = ("answered", "answers_503", "closed_in_time", "refused", "reset", "timed_out")
"""How a request may end; `closed_in_time`: the client saw that its connection was closed and sent nothing."""
PAUSES: Final = (0.8, 1.2)
"""The shortest and the longest pause, as shares of the server's keep-alive."""
ROUND_TRIP_S: Final = 0.02
"""How far away clients that pause are: so long after it last looked at a connection, a request arrives."""
RESTS_S: Final = (0.05, 0.15)
"""How long a client rests that an overloaded server turned away: at random, lest all come in step."""

# Connections that pause are opened so many at a time, so that no backlog fills.
_OPENING: Final = 16
# A load is given up when nothing was answered for so long: two retransmissions of a SYN, after 1 s and 3 s.
_SILENCE_S: Final = 5.0
# Of an overload, before anything is counted.
_WARM_S: Final = 0.5
_EVENTS: Final = 512
_RECEIVE_BYTES: Final = 16384


class UnusableError(Exception):
    """A server does not answer as it must for anything to be told; the text is for people."""


class Server(NamedTuple):
    """Where a server listens, and the request that it is sent."""

    url: str
    address: tuple[str, int]
    request: bytes

    @classmethod
    def at(cls, url: str) -> Server:
        """The server of a URL; raises ValueError for no `http://host[:port]/path`."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"not a URL such as http://127.0.0.1:8000/index: {url}")
        request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n"
        return cls(url, (parts.hostname, parts.port or 80), request.encode())


class Answer:
    """A response that arrives."""

    def __init__(self) -> None:
        self.whole = False
        self.closes = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        return int(self._parser.get_status_code())

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.whole = True
        self.closes = not self._parser.should_keep_alive()


class Client:
    """One connection to a server at a time, and at most one request in flight; it rests `pause_s` seconds."""

    def __init__(self, server: Server, pause_s: float = 0.0) -> None:
        self.server = server
        self.pause_s = pause_s
        self.kept = False
        self.began = self.took_s = 0.0
        self.answer: Answer | None = None
        self.socket: socket.socket | None = None

    @property
    def connection(self) -> socket.socket:
        assert self.socket is not None
        return self.socket

    def connect(self) -> int:
        """Begin to connect; returns the error number, 0 where it may succeed."""
        self.began, self.answer, self.kept = time.monotonic(), None, False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.socket.connect_ex(self.server.address)
        return 0 if error == errno.EINPROGRESS else error

    def send(self) -> str | None:
        """Send the request; returns how it ended if it did."""
        self.answer = Answer()
        try:
            self.connection.send(self.server.request)
        except OSError:
            return "reset"
        return None

    def advance(self) -> str | None:
        """Go on with what the socket is ready for; returns how the request ended if it did."""
        if self.answer is None:
            error = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return self.send() if not error else _unconnected(error)
        try:
            data = self.connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return "reset"
        if not data:
            return "reset"
        self.answer.feed(data)
        return self._ended(self.answer) if self.answer.whole else None

    def is_closed(self) -> bool:
        """Whether one sees that the kept connection is of no use any more."""
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True  # its end, or something that nobody has asked for

    def close(self) -> None:
        self.connection.close()
        self.socket, self.kept = None, False

    def _ended(self, answer: Answer) -> str:
        self.kept = not answer.closes
        if answer.status == 503:
            return "answers_503"
        if answer.status // 100 != 2:
            raise UnusableError(f"{self.server.url} answers with status {answer.status}")
        return "answered"


def _unconnected(error: int) -> str:
    """How a request ends whose connection could not be opened."""
    return {errno.ECONNREFUSED: "refused", errno.ETIMEDOUT: "timed_out"}.get(error, "reset")


class Crowd:
    """Clients that wait for answers, on one epoll set."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, Client] = {}
        self._over: list[tuple[Client, str]] = []  # before they had to wait

    def __len__(self) -> int:
        return len(self._waiting) + len(self._over)

    def open(self, client: Client) -> None:
        """Have a client open a connection, and ask as soon as it stands."""
        error = client.connect()
        if error:
            self._over.append((client, _unconnected(error)))
        else:
            self._join(client, select.EPOLLOUT)

    def ask(self, client: Client) -> None:
        """Have a client ask on the connection that it has kept."""
        client.began = time.monotonic()
        kind = client.send()
        if kind is None:
            self._join(client, select.EPOLLIN)
        else:
            self._over.append((client, kind))

    def wait(self, timeout_s: float) -> list[tuple[Client, str]]:
        """The clients whose request has ended, and how; waits at most so long for the first of them."""
        deadline = time.monotonic() + max(0.0, timeout_s)
        ended, self._over = self._over, []
        while True:
            left_s = 0.0 if ended else max(0.0, deadline - time.monotonic())
            for descriptor, _ in self._epoll.poll(left_s, _EVENTS):
                if (kind := self._advance(descriptor)) is not None:
                    ended.append((self._leave(descriptor), kind))
            now = time.monotonic()
            if ended or now >= deadline:
                break
        for client, kind in ended:
            client.took_s = now - client.began
            if not client.kept or kind == "reset":
                client.close()
        return ended

    def _advance(self, descriptor: int) -> str | None:
        client = self._waiting[descriptor]
        connecting = client.answer is None
        kind = client.advance()
        if connecting and kind is None:
            self._epoll.modify(descriptor, select.EPOLLIN)
        return kind

    def give_up(self) -> Iterator[Client]:
        """The clients that wait still: they are told once."""
        for descriptor in list(self._waiting):
            client = self._leave(descriptor)
            client.took_s = time.monotonic() - client.began
            client.close()
            yield client

    def _join(self, client: Client, event: int) -> None:
        descriptor = client.connection.fileno()
        self._epoll.register(descriptor, event)
        self._waiting[descriptor] = client

    def _leave(self, descriptor: int) -> Client:
        self._epoll.unregister(descriptor)
        return self._waiting.pop(descriptor)


class Tally:
    """How the requests to a server ended."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._took_s: list[float] = []

    def count(self, kind: str, took_s: float) -> None:
        self._kinds[kind] += 1
        if kind in ("answered", "timed_out"):
            self._took_s.append(took_s)

    def table(self) -> dict[str, float | None]:
        """What is printed of a server; microseconds are null where nothing was answered."""
        took_us = sorted(seconds * 1e6 for seconds in self._took_s)
        p99 = took_us[math.ceil(0.99 * len(took_us)) - 1] if took_us else None
        slowest = took_us[-1] if took_us else None
        kinds: dict[str, float | None] = {kind: self._kinds[kind] for kind in KINDS}
        return {**kinds, "p99_us": p99, "slowest_us": slowest}


def burst(server: Server, count: int) -> Tally:
    """Open so many connections at once, and send a request on each as soon as it stands."""
    crowd, tally = Crowd(), Tally()
    clients = [Client(server) for _ in range(count)]  # which keep their connections to the end
    for client in clients:
        crowd.open(client)
    while len(crowd) and (ended := crowd.wait(_SILENCE_S)):
        for client, kind in ended:
            tally.count(kind, client.took_s)
    for client in crowd.give_up():
        tally.count("timed_out", client.took_s)
    return tally


def overload(server: Server, count: int, seconds: float) -> Tally:
    """A closed loop on so many connections; a client that is turned away rests, and then tries again."""
    crowd, tally = Crowd(), Tally()
    resting: list[tuple[float, int, Client]] = []
    serial, chance = itertools.count(), random.Random(0)
    for _ in range(count):
        crowd.open(Client(server))
    counted_from = time.monotonic() + _WARM_S
    end = counted_from + seconds
    while (now := time.monotonic()) < end:
        while resting and resting[0][0] <= now:
            _again(crowd, heappop(resting)[2])
        next_s = resting[0][0] if resting else end
        for client, kind in crowd.wait(min(next_s, end) - now):
            if now >= counted_from:
                tally.count(kind, client.took_s)
            if kind == "answered":
                _again(crowd, client)
            else:
                heappush(resting, (time.monotonic() + chance.uniform(*RESTS_S), next(serial), client))
    return tally


def _again(crowd: Crowd, client: Client) -> None:
    if client.kept:
        crowd.ask(client)
    else:
        crowd.open(client)


def pause(
    servers: Sequence[tuple[Server, float]], count: int, round_trip_s: float = ROUND_TRIP_S, seed: int = 0
) -> list[Tally]:
    """Have so many connections to each server pause around its keep-alive (seconds), and then ask once more.

    A client looks at its connection, and its request arrives a round trip later: what the server closes in
    between it cannot know. The pauses of all servers pass at the same time.
    """
    crowd, tallies = Crowd(), {server: Tally() for server, _ in servers}
    agenda: list[tuple[float, int, Client]] = []
    serial = itertools.count()
    unopened = iter(_pausing(servers, count, seed))
    for client in itertools.islice(unopened, _OPENING):
        crowd.open(client)
    looked: set[Client] = set()
    while agenda or len(crowd):
        while agenda and agenda[0][0] <= time.monotonic():
            due, _, client = heappop(agenda)
            if client in looked:
                crowd.ask(client)
            elif client.is_closed():
                tallies[client.server].count("closed_in_time", 0.0)
                client.close()
            else:
                looked.add(client)
                heappush(agenda, (due + round_trip_s, next(serial), client))
        ended = crowd.wait(agenda[0][0] - time.monotonic() if agenda else _SILENCE_S)
        if not ended and not agenda:
            break
        for client, kind in ended:
            if client in looked:
                tallies[client.server].count(kind, client.took_s)
                continue
            if kind != "answered" or not client.kept:
                raise UnusableError(f"{client.server.url} keeps no connection: {kind.replace('_', ' ')}")
            heappush(agenda, (time.monotonic() + client.pause_s, next(serial), client))
            if (following := next(unopened, None)) is not None:
                crowd.open(following)
    for client in crowd.give_up():
        tallies[client.server].count("timed_out", client.took_s)
    return list(tallies.values())


def _pausing(servers: Sequence[tuple[Server, float]], count: int, seed: int) -> Iterator[Client]:
    """The clients of all servers: those that pause longest first, so that others open before one is due.

    The pauses of a server are spread evenly over `PAUSES`, and come in random order.
    """
    shortest, longest = PAUSES
    shares = [shortest + (longest - shortest) * (place + 0.5) / count for place in range(count)]
    for server, keep_alive_s in sorted(servers, key=lambda each: -each[1]):
        random.Random(seed).shuffle(shares)
        yield from (Client(server, share * keep_alive_s) for share in shares)


def _pausing_server(word: str) -> tuple[Server, float]:
    """URL=SECONDS."""
    url, _, seconds = word.rpartition("=")
    return Server.at(url), float(seconds)


def main() -> None:
    """Carry out one load, and print what came of it."""
    parser = argparse.ArgumentParser(description="Loads that are about connections.")
    loads = parser.add_subparsers(dest="load", required=True)
    for name in ("pause", "burst", "overload"):
        of_load = loads.add_parser(name)
        of_load.add_argument("--connections", type=int, required=True)
        if name == "pause":
            of_load.add_argument("--round-trip", type=float, default=ROUND_TRIP_S, metavar="SECONDS")
            of_load.add_argument("--seed", type=int, default=0)
            of_load.add_argument("servers", nargs="+", type=_pausing_server, metavar="URL=SECONDS")
        else:
            of_load.add_argument("server", type=Server.at, metavar="URL")
    loads.choices["overload"].add_argument("--seconds", type=float, required=True)
    chosen = parser.parse_args()
    try:
        match chosen.load:
            case "pause":
                tallies = pause(chosen.servers, chosen.connections, chosen.round_trip, chosen.seed)
            case "burst":
                tallies = [burst(chosen.server, chosen.connections)]
            case _:
                tallies = [overload(chosen.server, chosen.connections, chosen.seconds)]
    except (UnusableError, httptools.HttpParserError) as error:
        parser.exit(1, f"{error}\n")
    json.dump([tally.table() for tally in tallies], sys.stdout)


if __name__ == "__main__":
    main()
