"""A test server over raw sockets: what it sends, byte for byte, is scripted by the test.

It runs on gevent, as importing swarm has patched this process anyway, and records what it was asked.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import gevent
from gevent.server import StreamServer


@dataclass(frozen=True)
class Asked:
    """One request as it came in; header names in lower case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Client:
    """The server's end of one connection."""

    def __init__(self, sock, number: int) -> None:
        self.sock = sock
        self.number = number
        self._buffer = b""

    def read(self) -> Asked | None:
        """The next request, or None where the client closed first."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        self._buffer = rest
        while len(self._buffer) < length:
            if not self._more():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Asked(*first.split(" ", 2), headers, body, self.number)

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        self._buffer += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_until_closed(self) -> None:
        """Until the client has gone."""
        while self._more():
            pass


Script = Callable[[Client, Asked], None]


def reply(body: bytes = b"ok", status: str = "200 OK", *headers: str, version: str = "1.1") -> bytes:
    """A response with a content length."""
    lines = [f"HTTP/{version} {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Scripted:
    """Answers each path by its script: bytes, or a function of connection and request.

    `connected` is called with each new connection before anything is read from it. After a script
    the connection is read on, unless the script closed it.
    """

    def __init__(
        self,
        routes: Mapping[str, bytes | Script],
        connected: Callable[[Client], None] | None = None,
        tls: Mapping[str, object] | None = None,
    ) -> None:
        self.asked: list[Asked] = []
        self.connections = 0
        self.open = 0
        self._routes = routes
        self._connected = connected
        self._server = StreamServer(("127.0.0.1", 0), self._serve, backlog=4096, **(tls or {}))
        self._server.start()
        self.port: int = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def _serve(self, sock, _address) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each send is a segment
        self.connections += 1
        self.open += 1
        client = Client(sock, self.connections)
        with contextlib.suppress(OSError):  # the client went away, or the script closed
            if self._connected is not None:
                self._connected(client)
            while (asked := client.read()) is not None:
                self.asked.append(asked)
                answer = self._routes[asked.target.partition("?")[0]]
                if isinstance(answer, bytes):
                    client.send(answer)
                else:
                    answer(client, asked)
        self.open -= 1

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [asked.target for asked in self.asked]

    def close(self) -> None:
        self._server.stop(timeout=0)


def byte_by_byte(data: bytes) -> Script:
    """A script that sends its answer in single bytes."""

    def script(client: Client, _asked: Asked) -> None:
        for byte in data:
            client.send(bytes([byte]))
            gevent.sleep(0)

    return script


def then_close(data: bytes = b"") -> Script:
    """A script that sends this much and closes."""

    def script(client: Client, _asked: Asked) -> None:
        client.send(data)
        client.sock.close()

    return script


def then_reset(data: bytes = b"") -> Script:
    """A script that sends this much and resets the connection."""

    def script(client: Client, _asked: Asked) -> None:
        client.send(data)
        gevent.sleep(0.02)  # RST discards what the peer has not read yet
        client.reset()

    return script


def silent(client: Client, _asked: Asked) -> None:
    """A script that never answers."""
    client.wait_until_closed()
