"""The server of one block: started when a cell needs it, and once more if it dies."""

from collections.abc import Callable

from bench.launch import Server, ServerError

_STARTS = 2


class Serving:
    """Keeps a server there for cell after cell."""

    def __init__(self, start: Callable[[int], Server], stop: Callable[[Server], None]) -> None:
        """``start`` is told which start it is, from 1 on, and may raise ``ServerError``."""
        self._start = start
        self._stop = stop
        self._starts = 0
        self._left = _STARTS
        self._refused: str | None = None
        self.server: Server | None = None

    def get(self) -> Server:
        """The server, started if there is none or it died.

        Raises:
            ServerError: it does not start, or it died too often; the text is the reason for people.
        """
        if self.server is not None:
            if self.server.failure() is None:
                return self.server
            self._stop(self.server)
            self.server = None
        if self._refused is not None:
            raise ServerError(self._refused)
        if not self._left:
            raise ServerError("the server had died twice in this block")
        self._left -= 1
        self._starts += 1
        try:
            self.server = self._start(self._starts)
        except ServerError as failure:
            self._refused = str(failure)
            raise
        return self.server

    def allow_another(self) -> None:
        """Have one more start: the death of the server was an answer, not a fault."""
        self._left += 1
