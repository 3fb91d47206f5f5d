"""Host names to socket addresses, looked up once."""

from __future__ import annotations

import socket

from .connection import Address
from .exchange import Origin


class Addresses:
    """The address of each origin: the first that the resolver gives, as it stood at the first connect.

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
    family, kind, protocol, _, where = found[0]
    return family, kind, protocol, where
