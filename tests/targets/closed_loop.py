"""Clients that send a request after the other, never again the same, and note each that is lost."""

import select
import socket
import threading
import time
from dataclasses import dataclass, field

from tests.patience import LONG_S


@dataclass
class Tally:
    """What the clients saw: ids answered with 200, and for each lost one what happened to it."""

    answered: list = field(default_factory=list)
    lost: dict = field(default_factory=dict)


def closed_loop(port, path, clients, requests, keep_alive=True, pause_s=0.0):
    """Send `requests` in all from so many threads, which pause after each; returns the `Tally`."""
    tally = Tally()
    ids = iter(range(requests))  # next() on it is atomic

    def client():
        connection = None
        for number in ids:
            time.sleep(pause_s)
            try:
                if connection is None or closed_while_idle(connection):
                    connection = socket.create_connection(("127.0.0.1", port), timeout=LONG_S)
                answer = exchange(connection, path, number, keep_alive)
            except OSError as error:
                tally.lost[str(number)] = repr(error)
                connection = None
                continue
            if answer.startswith(b"HTTP/1.1 200 "):
                tally.answered.append(str(number))
            else:
                tally.lost[str(number)] = repr(answer)
            if b"\r\nconnection: close\r\n" in answer:
                connection.close()
                connection = None

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def closed_while_idle(connection):
    """Whether the server has closed it already: known before the next request is sent, so none is lost."""
    return bool(select.select([connection], [], [], 0)[0])


def send(connection, path, number=0, keep_alive=True):
    end = "" if keep_alive else "Connection: close\r\n"
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Request-Id: {number}\r\n{end}\r\n".encode())


def receive(connection):
    """A whole response with a content-length, in lower case but for the status line's protocol."""
    answer = b""
    while True:
        head, blank, body = answer.partition(b"\r\n\r\n")
        if blank:
            (length,) = (
                int(line[15:])
                for line in head.lower().split(b"\r\n")
                if line[:15].lower() == b"content-length:"
            )
            if len(body) >= length:
                return answer
        received = connection.recv(65536)
        if not received:
            raise ConnectionError(f"closed after {len(answer)} bytes of the answer")
        answer += received


def exchange(connection, path, number=0, keep_alive=True):
    send(connection, path, number, keep_alive)
    return receive(connection)
