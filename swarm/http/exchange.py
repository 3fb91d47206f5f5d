"""What passes between users and servers: requests and responses, and the latencies of the requests."""

from __future__ import annotations

import json as jsonlib
from array import array
from collections.abc import Mapping
from enum import StrEnum
from http.cookiejar import CookieJar
from typing import Any, NoReturn
from urllib.parse import urlsplit

import numpy as np
from requests import PreparedRequest
from requests.structures import CaseInsensitiveDict

from ..recording.histogram import NOTHING, Integers
from .message import Message, NotDecoded


class Samples:
    """The latencies (ns) of one method and name since they were last taken.

    `add` is the array's own append, held as an attribute because it is called once per request.
    `seen` and `message` remember the last whole response: equal bytes need no second parse.

    In open loops `late` has how late each arrival's first request was sent. Most arrivals do not wait,
    and their latency from the schedule is their service time; so only those that did are kept apart:
    `waiters` has their latencies, which `latencies` has too, and `waits` how long each waited.
    """

    __slots__ = (
        "add",
        "content_bytes",
        "late",
        "latencies",
        "message",
        "method",
        "name",
        "seen",
        "waiters",
        "waits",
    )

    def __init__(self, method: str, name: str) -> None:
        self.method = method
        self.name = name
        self.seen: bytes | None = None
        self.message: Message | None = None
        self._clear()
        self._clear_arrivals()

    def _clear(self) -> None:
        self.latencies = array("q")
        self.add = self.latencies.append
        self.content_bytes = 0

    def _clear_arrivals(self) -> None:
        self.late = array("q")
        self.waiters = array("q")
        self.waits = array("q")

    def waited(self, latency_ns: int, wait_ns: int) -> None:
        """A latency that was added is that of an arrival that waited."""
        self.waiters.append(latency_ns)
        self.waits.append(wait_ns)

    def take(self) -> tuple[Integers, int]:
        """The latencies and the sum of body bytes since the last call."""
        latencies, content_bytes = self.latencies, self.content_bytes
        self._clear()
        return _integers(latencies), content_bytes

    def take_arrivals(self) -> tuple[Integers, Integers, Integers]:
        """`late`, `waiters` and `waits` since the last call."""
        late, waiters, waits = self.late, self.waiters, self.waits
        if not late and not waiters:
            return NOTHING, NOTHING, NOTHING
        self._clear_arrivals()
        return _integers(late), _integers(waiters), _integers(waits)


class SamplesByName(dict[tuple[str, str], Samples]):
    """Samples by method and name, made when they are first asked for."""

    def __missing__(self, key: tuple[str, str]) -> Samples:
        made = self[key] = Samples(*key)
        return made


def _integers(values: array[int]) -> Integers:
    return np.frombuffer(values, dtype=np.int64)


class FailureKind(StrEnum):
    """How a request was lost. The values are those of `failures.csv`."""

    CLOSED_UNANSWERED = "closed_unanswered"
    RESET_MID_RESPONSE = "reset_mid_response"
    REFUSED = "refused"
    CONNECT_FAILED = "connect_failed"
    TIMEOUT = "timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    CHECK = "check"
    PROTOCOL = "protocol"
    EXCEPTION = "exception"


class Origin:
    """Where a connection goes: scheme, host and port of a base URL.

    Raises ValueError for anything but `http://host[:port]` or `https://host[:port]`. A host with characters
    outside ASCII goes by its IDNA name.
    """

    __slots__ = ("host", "host_header", "port", "tls", "url")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if not parts.netloc.isascii():
            whole = PreparedRequest()
            whole.prepare_url(url, None)
            parts = urlsplit(str(whole.url))
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not a base URL such as http://127.0.0.1:8000: {url!r}")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.tls else 80)
        self.host_header = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{self.host_header}"


class Request:
    """A request ready to be sent, any number of times and by any number of users.

    Yield it from a task to send it; the yield's value is the `Response`. `payload` is the head up to,
    but not including, the empty line that ends it (so that lines can be added), plus `tail`.
    """

    __slots__ = (
        "__weakref__",
        "cookies",
        "head",
        "method",
        "name",
        "origin",
        "path",
        "payload",
        "samples",
        "tail",
        "timeout_ns",
    )

    closes = False
    """Whether the connection ends with the response, whatever the server says."""

    def __init__(
        self,
        origin: Origin,
        method: str,
        path: str,
        *,
        name: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        samples: Samples,
        cookies: Mapping[str, str] | CookieJar | None = None,
    ) -> None:
        self.origin = origin
        self.method = method
        self.path = path
        self.name = name
        self.samples = samples
        self.cookies = cookies
        self.timeout_ns = int(timeout * 1e9)
        self.head = _head(origin, method, path, headers, body)
        self.tail = b"\r\n" + (body or b"")
        self.payload = self.head + self.tail

    def __getattr__(self, name: str) -> NoReturn:
        """Called for what a request does not have: the caller takes it for its response."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"a request has no {name!r}, its response may: response = yield self.{self.method.lower()}(...)"
        )

    def __enter__(self) -> NoReturn:
        """`with self.get(...)` is for Locust's own clients. Raises TypeError."""
        raise TypeError(f"a request is no context: response = yield self.{self.method.lower()}(...)")

    def __exit__(self, *_: object) -> None:
        """Never reached; without it Python would not call `__enter__`."""

    def payload_with(self, lines: bytes) -> bytes:
        """The payload of one sending, with header lines of its own, each ended by CRLF."""
        return self.head + lines + self.tail


class ClosingRequest(Request):
    """A request that says `Connection: close`: nothing may be sent after it (RFC 9112 section 9.6)."""

    __slots__ = ()

    closes = True


def _head(origin: Origin, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The request line and header lines, each ended by CRLF. A host among the headers is spelt `Host`."""
    fields = {"Host": origin.host_header, **headers}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items()), ""]
    return "\r\n".join(lines).encode("latin-1")


class Response:
    """What a yielded request came back as: an answer, or a classified failure without one.

    A status of 400 or more counts as a failure unless the task calls `success()`; `failure()` turns
    any answer into one. Both are decided when the task yields next or ends.
    """

    __slots__ = ("_message", "detail", "failure_kind", "latency_ns", "request")

    def __init__(
        self,
        request: Request,
        message: Message | None,
        latency_ns: int,
        failure_kind: FailureKind | None = None,
        detail: str = "",
    ) -> None:
        self.request = request
        self._message = message
        self.latency_ns = latency_ns
        self.failure_kind = failure_kind
        self.detail = detail

    @property
    def answered(self) -> bool:
        """Whether a whole response arrived, whatever its status."""
        return self._message is not None

    @property
    def status_code(self) -> int | None:
        """The status, or None where no answer came."""
        return self._message.status_code if self._message is not None else None

    @property
    def ok(self) -> bool:
        """Whether the request counts as a success so far."""
        return self.failure_kind is None

    @property
    def reason(self) -> str:
        """Why it counts as a failure, in a line; empty while it does not."""
        return "" if self.failure_kind is None else f"{self.failure_kind}: {self.detail}"

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The response's header fields; empty where no answer came."""
        return self._message.headers if self._message is not None else CaseInsensitiveDict()

    @property
    def content(self) -> bytes:
        """The body, decompressed; empty where no answer came.

        Empty, too, where it is not what its `Content-Encoding` says: then the request counts as failed.
        """
        if self._message is None:
            return b""
        try:
            return self._message.content
        except NotDecoded as error:
            self._spoilt(error)
            return b""

    @property
    def text(self) -> str:
        """The body as text; empty where `content` is."""
        if self._message is None:
            return ""
        try:
            return self._message.text
        except NotDecoded as error:
            self._spoilt(error)
            return ""

    def _spoilt(self, error: NotDecoded) -> None:
        if self.failure_kind is None:
            self.failure_kind = FailureKind.PROTOCOL
            self.detail = str(error)

    @property
    def size(self) -> int:
        """Bytes of the body as it came over the connection: compressed, if it was; 0 where no answer came."""
        return self._message.size if self._message is not None else 0

    def json(self) -> Any:
        """The body parsed as JSON. Raises ValueError where it is not JSON."""
        try:
            return jsonlib.loads(self.content)
        except RecursionError as error:
            raise ValueError("the body is nested too deeply") from error

    @property
    def elapsed(self) -> float:
        """Seconds from the moment the task asked until the response was complete."""
        return self.latency_ns / 1e9

    def failure(self, detail: str) -> None:
        """Count this request as failed. A request that was lost keeps the reason it was lost for."""
        if self.failure_kind is None:
            self.failure_kind = FailureKind.CHECK
            self.detail = str(detail)

    def success(self) -> None:
        """Count an answered request as a success, whatever its status."""
        if self._message is not None:
            self.failure_kind = None
            self.detail = ""
