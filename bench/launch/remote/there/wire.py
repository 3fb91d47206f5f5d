"""What a network does between two machines: how long connections take to open, the largest packet, and how
many bytes per second go through.

One side listens (``Listener``), the other asks (``connect``, ``transfer``): a bench, or an agent.
"""

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

CONNECTS = 30
"""So many connections say how long one takes."""
_CONNECT_S = 5.0
# A transfer's first part is its way up to full speed.
_LEAD_S, _COUNTED_S = 0.2, 0.5
# Who says nothing for so long is gone.
_SILENCE_S = 15.0
_CHUNK = bytes(1 << 18)
# What a client wants of a listener: bytes without end, or that all of its own are taken.
_GIVE, _TAKE = b"g", b"t"
_IP_MTU, _DISCARD = 14, 9  # <linux/in.h>, ip(7); nothing is sent


class Listener:
    """Takes connections at an address until the end of its context."""

    def __init__(self, address: str, port: int = 0) -> None:
        """Listen at a port, or at any free one; raises ``OSError``."""
        self._socket = socket.create_server((address, port))
        self.address, self.port = self._socket.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more connections; those that are there end with their clients."""
        with contextlib.suppress(OSError):  # it wakes who accepts
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):  # the client has what it wanted, and goes
        connection.settimeout(_SILENCE_S)
        wanted = connection.recv(1)
        while wanted == _GIVE:
            connection.sendall(_CHUNK)
        while wanted == _TAKE and connection.recv(len(_CHUNK)):
            pass


def connect(address: str, port: int) -> dict[str, Any]:
    """How long each of ``CONNECTS`` connections took to open (``times_s``), and the ``mtu`` on the way.

    The time is about a round trip; ``mtu`` (bytes) is null where the kernel does not say. Raises ``OSError``.
    """
    times_s = []
    for _ in range(CONNECTS):
        begun = time.perf_counter()
        with socket.create_connection((address, port), _CONNECT_S):
            times_s.append(time.perf_counter() - begun)
    return {"times_s": times_s, "mtu": _mtu_towards(address)}


def transfer(address: str, port: int) -> dict[str, float]:
    """How many bytes per second a connection brings from a ``Listener``, and takes to it.

    Raises ``OSError``, also where the other side ends it.
    """
    buffer = bytearray(len(_CHUNK))
    return {
        "from_bytes_per_s": _speed(address, port, _GIVE, lambda stream: stream.recv_into(buffer)),
        "to_bytes_per_s": _speed(address, port, _TAKE, lambda stream: stream.send(_CHUNK)),
    }


def _speed(address: str, port: int, wanted: bytes, move: Callable[[socket.socket], int]) -> float:
    with socket.create_connection((address, port), _CONNECT_S) as stream:
        stream.sendall(wanted)
        lead = time.perf_counter() + _LEAD_S
        while time.perf_counter() < lead:
            _some(move(stream))
        begun, moved = time.perf_counter(), 0
        while (lasted := time.perf_counter() - begun) < _COUNTED_S:
            moved += _some(move(stream))
        return moved / lasted


def _some(moved: int) -> int:
    """The bytes that were moved; raises ``OSError`` where there are none: that is the end, not slowness."""
    if not moved:
        raise ConnectionAbortedError(errno.ECONNABORTED, "the other side ended the connection")
    return moved


def _mtu_towards(address: str) -> int | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _DISCARD))
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return None
