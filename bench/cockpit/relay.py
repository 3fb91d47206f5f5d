"""The door to a web UI that has a network of its own: connections made here go on to its Unix socket.

Nothing but the web UI's own traffic passes through: the load stays in its network.
"""

import asyncio
import contextlib
import errno
import os
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import UserError

_PIECE_BYTES = 1 << 16
_END_S = 5.0


class Relay:
    """Listens on an address of this machine while the context lasts; ``port`` is the one that it has."""

    def __init__(self, host: str, port: int, path: Path) -> None:
        """``path`` is the socket to go on to, by each connection when it is made; its folder must exist."""
        self._host = host
        self._path = path
        self.port = port

    def __enter__(self) -> Self:
        """Listen; raises ``UserError`` where the address cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            self._listener = socket.create_server((self._host, self.port), family=family)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is in use. Free it, or ask for another one with --port" if taken else f": {error.strerror}"
            raise UserError(f"no web UI: port {self.port} on {self._host} {why}") from error
        self.port = self._listener.getsockname()[1]
        # The socket is named by way of it: the kernel takes no more than 107 bytes of path.
        self._folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY)
        self._serving = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._serving.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_END_S)
        self._listener.close()
        os.close(self._folder)

    async def _serve(self) -> None:
        """Pass connections on until told to end; those that are left then are cut."""
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, sock=self._listener)
        self._serving.set()
        await self._end.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        with contextlib.closing(writer):
            path = f"/proc/self/fd/{self._folder}/{self._path.name}"
            try:
                inner_reader, inner_writer = await asyncio.open_unix_connection(path)
            except OSError:  # it is not there yet, or has ended: so does the connection
                return
            with contextlib.closing(inner_writer):
                copies = _copy(reader, inner_writer), _copy(inner_reader, writer)
                ways = [asyncio.ensure_future(copy) for copy in copies]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until they end, or nobody takes them any more."""
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
