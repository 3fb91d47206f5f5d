"""Ports for servers that have to be told theirs."""

import itertools
import os
import socket

# Below those that Linux gives to clients (from 32768 on), so that no connection of another test has it by the
# time the server listens. Each process that runs tests has its own, and does not soon give out one twice.
_FIRST, _EACH, _PROCESSES = 12_000, 1_000, 8
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", f"gw{_PROCESSES - 1}").removeprefix("gw")) % _PROCESSES
_NUMBERS = itertools.cycle(range(_EACH))
_BEGIN = os.getpid() % _EACH


def free_port() -> int:
    """A port that nobody listens on, and that nobody else will be given for a while."""
    while True:
        port = _FIRST + _NUMBER * _EACH + (_BEGIN + next(_NUMBERS)) % _EACH
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
