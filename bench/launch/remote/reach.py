"""Whether clients here reach what listens on another machine, and how far away it is."""

import itertools
import socket
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from bench.launch.remote.link import Link
from bench.launch.remote.ssh import RemoteError

_CONNECT_S = 5.0
_CONNECTS = 30
_PORT_TRIES = 20
_IP_MTU, _DISCARD = 14, 9  # <linux/in.h>, ip(7); nothing is sent


def measure(link: Link, address: str, ports: Iterator[int]) -> dict[str, Any]:
    """Connect to one of the ports there; returns ``wire`` of the ``network`` of ``run.json``, but its clock.

    Raises:
        RemoteError: nothing can listen there, or it cannot be reached.
    """
    port = _listening(link, address, itertools.islice(ports, _PORT_TRIES))
    try:
        times_s = [_connect_s(link, address, port) for _ in range(_CONNECTS)]
    finally:
        link.ask("unlisten")
    ordered = sorted(times_s)
    return {
        "host": str(link.host),
        "address": address,
        "mtu": _mtu_towards(address),
        "connect_us": {
            "min": _us(ordered[0]),
            "median": _us(median(ordered)),
            "max": _us(ordered[-1]),
        },
    }


def _listening(link: Link, address: str, ports: Iterator[int]) -> int:
    """A port there that the agent listens on."""
    why = None
    for port in ports:
        why = link.ask("listen", address=address, port=port)["why"]
        if why is None:
            return port
    raise RemoteError(f"{link.host}: nothing can listen at {address} there: {why}")


def _connect_s(link: Link, address: str, port: int) -> float:
    """How long it takes until a connection is there: a round trip of the network."""
    begun = time.perf_counter()
    try:
        with socket.create_connection((address, port), _CONNECT_S):
            return time.perf_counter() - begun
    except OSError as error:
        raise RemoteError(
            f"{link.host}: what listens at {address}:{port} there is not reached from here "
            f"({error.strerror or 'no answer'}); open ports from {port} on between the two "
            "machines, or name others with --port"
        ) from error


def _mtu_towards(address: str) -> int | None:
    """The largest packet, in bytes, that goes to an address in one piece; ``None`` where it is not told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, _DISCARD))
            return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)
        except OSError:
            return None


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)
