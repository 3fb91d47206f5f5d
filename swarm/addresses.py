"""Host names to socket addresses, looked up once."""

from __future__ import annotations

import socket

from .connection import Address
from .messages import Origin


class Addresses:
    """The address of each origin: the first that the resolver gives, as it stood at the first connect.

    Looking a name up stops all users for as long as it takes. That is once per origin and process,
    and nothing at all for the literal addresses that the suite itself uses.
    """

    def __init__(self) -> None:
        self._known: dict[Origin, Address] = {}

    def of(self, origin: Origin) -> Address:
        """Family, type, protocol and address to connect to. Raises OSError for unknown names."""
        address = self._known.get(origin)
        if address is None:
            try:
                found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            except UnicodeError as error:
                raise OSError(f"no host can be called {origin.host!r}") from error
            family, kind, protocol, _, where = found[0]
            address = self._known[origin] = (family, kind, protocol, where)
        return address
