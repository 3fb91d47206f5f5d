"""From bytes on a connection to one whole response, whatever its framing."""

from __future__ import annotations

import httptools

from .message import Message


class ProtocolError(Exception):
    """What the server sent is not an HTTP/1.1 response to the request."""


class Assembler:
    """Collects one response after the other with the httptools (llhttp) parser.

    llhttp cannot know that a response answers HEAD, nor that the connection was closed to end a body
    of unstated length: both are decided here.
    """

    __slots__ = ("_chunks", "_complete", "_head_only", "_headers", "_headers_done", "_parser", "_reusable")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._reusable = True
        self._head_only = False
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._headers_done = False
        self._chunks: list[bytes] = []
        self._complete: Message | None = None

    def expect(self, method: str) -> None:
        """Get ready for the response to a request of this method."""
        self._reset()
        self._head_only = method == "HEAD"
        if not self._reusable:
            self._parser = httptools.HttpResponseParser(self)
            self._reusable = True

    def feed(self, data: bytes) -> Message | None:
        """Take bytes in; the whole response, or None while it is incomplete. Raises ProtocolError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            raise ProtocolError("the server switched protocols (101), which nobody asked for") from error
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, ProtocolError):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError as error:
            if self._complete is None:
                raise ProtocolError(f"not HTTP/1.1: {error}") from error
        return self._complete

    def end(self) -> Message | None:
        """The server closed: the response, if closing was what ended its body, else None."""
        if not self._headers_done or self._complete is not None:
            return self._complete
        names = {name.lower() for name, _ in self._headers}
        if b"content-length" in names or b"transfer-encoding" in names:
            return None
        return self._finish(keep_alive=False)

    def _finish(self, *, keep_alive: bool) -> Message:
        self._complete = Message(
            self._parser.get_status_code(), self._headers, b"".join(self._chunks), keep_alive
        )
        return self._complete

    def on_message_begin(self) -> None:
        """The parser saw a status line."""
        if self._complete is not None:
            raise ProtocolError("more bytes than one response to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole; for HEAD that is all there is."""
        self._headers_done = True
        if self._head_only and self._parser.get_status_code() >= 200:
            connection = next((v for k, v in self._headers if k.lower() == b"connection"), b"")
            persistent = self._parser.get_http_version() == "1.1" and b"close" not in connection.lower()
            self._finish(keep_alive=persistent)
            # llhttp now waits for a body that will not come.
            self._reusable = False

    def on_body(self, body: bytes) -> None:
        """A piece of the body, chunk framing removed."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """The response is whole; interim ones (1xx) are read over, as RFC 9110 section 15.2 asks."""
        if self._complete is not None:
            return
        if self._parser.get_status_code() < 200:
            self._reset()
            return
        self._reusable = self._parser.should_keep_alive()
        self._finish(keep_alive=self._reusable)
