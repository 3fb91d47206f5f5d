"""One non-blocking client connection: connect, TLS, send, receive, one request at a time."""

from __future__ import annotations

import errno
import os
import ssl
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import gevent.monkey

from .exchange import FailureKind, Origin, Request
from .message import Assembler, Message, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import AddressFamily, SocketKind


# Locust's gevent patches these modules; the engine needs the system's own non-blocking sockets.
socket = gevent.monkey.get_original("socket", "socket")
select_epoll = gevent.monkey.get_original("select", "epoll")

AUTHORITY: Final = "WHICHWORKER_AUTHORITY"
"""The variable that names the certificate of who has signed those of the suite's own servers."""
RECEIVE_BYTES: Final = 65536
MOST_READS: Final = 16
"""So often one connection is read from before others have their turn, and time-outs theirs."""
EPOLLIN: Final = 0x001
EPOLLOUT: Final = 0x004
EPOLLRDHUP: Final = 0x2000
_IP_LOCAL_PORT_RANGE: Final = 51
# Wider than there can be, which Linux takes as all of this network namespace (ip(7)).
_ALL_PORTS: Final = struct.pack("=I", 65535 << 16 | 1)

Owner = TypeVar("Owner")
"""Whose connection it is: the engine's agents. A connection itself asks nothing of it."""
Address = tuple["AddressFamily", "SocketKind", int, tuple[object, ...]]


class Broken(Exception):
    """The connection ended; `kind` and `detail` say how the request on it was lost."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class ClosedBeforeSending(Exception):
    """The server had closed the idle connection before a byte of the request was sent: no loss."""


class Connection(Generic[Owner]):
    """A connection of one user to one origin. It does no waiting: the engine tells it what is ready.

    `awaiting` is true exactly while the hot path may serve it: plain TCP, the request wholly sent,
    no byte of the response received, and the connection to be kept afterwards. `serial` is its number
    among those that the process opened in the cell, from 1. `among_many` finds a local port quickly where
    more than half of them are taken.
    """

    __slots__ = (
        "agent",
        "assembler",
        "awaiting",
        "connecting",
        "fd",
        "opened_ns",
        "origin",
        "received",
        "recv",
        "request",
        "send",
        "serial",
        "served",
        "sock",
        "started_ns",
        "tls",
        "unsent",
        "wants_write",
    )

    def __init__(
        self, agent: Owner, origin: Origin, address: Address, now_ns: int, among_many: bool = False
    ) -> None:
        family, kind, protocol, where = address
        self.sock = socket(family, kind, protocol)
        try:
            self.sock.setblocking(False)
            self.sock.setsockopt(6, 1, 1)  # TCP_NODELAY: a request is one send and must not wait
            if among_many:
                # Linux tries every second port first, all of them where half are taken: 60 ms per connection.
                # With a range of the socket's own it takes the next that is free, since 6.8.
                with suppress(OSError):  # before 6.3 there is none
                    self.sock.setsockopt(0, _IP_LOCAL_PORT_RANGE, _ALL_PORTS)
            status = self.sock.connect_ex(where)
            if status not in (0, errno.EINPROGRESS):
                raise OSError(status, os.strerror(status))
        except OSError:
            self.sock.close()
            raise
        self.agent = agent
        self.origin = origin
        self.fd: int = self.sock.fileno()
        self.recv: Callable[[int], bytes] = self.sock.recv
        self.send: Callable[[bytes], int] = self.sock.send
        self.assembler: Assembler | None = None
        self.tls: Tls | None = None
        self.connecting = True
        self.awaiting = False
        self.wants_write = True
        self.request: Request | None = None
        self.unsent = b""
        self.received = 0
        self.served = 0
        self.serial = 0
        self.opened_ns = now_ns
        self.started_ns = now_ns

    def close(self) -> None:
        """Close the socket; the kernel takes it out of the epoll set."""
        self.awaiting = False
        self.sock.close()

    def assign(self, request: Request, payload: bytes, now_ns: int) -> None:
        """Take a request on; `transmit` sends it as soon as the connection can."""
        self.request = request
        self.unsent = payload
        self.received = 0
        self.started_ns = now_ns

    @property
    def has_unsent(self) -> bool:
        """Whether bytes wait until the socket can take them."""
        return self.tls.unsent if self.tls is not None else bool(self.unsent)

    @property
    def established(self) -> bool:
        """Whether it is connected, the TLS handshake included."""
        return not self.connecting and (self.tls is None or self.tls.established)

    def finish_connect(self) -> None:
        """The connect attempt ended: raise Broken if it failed."""
        status = self.sock.getsockopt(1, 4)  # SOL_SOCKET, SO_ERROR
        if status == errno.ECONNREFUSED:
            raise Broken(FailureKind.REFUSED, os.strerror(status))
        if status:
            raise Broken(FailureKind.CONNECT_FAILED, os.strerror(status))
        self.connecting = False

    def transmit(self) -> None:
        """Send what is unsent. Raises Broken, or ClosedBeforeSending where no byte got out."""
        if self.tls is not None:
            self._transmit_tls()
            return
        try:
            sent = self.send(self.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._send_failed()
            return
        self.unsent = self.unsent[sent:] if sent < len(self.unsent) else b""
        self.awaiting = not self.unsent and self.request.__class__ is Request

    def _send_failed(self) -> None:
        request = self.request
        # Only what is wholly unsent begins with the head. (Its length says nothing: it may have more lines.)
        if self.served and request is not None and self.unsent.startswith(request.head):
            raise ClosedBeforeSending
        # The server may have answered before it closed (a refused upload, say): read that first.
        self.unsent = b""

    def _transmit_tls(self) -> None:
        assert self.tls is not None
        if self.tls.established and self.unsent:
            self.tls.encrypt(self.unsent)
            self.unsent = b""
        try:
            self.tls.flush(self.send)
        except OSError as error:
            raise self.lost(error.strerror or str(error)) from error

    def receive(self) -> Message | None:
        """Read what arrived: the whole response, or None so far. What is left is reported by epoll again.

        Raises Broken when the connection or the protocol ended the request, EOFError when an idle
        connection was closed by the server.
        """
        for _ in range(MOST_READS):
            try:
                data = self.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return None
            except OSError as error:
                if self.request is None:
                    raise EOFError from error
                raise self.lost(error.strerror or str(error)) from error
            message = self.absorb(data)
            if message is not None or len(data) < RECEIVE_BYTES:
                return message
        return None

    def absorb(self, data: bytes) -> Message | None:
        """Take received bytes in (empty: the server closed). Returns and raises as `receive`."""
        self.awaiting = False
        plain = data
        if self.tls is not None and data:
            plain = self._decrypt(data)
            if not plain:
                return None
        if self.request is None:
            if not data:
                raise EOFError
            raise Broken(FailureKind.PROTOCOL, "bytes nobody asked for")
        assembler = self._assembler()
        if plain:
            self.received += len(plain)
            try:
                return assembler.feed(plain)
            except ProtocolError as error:
                raise Broken(FailureKind.PROTOCOL, str(error)) from error
        message = assembler.end()
        if message is None:
            raise self.lost("connection closed by the server")
        return message

    def _assembler(self) -> Assembler:
        # Made at the first response that is not a repetition: most connections never need one.
        if self.assembler is None:
            self.assembler = Assembler()
        if not self.received and self.request is not None:
            self.assembler.expect(self.request.method)
        return self.assembler

    def _decrypt(self, data: bytes) -> bytes:
        assert self.tls is not None
        try:
            plain = self.tls.decrypt(data)
        except ssl.SSLError as error:
            kind = FailureKind.PROTOCOL if self.tls.established else FailureKind.CONNECT_FAILED
            raise Broken(kind, f"TLS: {error.reason or error}") from error
        self.transmit()
        return plain

    def lost(self, detail: str) -> Broken:
        """The failure of the request in flight, now that the connection is gone."""
        if not self.established:
            return Broken(FailureKind.CONNECT_FAILED, detail)
        kind = FailureKind.RESET_MID_RESPONSE if self.received else FailureKind.CLOSED_UNANSWERED
        return Broken(kind, detail)


class Tls:
    """A TLS session over memory buffers, so that the socket stays an ordinary one."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._unsent = b""
        self.established = False
        self._handshake()

    def _handshake(self) -> None:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.established = True

    def encrypt(self, data: bytes) -> None:
        """Queue plain bytes for sending."""
        self._session.write(data)

    def flush(self, send: Callable[[bytes], int]) -> None:
        """Send what is queued, as far as the socket takes it. Raises OSError."""
        self._unsent += self._outgoing.read()
        while self._unsent:
            try:
                sent = send(self._unsent)
            except BlockingIOError:
                return
            self._unsent = self._unsent[sent:]

    @property
    def unsent(self) -> bool:
        """Whether encrypted bytes wait for the socket."""
        return bool(self._unsent)

    def decrypt(self, data: bytes) -> bytes:
        """The plain bytes that have become readable; goes on with the handshake. Raises SSLError."""
        self._incoming.write(data)
        if not self.established:
            self._handshake()
            if not self.established:
                return b""
        plain = []
        while True:
            try:
                piece = self._session.read(RECEIVE_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not piece:
                break
            plain.append(piece)
        return b"".join(plain)


def tls_context(verify: bool | str) -> ssl.SSLContext:
    """A client context: `verify` is True (the system's CAs), False, or a CA bundle's path.

    With True the authority of the suite's own servers is trusted, too: `AUTHORITY` names it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif verify is True:
        context.load_default_certs()
        if own := os.environ.get(AUTHORITY):
            context.load_verify_locations(own)
    else:
        context.load_verify_locations(verify)
    return context
