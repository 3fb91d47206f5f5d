"""Host names to socket addresses, looked up once."""

from __future__ import annotations

import socket
from typing import Final

from .connection import Address
from .exchange import Origin

PROBE_S: Final = 1.0
"""What each of several addresses gets to accept a connection, once."""


class Addresses:
    """The address of each origin, as it stood at the first connect: the first that answers, of several.

    Looking a name up stops all users for as long as it takes. That is once per origin and test, found
    or not, and nothing at all for the literal addresses that the suite itself uses.
    """

    def __init__(self) -> None:
        self._known: dict[Origin, Address] = {}
        self._unknown: dict[Origin, str] = {}

    def of(self, origin: Origin) -> Address:
        """Family, type, protocol and address to connect to. Raises OSError for unknown names."""
        if origin in self._unknown:
            raise OSError(self._unknown[origin])
        address = self._known.get(origin)
        if address is None:
            try:
                address = self._known[origin] = _look_up(origin)
            except (OSError, UnicodeError) as error:  # UnicodeError: no host can be called so
                self._unknown[origin] = getattr(error, "strerror", None) or str(error)
                raise OSError(self._unknown[origin]) from error
        return address


def _look_up(origin: Origin) -> Address:
    found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    addresses = [(family, kind, protocol, where) for family, kind, protocol, _, where in found]
    # `localhost` may be ::1 first, where the server listens on 127.0.0.1.
    answering = (each for each in addresses if len(addresses) == 1 or _answers(each))
    return next(answering, addresses[0])


def _answers(address: Address) -> bool:
    family, kind, protocol, where = address
    with socket.socket(family, kind, protocol) as probe:
        probe.settimeout(PROBE_S)
        return probe.connect_ex(where) == 0
