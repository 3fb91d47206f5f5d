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

MOST_BODY_BYTES: Final = 64 << 20
"""Of a longer body, compressed or not, nothing is kept but its length: a server may send what it likes."""
MOST_BARE_BYTES: Final = 256 << 10
"""So much that is no body, in one go, is no head of a response any more, nor what stands between chunks."""
_MOST_CODINGS: Final = 8
_MOST_MEMBERS: Final = 10_000
_STEP: Final = 64 << 10
_SMALL: Final = 1 << 10
_KEPT: Final = f"{MOST_BODY_BYTES >> 20} MiB, more than is kept to be read"

UNSUPPORTED: Final = frozenset({"zstd", "compress", "x-compress", "dcb", "dcz"})
"""Codings in which a body is unreadable and which are not decoded. Other names are no codings: such a body is
left as it is, as `requests` leaves it."""


class NotDecoded(ValueError):
    """The body is not what its `Content-Encoding` says, or cannot be decoded here."""


def decoded(body: bytes, encodings: str) -> bytes:
    """A body without the codings that `Content-Encoding` lists, in their order. Raises NotDecoded."""
    if body:
        codings = encodings.lower().split(",")
        if len(codings) > _MOST_CODINGS:
            raise NotDecoded(f"Content-Encoding names {len(codings)} codings, one over the other")
        for coding in reversed(codings):
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
    """All members of a gzip or zlib body; what is behind the last one is left out, as other clients do.

    It goes by small steps, for zlib copies what is behind a member.
    """
    whole: list[bytes] = []  # of members that have ended
    pieces: list[bytes] = []  # of the one that has not
    member, members, at, left = zlib.decompressobj(format_), 0, 0, MOST_BODY_BYTES
    view = memoryview(body)
    while at < len(body):
        part = view[at : at + _STEP]
        try:
            piece = member.decompress(part, left + 1)
        except zlib.error:
            if members:
                return b"".join(whole)
            raise
        left -= len(piece)
        if left < 0:
            raise NotDecoded(f"a body of over {_KEPT}, once it is decompressed")
        pieces.append(piece)
        at += len(part) - len(member.unused_data) - len(member.unconsumed_tail)
        if member.eof:
            whole += pieces
            members += 1
            if format_ != GZIP or at == len(body):
                return b"".join(whole)
            if members == _MOST_MEMBERS:
                raise NotDecoded(f"Content-Encoding is gzip, in over {_MOST_MEMBERS} members")
            member, pieces = zlib.decompressobj(format_), []
    raise zlib.error("it ends too early")


def _from_brotli(body: bytes) -> bytes:
    try:
        brotli = importlib.import_module("brotli")
    except ImportError:
        raise NotDecoded(
            "Content-Encoding is br, for which the package brotli is missing: install it, or have "
            "Accept-Encoding name gzip or deflate only"
        ) from None
    unpacker = brotli.Decompressor()
    try:
        plain: bytes = unpacker.process(body, output_buffer_limit=MOST_BODY_BYTES)
    except brotli.error as error:
        raise NotDecoded(f"Content-Encoding is br, but the body is not: {error}") from error
    if not unpacker.is_finished():
        if len(plain) >= MOST_BODY_BYTES:
            raise NotDecoded(f"a body of over {_KEPT}, once it is decompressed")
        raise NotDecoded("Content-Encoding is br, but the body is not: it ends too early")
    return plain


class Message:
    """One parsed response message. Immutable: equal bytes on the wire share one `Message`.

    `body` is what came over the connection, chunk framing removed, and `size` its length; of one that is
    longer than `MOST_BODY_BYTES` nothing is kept. `content` is what that stands for: the same, unless the
    server compressed it.
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
        self,
        status_code: int,
        raw_headers: list[tuple[bytes, bytes]],
        body: bytes,
        keep_alive: bool,
        size: int | None = None,
    ) -> None:
        self.status_code = status_code
        self.raw_headers = raw_headers
        self.body = body
        self.size = len(body) if size is None else size
        self.keep_alive = keep_alive
        self.ok = status_code < 400
        self._headers: CaseInsensitiveDict[str] | None = None
        self._text: str | None = None

    def __getattr__(self, name: str) -> bytes:
        """`content`, when it is first asked for: once it is there, it costs what any attribute does.

        Raises NotDecoded, each time, for a body that is not what its headers say, or was not kept.
        """
        if name != "content":
            raise AttributeError(name)
        if self.size > len(self.body):
            raise NotDecoded(f"a body of over {_KEPT}")
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
            except (LookupError, ValueError):  # no charset, or one that cannot replace
                self._text = self.content.decode("utf-8", "replace")
        return self._text


class ProtocolError(Exception):
    """What the server sent is not an HTTP/1.1 response to the request."""


class Assembler:
    """Collects one response after the other with the httptools (llhttp) parser.

    llhttp cannot know that a response answers HEAD, nor that the connection was closed to end a body
    of unstated length: both are decided here.
    """

    __slots__ = (
        *("_bare", "_chunks", "_complete", "_head_only", "_headers", "_headers_done", "_parser", "_reusable"),
        "_size",
    )

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._reusable = True
        self._head_only = False
        self._bare = 0
        self._reset()

    def _reset(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._headers_done = False
        self._chunks: list[bytes | bytearray] = []
        self._size = 0
        self._complete: Message | None = None

    def expect(self, method: str) -> None:
        """Get ready for the response to a request of this method."""
        self._reset()
        self._bare = 0
        self._head_only = method == "HEAD"
        if not self._reusable:
            self._parser = httptools.HttpResponseParser(self)
            self._reusable = True

    def feed(self, data: bytes) -> Message | None:
        """Take bytes in; the whole response, or None while it is incomplete. Raises ProtocolError."""
        size = self._size
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
        self._bare = 0 if self._size > size else self._bare + len(data)
        if self._complete is None and self._bare > MOST_BARE_BYTES:
            raise ProtocolError(f"over {MOST_BARE_BYTES >> 10} KiB of headers")
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
        body = b"".join(self._chunks)
        status = self._parser.get_status_code()
        self._complete = Message(status, self._headers, body, keep_alive, self._size)
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
        if self._parser.get_status_code() < 100:
            raise ProtocolError(f"status {self._parser.get_status_code()}")
        if self._head_only and self._parser.get_status_code() >= 200:
            connection = next((v for k, v in self._headers if k.lower() == b"connection"), b"")
            persistent = self._parser.get_http_version() == "1.1" and b"close" not in connection.lower()
            self._finish(keep_alive=persistent)
            # llhttp now waits for a body that will not come.
            self._reusable = False

    def on_body(self, body: bytes) -> None:
        """A piece of the body, chunk framing removed."""
        self._size += len(body)
        if self._size > MOST_BODY_BYTES:
            self._chunks.clear()
        elif self._chunks and len(body) < _SMALL:
            self._lengthen(body)
        else:
            self._chunks.append(body)

    def _lengthen(self, body: bytes) -> None:
        """Put a small piece to the one before: as an object each, they would take fifty times their size."""
        last = self._chunks[-1]
        if isinstance(last, bytearray):
            last += body
        else:
            self._chunks[-1] = bytearray(last) + body

    def on_message_complete(self) -> None:
        """The response is whole; interim ones (1xx) are read over, as RFC 9110 section 15.2 asks."""
        if self._complete is not None:
            return
        if self._parser.get_status_code() < 200:
            self._reset()
            return
        self._reusable = self._parser.should_keep_alive()
        self._finish(keep_alive=self._reusable)
