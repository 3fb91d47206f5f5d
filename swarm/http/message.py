"""One response as it comes off the wire: assembled from bytes, and decompressed (RFC 9110 section 8.4)."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterable
from typing import Final

import httptools
from requests.structures import CaseInsensitiveDict

GZIP: Final = 16 + zlib.MAX_WBITS
ZLIB: Final = zlib.MAX_WBITS
RAW: Final = -zlib.MAX_WBITS
"""How the standard library is told the format; servers send the last two as `deflate`."""

UNSUPPORTED: Final = frozenset({"zstd", "compress", "x-compress", "dcb", "dcz"})
"""Codings in which a body is unreadable and which are not decoded. Other names are no codings: such a body is
left as it is, as `requests` leaves it."""


class NotDecoded(ValueError):
    """The body is not what its `Content-Encoding` says, or cannot be decoded here."""


def decoded(body: bytes, encodings: str) -> bytes:
    """A body without the codings that `Content-Encoding` lists, in their order. Raises NotDecoded."""
    if body:
        for coding in reversed(encodings.lower().split(",")):
            body = _without(body, coding.strip())
    return body


def _without(body: bytes, coding: str) -> bytes:
    try:
        if coding in ("gzip", "x-gzip"):
            return _inflated(body, GZIP)
        if coding == "deflate":
            try:
                return _inflated(body, ZLIB)
            except zlib.error:
                return _inflated(body, RAW)
        if coding == "br":
            return _from_brotli(body)
    except zlib.error as error:
        raise NotDecoded(f"Content-Encoding is {coding}, but the body is not: {error}") from error
    if coding in UNSUPPORTED:
        raise NotDecoded(
            f"Content-Encoding is {coding}, which cannot be decoded here: have Accept-Encoding name gzip, "
            "deflate or br only"
        )
    return body


def _inflated(body: bytes, format_: int) -> bytes:
    """All members of a gzip or zlib body; what is behind the last one is left out, as other clients do."""
    pieces: list[bytes] = []
    while body:
        member = zlib.decompressobj(format_)
        try:
            pieces.append(member.decompress(body))
        except zlib.error:
            if pieces:
                break
            raise
        if not member.eof:
            raise zlib.error("it ends too early")
        body = member.unused_data
        if format_ != GZIP:
            break
    return b"".join(pieces)


def _from_brotli(body: bytes) -> bytes:
    try:
        brotli = importlib.import_module("brotli")
    except ImportError:
        raise NotDecoded(
            "Content-Encoding is br, for which the package brotli is missing: install it, or have "
            "Accept-Encoding name gzip or deflate only"
        ) from None
    try:
        plain: bytes = brotli.decompress(body)
    except brotli.error as error:
        raise NotDecoded(f"Content-Encoding is br, but the body is not: {error}") from error
    return plain


class Message:
    """One parsed response message. Immutable: equal bytes on the wire share one `Message`.

    `body` is what came over the connection, chunk framing removed, and `size` its length. `content` is what
    that stands for: the same, unless the server compressed it.
    """

    __slots__ = (
        "_headers",
        "_text",
        "body",
        "content",
        "keep_alive",
        "ok",
        "raw_headers",
        "size",
        "status_code",
    )

    content: bytes

    def __init__(
        self, status_code: int, raw_headers: list[tuple[bytes, bytes]], body: bytes, keep_alive: bool
    ) -> None:
        self.status_code = status_code
        self.raw_headers = raw_headers
        self.body = body
        self.size = len(body)
        self.keep_alive = keep_alive
        self.ok = status_code < 400
        self._headers: CaseInsensitiveDict[str] | None = None
        self._text: str | None = None

    def __getattr__(self, name: str) -> bytes:
        """`content`, when it is first asked for: once it is there, it costs what any attribute does.

        Raises NotDecoded, each time, for a body that is not what its headers say.
        """
        if name != "content":
            raise AttributeError(name)
        self.content = decoded(self.body, ",".join(self.header_values(b"content-encoding")))
        return self.content

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """Header fields; repeated ones are joined by `, ` as RFC 9110 section 5.3 allows."""
        if self._headers is None:
            self._headers = CaseInsensitiveDict()
            for raw_name, raw_value in self.raw_headers:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                before = self._headers.get(name)
                self._headers[name] = value if before is None else f"{before}, {value}"
        return self._headers

    def header_values(self, name: bytes) -> Iterable[str]:
        """Every value of a header that must not be joined (`Set-Cookie`); `name` in lower case."""
        return (value.decode("latin-1") for key, value in self.raw_headers if key.lower() == name)

    @property
    def text(self) -> str:
        """The body as text, in the charset that its content type names, else UTF-8."""
        if self._text is None:
            charset = "utf-8"
            for part in self.headers.get("content-type", "").split(";")[1:]:
                key, _, value = part.strip().partition("=")
                if key.lower() == "charset":
                    charset = value.strip('"') or charset
            try:
                self._text = self.content.decode(charset, "replace")
            except LookupError:
                self._text = self.content.decode("utf-8", "replace")
        return self._text


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
