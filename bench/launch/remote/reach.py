"""Whether clients reach what listens on another machine, how far away it is, and what the network carries."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.launch.remote.link import Link
from bench.launch.remote.ssh import RemoteError
from bench.launch.remote.there import wire

_PORT_TRIES = 20


@dataclass(frozen=True)
class Listening:
    """Where something takes connections for a moment, and on which machine that is, for people."""

    machine: str
    address: str
    port: int


@contextmanager
def there(link: Link, address: str, ports: Iterator[int]) -> Iterator[Listening]:
    """Have one of the ports there listened at.

    Raises:
        RemoteError: nothing can listen there.
    """
    why = None
    for port in itertools.islice(ports, _PORT_TRIES):
        why = link.ask("listen", address=address, port=port)["why"]
        if why is None:
            try:
                yield Listening(str(link.host), address, port)
            finally:
                link.ask("unlisten")
            return
    raise RemoteError(f"{link.host}: nothing can listen at {address} there: {why}")


@contextmanager
def here(address: str, port: int = 0) -> Iterator[Listening]:
    """Have a port of this machine listened at, any free one unless it is given.

    Raises:
        RemoteError: nothing can listen there.
    """
    try:
        listener = wire.Listener(address, port)
    except OSError as error:
        at = f"{address}:{port}" if port else address
        why = (error.strerror or str(error)).partition(" (")[0]
        raise RemoteError(
            f"nothing can listen at {at} on this machine: {why}; "
            "name one of its addresses, which generators reach, and a free port: --address (ADDRESS=)"
        ) from error
    with listener:
        yield Listening("this machine", address, listener.port)


def measure(listening: Listening) -> dict[str, Any]:
    """The way from here to another machine: ``wire`` of the ``network`` of ``run.json``, but its clock.

    Raises:
        RemoteError: it cannot be reached, or a transfer is cut off.
    """
    address, port = listening.address, listening.port
    try:
        connected = wire.connect(address, port)
    except OSError as error:
        raise RemoteError(
            f"{listening.machine}: what listens at {address}:{port} there is not reached from here "
            f"({error.strerror or 'no answer'}); open ports from {port} on between the two "
            "machines, or name others with --port"
        ) from error
    try:
        carried = wire.transfer(address, port)
    except OSError as error:
        raise _cut_off("this machine", listening, error.strerror) from error
    return {"host": listening.machine, **_described(listening, connected), "raw": carried}


def measure_from(links: Mapping[str, Link], listening: Listening) -> dict[str, dict[str, Any]]:
    """The same from other machines, by names: one connects after the other, then all transfer at once.

    So each has what the network leaves it when all make load.

    Raises:
        RemoteError: one of them does not reach it, or its transfer is cut off.
    """
    found = {name: _answer(link, listening, _ask(link, "connect", listening)) for name, link in links.items()}
    under_way = {name: _ask(link, "transfer", listening) for name, link in links.items()}
    return {
        name: {
            "host": str(link.host),
            **_described(listening, found[name]),
            "raw": _carried(link, listening, under_way[name]),
        }
        for name, link in links.items()
    }


def check_from(link: Link, listening: Listening) -> None:
    """Raise ``RemoteError`` if another machine does not reach what listens."""
    _answer(link, listening, _ask(link, "connect", listening))


def _ask(link: Link, do: str, listening: Listening) -> Callable[[], dict[str, Any]]:
    return link.asked(do, address=listening.address, port=listening.port)


def _answer(link: Link, listening: Listening, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    found = answer()
    if found["why"] is not None:
        address, port = listening.address, listening.port
        raise RemoteError(
            f"{link.host}: what listens at {address}:{port} ({listening.machine}) is not reached from there "
            f"({found['why']}); open ports from {port} on between the two, or name another address of this "
            "machine (ADDRESS=)"
        )
    result: dict[str, Any] = found["found"]
    return result


def _carried(link: Link, listening: Listening, answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    found = answer()
    if found["why"] is not None:
        raise _cut_off(str(link.host), listening, found["why"])
    result: dict[str, Any] = found["found"]
    return result


def _cut_off(machine: str, listening: Listening, why: str | None) -> RemoteError:
    """A transfer that did not last, with what was reached a moment ago: the way to it does not hold."""
    return RemoteError(
        f"{machine}: a transfer with {listening.address}:{listening.port} ({listening.machine}) was cut off "
        f"({why or 'no answer'}); see that the network between the two holds, then give the command again"
    )


def _described(listening: Listening, connected: Mapping[str, Any]) -> dict[str, Any]:
    ordered = sorted(connected["times_s"])
    return {
        "address": listening.address,
        "mtu": connected["mtu"],
        "connect_us": {
            "min": _us(ordered[0]),
            "median": _us(median(ordered)),
            "max": _us(ordered[-1]),
        },
    }


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)
