"""A server that does the least possible work: it answers fixed bytes to whatever arrives.

What a generator reaches against it is the generator's own ceiling. It neither parses nor checks:
each readable event is taken for one request, which holds for clients that do not pipeline and whose
requests fit one segment. Run it by its path: as a module of `swarm` it would be patched by gevent.

    python swarm/nullserver.py --port 8099 --body-bytes 13
"""

from __future__ import annotations

import argparse
import contextlib
import select
import socket
from typing import Final

BACKLOG: Final = 4096
EVENTS: Final = 512
RECEIVE_BYTES: Final = 16384


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
                with contextlib.suppress(BlockingIOError):
                    client, _ = listener.accept()
                    client.setblocking(False)
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    clients[client.fileno()] = client
                    epoll.register(client.fileno(), select.EPOLLIN)
                continue
            try:
                if client.recv(RECEIVE_BYTES):
                    client.send(response)
                    continue
            except OSError:
                pass  # reset by the client: the same as closed
            del clients[fd]
            client.close()


def main() -> None:
    """Serve on 127.0.0.1 until killed; the chosen port is printed."""
    parser = argparse.ArgumentParser(description="Answer fixed bytes to every request.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) picks a free one")
    parser.add_argument("--body-bytes", type=int, default=13)
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", arguments.port), backlog=BACKLOG)
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    serve(listener, response_bytes(arguments.body_bytes))


if __name__ == "__main__":
    main()
