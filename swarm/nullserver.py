"""A server that does the least possible work: it answers fixed bytes to whatever arrives.

What a generator reaches against it is the generator's own ceiling. It neither parses nor checks:
each readable event is taken for one request, which holds for clients that do not pipeline and whose
requests fit one segment. Run it by its path: as a module of `swarm` it would be patched by gevent.

    python swarm/nullserver.py --port 8099 --body-bytes 13

With `--learn URL` its answers are those of the server at that URL, so that a scenario's checks pass. A
request line it does not know is put to that server once; from then on whatever begins with it is
answered from memory, by one look-up. Only a request that is not as long as the one that was learned (an
upload in several segments, say) is parsed, to find its end. On SIGUSR1 it prints a JSON line: how many
request lines it `knows`, how many requests it `asked` the real server, when it did so last
(`last_asked`, Unix seconds or null), and why it dropped a connection last (`error`, or null).

    python swarm/nullserver.py --learn http://127.0.0.1:8000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import time
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httptools

BACKLOG: Final = 4096
EVENTS: Final = 512
RECEIVE_BYTES: Final = 16384
ASK_TIMEOUT_S: Final = 30.0
KNOWN_LINES: Final = 1000
KNOWN_BYTES: Final = 64 << 20
"""How much is remembered; request lines beyond it are put to the real server every time."""


def response_bytes(body_bytes: int) -> bytes:
    """The fixed response: a plain-text body of `body_bytes` bytes with a content length."""
    body = b"Hello, world!"[:body_bytes].ljust(body_bytes, b".")
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: text/plain\r\n\r\n%b" % (len(body), body)


def serve(listener: socket.socket, response: bytes) -> None:
    """Accept and answer for ever, in one thread, on a level-triggered epoll set."""
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll(-1, EVENTS):
            client = clients.get(fd)
            if client is None:
                accept(listener, clients, epoll)
                continue
            try:
                if client.recv(RECEIVE_BYTES):
                    client.send(response)
                    continue
            except OSError:
                pass  # reset by the client: the same as closed
            del clients[fd]
            client.close()


def accept(listener: socket.socket, clients: dict[int, socket.socket], epoll: select.epoll) -> None:
    """Take one waiting client in, if there still is one."""
    with contextlib.suppress(BlockingIOError):
        client, _ = listener.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients[client.fileno()] = client
        epoll.register(client.fileno(), select.EPOLLIN)


class Answer(NamedTuple):
    """What is remembered of a request line."""

    request_bytes: int
    response: bytes
    closes: bool


class LearningServer:
    """Answers each request line as the server at `url` did. Raises ValueError for no `http://host[:port]`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"not a URL such as http://127.0.0.1:8000: {url}")
        self._real = (parts.hostname, parts.port or 80)
        self._known: dict[bytes, Answer] = {}
        self._known_bytes = 0
        self._asked = 0
        self._last_asked: float | None = None
        self._error: str | None = None
        self._clients: dict[int, socket.socket] = {}
        self._arriving: dict[int, ArrivingRequest] = {}
        self._unsent: dict[int, tuple[memoryview, bool]] = {}
        """What a client's socket did not take yet, and whether the connection ends with it."""
        self._epoll = select.epoll()

    def report_on(self, number: signal.Signals) -> None:
        """Print the report whenever this signal comes.

        One that comes just before the wait for events would be heard with the next event only, which may
        never come: so each is an event of its own, too.
        """
        asked, asking = os.pipe()
        os.set_blocking(asked, False)
        os.set_blocking(asking, False)

        def report(*_: object) -> None:
            with contextlib.suppress(BlockingIOError):  # two signals may be heard as one
                os.read(asked, RECEIVE_BYTES)
            print(self.report(), flush=True)  # noqa: T201

        signal.signal(number, report)
        signal.set_wakeup_fd(asking, warn_on_full_buffer=False)
        self._epoll.register(asked, select.EPOLLIN)

    def report(self) -> str:
        """What it knows and asked so far, as a line of JSON."""
        return json.dumps(
            {
                "knows": len(self._known),
                "asked": self._asked,
                "last_asked": self._last_asked,
                "error": self._error,
            }
        )

    def serve(self, listener: socket.socket) -> None:
        """Accept and answer for ever, as `serve` does."""
        listener.setblocking(False)
        self._epoll.register(listener.fileno(), select.EPOLLIN)
        clients, arriving, unsent, known = self._clients, self._arriving, self._unsent, self._known
        while True:
            for fd, _ in self._epoll.poll(-1, EVENTS):
                client = clients.get(fd)
                if client is None:  # the listener, or a signal: then nobody waits
                    accept(listener, clients, self._epoll)
                    continue
                try:
                    if fd in unsent:
                        self._send_rest(fd)
                        continue
                    data = client.recv(RECEIVE_BYTES)
                    answer = known.get(data[: data.find(b"\r\n")])
                    if answer is None or len(data) != answer.request_bytes or fd in arriving:
                        if not data:
                            self._drop(fd)
                            continue
                        answer = self._complete(fd, data)
                        if answer is None:
                            continue
                    sent = client.send(answer.response)
                    if sent != len(answer.response):
                        self._keep_rest(fd, answer, sent)
                    elif answer.closes:
                        self._drop(fd)
                except OSError:  # reset by the client: the same as closed
                    self._drop(fd)
                except Refused as refusal:
                    self._error = str(refusal)
                    self._drop(fd)

    def _complete(self, fd: int, data: bytes) -> Answer | None:
        """The answer to a request that is unknown or of another length; None while it is not whole."""
        request = self._arriving.get(fd) or self._arriving.setdefault(fd, ArrivingRequest())
        if not request.feed(data):
            return None
        del self._arriving[fd]
        line = bytes(request.received[: request.received.find(b"\r\n")])
        return self._known.get(line) or self._learn(line, bytes(request.received))

    def _learn(self, line: bytes, request: bytes) -> Answer:
        self._asked += 1
        self._last_asked = time.time()
        try:
            response, closes = ask(self._real, request)
        except OSError as error:
            host, port = self._real
            raise Refused(f"the server at {host}:{port} did not answer {line!r}: {error}") from error
        finally:
            self._last_asked = time.time()
        answer = Answer(len(request), response, closes)
        size = len(line) + len(response)
        if len(self._known) < KNOWN_LINES and self._known_bytes + size <= KNOWN_BYTES:
            self._known[line] = answer
            self._known_bytes += size
        return answer

    def _keep_rest(self, fd: int, answer: Answer, sent: int) -> None:
        self._unsent[fd] = (memoryview(answer.response)[sent:], answer.closes)
        self._epoll.modify(fd, select.EPOLLOUT)

    def _send_rest(self, fd: int) -> None:
        rest, closes = self._unsent[fd]
        rest = rest[self._clients[fd].send(rest) :]
        if rest:
            self._unsent[fd] = (rest, closes)
        elif closes:
            self._drop(fd)
        else:
            del self._unsent[fd]
            self._epoll.modify(fd, select.EPOLLIN)

    def _drop(self, fd: int) -> None:
        self._arriving.pop(fd, None)
        self._unsent.pop(fd, None)
        self._clients.pop(fd).close()


class Refused(Exception):
    """A request that cannot be answered; the message says why."""


class ArrivingRequest:
    """Collects a request until the parser says that it is whole."""

    def __init__(self) -> None:
        self.received = bytearray()
        self._whole = False
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> bool:
        """Whether the request is whole with these bytes. Raises Refused where it is not HTTP/1.1."""
        self.received += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise Refused(f"not an HTTP/1.1 request: {error}: {bytes(self.received[:80])!r}") from error
        return self._whole

    def on_message_complete(self) -> None:
        """The parser saw the request's end."""
        self._whole = True


class ArrivingResponse:
    """Finds the end of a response. llhttp cannot know that a response answers HEAD, so that is told."""

    def __init__(self, *, head_only: bool) -> None:
        self.whole = False
        self.closes = False
        self._head_only = head_only
        self._head_done = False
        self._framed = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take bytes in; empty ones say that the server closed. Raises OSError where that is no response."""
        if not data:
            if self._framed or not self._head_done:
                raise ConnectionError("it closed the connection before its answer was whole")
            self.whole = self.closes = True
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError(f"it is not HTTP/1.1: {error}") from error

    def on_message_begin(self) -> None:
        """The parser saw a status line."""
        self._head_done = self._framed = False

    def on_header(self, name: bytes, _: bytes) -> None:
        """One header field: without one of these two the body ends with the connection."""
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        """The head is whole; for HEAD that is all there is."""
        self._head_done = self._parser.get_status_code() >= 200
        if self._head_only and self._head_done:
            self._end()

    def on_message_complete(self) -> None:
        """The response is whole; interim ones (1xx) are read over."""
        if self._parser.get_status_code() >= 200:
            self._end()

    def _end(self) -> None:
        self.whole = True
        self.closes = not self._parser.should_keep_alive()


def ask(address: tuple[str, int], request: bytes) -> tuple[bytes, bool]:
    """Put a request to a server and wait: its raw answer, and whether the connection ends with it.

    Raises OSError where there is none within 30 s of silence.
    """
    with socket.create_connection(address, ASK_TIMEOUT_S) as connection:
        connection.sendall(request)
        received = bytearray()
        response = ArrivingResponse(head_only=request.startswith(b"HEAD "))
        while not response.whole:
            data = connection.recv(RECEIVE_BYTES)
            received += data
            response.feed(data)
    return bytes(received), response.closes


def main() -> None:
    """Serve until killed; the chosen port is printed."""
    parser = argparse.ArgumentParser(description="Answer fixed bytes to every request.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) picks a free one")
    parser.add_argument("--body-bytes", type=int, default=13)
    parser.add_argument("--learn", metavar="URL", help="answer as the server at this URL does")
    arguments = parser.parse_args()
    learning = None
    if arguments.learn is not None:
        try:
            learning = LearningServer(arguments.learn)
        except ValueError as error:
            parser.exit(2, f"{error}\n")
        learning.report_on(signal.SIGUSR1)
    listener = socket.create_server((arguments.host, arguments.port), backlog=BACKLOG)
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    if learning is not None:
        learning.serve(listener)
    else:
        serve(listener, response_bytes(arguments.body_bytes))


if __name__ == "__main__":
    main()
